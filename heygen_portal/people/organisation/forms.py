"""The form of the organisation's settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from heygen_portal.runtime.generics import AnyModelForm
from heygen_portal.runtime.text.limits import LimitedText

CONSENT_TEXT_CHARACTERS = 500
# Names of the form's fields, by language code.
CONSENT_TEXT_FIELDS = {code: f"consent_text_{code}" for code, _label in settings.LANGUAGES}


def _consent_text_field(language: Any) -> LimitedText:
    return LimitedText(
        label=format_lazy(_("Text to accept, in {language}"), language=language),
        max_characters=CONSENT_TEXT_CHARACTERS,
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("What users accept before they start. Empty: the portal’s own text."),
    )


class OrganisationForm(AnyModelForm):
    """Settings of the organisation, with one text to accept for each language of the pages."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for code, name in CONSENT_TEXT_FIELDS.items():
            self.initial[name] = self.instance.consent_texts.get(code, "")

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        written = {code: cleaned.get(name, "").strip() for code, name in CONSENT_TEXT_FIELDS.items()}
        self.instance.consent_texts = {code: text for code, text in written.items() if text}
        return cleaned


# Not in the class, because the languages of the pages are a setting.
OrganisationForm.declared_fields.update(
    {CONSENT_TEXT_FIELDS[code]: _consent_text_field(label) for code, label in settings.LANGUAGES}
)
