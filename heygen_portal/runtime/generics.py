"""Base classes of Django that take type arguments only in its stubs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.paginator import Paginator
from django.db import models

if TYPE_CHECKING:
    from django.db.models.expressions import Combinable

    AnyModelForm = forms.ModelForm[Any]
    AnyModelChoiceField = forms.ModelChoiceField[Any]
    AnyModelMultipleChoiceField = forms.ModelMultipleChoiceField[Any]
    AnyPaginator = Paginator[Any]
    AnyTextField = models.TextField[Any, Any]
    AnyCharField = models.CharField[Any, Any]
    AnyURLField = models.URLField[Any, Any]
    StrCharField = models.CharField[str | Combinable, str]
    StrTextField = models.TextField[str | Combinable, str]
else:
    AnyModelForm = forms.ModelForm
    AnyModelChoiceField = forms.ModelChoiceField
    AnyModelMultipleChoiceField = forms.ModelMultipleChoiceField
    AnyPaginator = Paginator
    AnyTextField = StrTextField = models.TextField
    AnyCharField = StrCharField = models.CharField
    AnyURLField = models.URLField


def name_of_field(model: type[models.Model], name: str) -> str:
    """Return a field's verbose name.

    The stubs allow for reverse relations, which have none.
    """
    field: Any = model._meta.get_field(name)
    return str(field.verbose_name)
