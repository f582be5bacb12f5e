"""Columns for texts that people type, limited in characters as people count them.

Migrations import no code of the project, and see plain columns.
"""

from __future__ import annotations

from functools import partialmethod
from typing import Any

from django.core.validators import URLValidator
from django.db.models import Model

from heygen_portal.runtime import stored_json
from heygen_portal.runtime.generics import AnyURLField, StrCharField, StrTextField
from heygen_portal.runtime.text.limits import CODE_POINTS_PER_CHARACTER, LimitedText, MaxCharacters


class LimitedCharField(StrCharField):
    """Text of one line. The column, whose length is in code points, has room for the characters."""

    def __init__(self, *args: Any, max_characters: int, **options: Any) -> None:
        self.max_characters = max_characters
        options["max_length"] = CODE_POINTS_PER_CHARACTER * max_characters
        super().__init__(*args, **options)
        self.validators[-1] = MaxCharacters(max_characters)  # instead of the validator of code points

    def deconstruct(self) -> Any:
        name, _path, args, options = super().deconstruct()
        return name, "django.db.models.CharField", args, options

    def clone(self) -> LimitedCharField:
        _name, _path, args, options = self.deconstruct()
        del options["max_length"]
        return type(self)(*args, max_characters=self.max_characters, **options)

    def formfield(self, **options: Any) -> Any:
        return super().formfield(**_form_options(self.max_characters), **options)


class LimitedTextField(StrTextField):
    """Text of several lines."""

    def __init__(self, *args: Any, max_characters: int, **options: Any) -> None:
        self.max_characters = max_characters
        super().__init__(*args, **options)
        self.validators.append(MaxCharacters(max_characters))

    def deconstruct(self) -> Any:
        name, _path, args, options = super().deconstruct()
        return name, "django.db.models.TextField", args, options

    def clone(self) -> LimitedTextField:
        _name, _path, args, options = self.deconstruct()
        return type(self)(*args, max_characters=self.max_characters, **options)

    def formfield(self, **options: Any) -> Any:
        return super().formfield(**_form_options(self.max_characters), **options)


class PageAddressField(AnyURLField):
    """The address of a web page. Typed without a scheme, it is one of https."""

    default_validators = [URLValidator(schemes=("https", "http"))]

    def deconstruct(self) -> Any:
        name, _path, args, options = super().deconstruct()
        return name, "django.db.models.URLField", args, options

    def formfield(self, **options: Any) -> Any:
        return super().formfield(**{"assume_scheme": "https"} | options)


def _form_options(max_characters: int) -> dict[str, Any]:
    return {"form_class": LimitedText, "max_characters": max_characters, "max_length": None}


class ChoiceField(StrCharField):
    """A column with a fixed set of values. Another value, written by SQL, is shown as damaged."""

    def deconstruct(self) -> Any:
        name, _path, args, options = super().deconstruct()
        return name, "django.db.models.CharField", args, options

    def contribute_to_class(self, cls: type[Model], name: str, private_only: bool = False) -> None:
        if f"get_{name}_display" not in vars(cls):
            setattr(cls, f"get_{name}_display", partialmethod(_shown_choice, field=self))
        super().contribute_to_class(cls, name, private_only)


def _shown_choice(row: Model, field: ChoiceField) -> str:
    stored = getattr(row, field.attname)
    known = dict(field.flatchoices)
    return str(known[stored]) if stored in known else stored_json.label(stored) if stored else ""
