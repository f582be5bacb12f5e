"""The form behind the admin's page of a knowledge base. Which fields it has, the page says."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from avatars import knowledge


class KnowledgeBaseForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Stored at the provider as the last step of its validation: what the provider refuses is not stored here."""

    class Meta:
        help_texts = {
            "opening": _("Some providers say it by themselves when a conversation begins."),
            "prompt": _("Who the avatar is, what it knows and how it speaks."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "prompt" in self.fields:  # those who may only look have no such field
            self.fields["prompt"].required = True

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's own hook; the stubs leave it out
        if self.errors or not self.has_changed():
            return
        try:
            knowledge.store(self.instance)
        except ValidationError as exc:
            self.add_error(None, exc)
