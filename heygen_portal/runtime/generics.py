"""Django's classes that take type arguments in its stubs and none at run time, as bases for ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.paginator import Paginator
from django.db import models

if TYPE_CHECKING:
    AnyModelForm = forms.ModelForm[Any]
    AnyModelChoiceField = forms.ModelChoiceField[Any]
    AnyModelMultipleChoiceField = forms.ModelMultipleChoiceField[Any]
    AnyPaginator = Paginator[Any]
    AnyTextField = models.TextField[Any, Any]
    AnyCharField = models.CharField[Any, Any]
else:
    AnyModelForm = forms.ModelForm
    AnyModelChoiceField = forms.ModelChoiceField
    AnyModelMultipleChoiceField = forms.ModelMultipleChoiceField
    AnyPaginator = Paginator
    AnyTextField = models.TextField
    AnyCharField = models.CharField


def name_of_field(model: type[models.Model], name: str) -> str:
    """Return a field's name for people. The stubs allow for relations to the model, which have none."""
    field: Any = model._meta.get_field(name)
    return str(field.verbose_name)
