"""Base form of versioned models.

Rejects a save that would overwrite another editor's changes.

The form contains the number of the version that it was opened with. If a newer one was saved in the meantime, its
changes are merged into the form, conflicting fields keep the typed value and show the other one as an error, and
nothing is saved until the form is submitted again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django import forms
from django.db.models import Model
from django.http import QueryDict
from django.utils.translation import gettext

from heygen_portal.branding.current import current
from heygen_portal.runtime.generics import AnyModelForm


class ConcurrentEditForm(AnyModelForm):
    # Number of the version that the form was opened with.
    base = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["base"] = self.instance.version or None

    def versioned_fields(self) -> Iterable[str]:
        """Return the names of the versioned fields."""
        raise NotImplementedError

    def value_in(self, version: Any, name: str) -> Any:
        """Return a version's value of one field, as the field's initial value."""
        return version.serializable_value(name)

    def describe(self, version: Any, name: str) -> str:
        return str(self.value_in(version, name) or "–")

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if self.instance.pk:
            stored = self._meta.model._default_manager.select_for_update().get(pk=self.instance.pk)
            self.merge_stored_values(stored, cleaned)  # the row lock makes other saves wait
            self._merge_newer_version(stored, cleaned.get("base"))
        return cleaned

    def merge_stored_values(self, stored: Model, cleaned: dict[str, Any]) -> None:
        """Merge stored values of unversioned fields into the cleaned data.

        Does nothing by default.
        """

    def _merge_newer_version(self, stored: Any, base: int | None) -> None:
        last = stored.versions.select_related("saved_by").first()
        if last is None or base is None or base == last.number:
            return
        data = cast(QueryDict, self.data).copy()
        self.data = data
        data[self.add_prefix("base")] = str(last.number)
        words = gettext(
            "%(who)s has saved version %(number)d in the meantime. Fields you had not changed now show "
            "the new values. Fields you both changed keep your value, with the other value below. Review "
            "them and save again."
        )
        self.add_error(None, words % {"who": last.saved_by or current().name, "number": last.number})
        before = stored.versions.filter(number=base).first() or last
        for name in self.versioned_fields():
            self._merge_field(name, before, last, data)

    def _merge_field(self, name: str, before: Any, last: Any, data: QueryDict) -> None:
        field, html_name = self.fields.get(name), self.add_prefix(name)
        before_value, after_value = self.value_in(before, name), self.value_in(last, name)
        if field is None or before_value == after_value:
            return
        typed = field.widget.value_from_datadict(self.data, self.files, html_name)
        if field.has_changed(before_value, typed):
            if field.has_changed(after_value, typed):
                self.add_error(name, gettext("Other value: %(after)s") % {"after": self.describe(last, name)})
        elif isinstance(field, forms.BooleanField):
            data.pop(html_name, None)
            data.update({html_name: "on"} if after_value else {})
        else:
            data[html_name] = "" if after_value is None else str(field.prepare_value(after_value))
