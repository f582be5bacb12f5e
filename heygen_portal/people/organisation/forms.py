"""The form of the organisation's settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.urls import reverse
from django.utils import formats
from django.utils.text import capfirst, format_lazy
from django.utils.translation import get_language_info
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminImageFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from heygen_portal.branding import colours, pictures
from heygen_portal.branding.current import SHA256
from heygen_portal.branding.pictures import PictureRefused, Purpose, Refused, Rendered
from heygen_portal.models import Organisation
from heygen_portal.runtime.generics import AnyModelChoiceField, AnyModelForm
from heygen_portal.runtime.text.limits import LimitedText

CONSENT_TEXT_CHARACTERS = 500
# Names of the form's fields, by language code.
CONSENT_TEXT_FIELDS = {code: f"consent_text_{code}" for code, _label in settings.LANGUAGES}
REFUSALS = {
    Refused.SVG: _("SVG can contain scripts and is not accepted. Save the picture as PNG and upload that file."),
    Refused.TOO_LARGE: format_lazy(
        _("The file is too large. At most {size} KB are accepted: save a smaller picture."),
        size=pictures.MAX_UPLOAD_BYTES // 1024,
    ),
    Refused.TOO_MANY_PIXELS: _("The picture has too many pixels. Save a smaller one, such as 1000 pixels wide."),
    Refused.UNREADABLE: _("The file is not a readable picture. Upload a PNG, JPEG or WebP file."),
}


@dataclass(frozen=True)
class StoredPicture:
    """The picture in use, as the widget shows it."""

    sha256: str

    @property
    def url(self) -> str:
        return reverse("brand_picture", args=[self.sha256])


@dataclass(frozen=True)
class RefusedPicture:
    purpose: Purpose
    why: Refused
    content: bytes


class PersonaChoice(AnyModelChoiceField):
    """Published personas, with their language: one persona may exist in several."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} ({obj.get_language_display()})"


def _consent_text_field(language: Any) -> LimitedText:
    return LimitedText(
        label=format_lazy(_("Text to accept, in {language}"), language=language),
        max_characters=CONSENT_TEXT_CHARACTERS,
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("What users accept before they start. Empty: the portal’s own text."),
    )


def _picture_field(label: Any, help_text: Any) -> forms.FileField:
    return forms.FileField(
        label=capfirst(label),
        required=False,
        # The widget shows the picture in use only with this value. Other pictures are refused with the reason.
        widget=UnfoldAdminImageFieldWidget({"accept": "image/*"}),
        help_text=help_text,
    )


def _colour_field(name: str, example: str) -> forms.CharField:
    column: Any = Organisation._meta.get_field(name)
    return LimitedText(
        label=capfirst(column.verbose_name),
        max_characters=7,
        required=False,
        widget=UnfoldAdminTextInputWidget({"placeholder": example}),
        help_text=column.help_text,
    )


class OrganisationForm(AnyModelForm):
    """Settings of the organisation, with one text to accept for each language of the pages."""

    logo_file = _picture_field(
        _("logo"),
        _(
            "PNG, JPEG or WebP. A logo more than twice as wide as high is shown instead of the name, any other beside "
            "it."
        ),
    )
    icon_file = _picture_field(
        _("icon"), _("PNG, JPEG or WebP, best square: for the browser’s tab and the phone’s home screen.")
    )
    accent = _colour_field("accent", colours.DEFAULT_ACCENT)
    accent_dark = _colour_field("accent_dark", colours.for_dark_surfaces(colours.DEFAULT_ACCENT))
    offered = forms.MultipleChoiceField(
        label=capfirst(_("languages offered")),
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("If all are selected, languages added by later versions are offered, too."),
        error_messages={"required": _("Offer at least one language.")},
    )
    default_persona = PersonaChoice(
        queryset=None, label=capfirst(_("default persona")), required=False, widget=UnfoldAdminSelectWidget()
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pictures: list[Rendered] = []
        self.refused: list[RefusedPicture] = []
        for code, name in CONSENT_TEXT_FIELDS.items():
            self.initial[name] = self.instance.consent_texts.get(code, "")
        for purpose in Purpose:
            stored = str(getattr(self.instance, purpose))
            if SHA256.fullmatch(stored):  # SQL may have changed it into anything
                self.initial[f"{purpose}_file"] = StoredPicture(stored)
        codes = [code for code, _name in settings.LANGUAGES]
        offered: Any = self.fields["offered"]
        offered.choices = [(code, get_language_info(code)["name_local"].capitalize()) for code in codes]
        self.initial["offered"] = [code for code in codes if code in self.instance.languages] or codes
        column: Any = Organisation._meta.get_field("default_persona")
        persona: Any = self.fields["default_persona"]
        rows = column.related_model._default_manager
        persona.queryset = rows.published() | rows.filter(pk=self.instance.default_persona_id)
        persona.help_text = column.help_text

    def clean_accent(self) -> str:
        return _colour(self.cleaned_data["accent"], colours.LIGHT_SURFACES, _("Choose a darker colour."))

    def clean_accent_dark(self) -> str:
        return _colour(self.cleaned_data["accent_dark"], colours.DARK_SURFACES, _("Choose a lighter colour."))

    def clean_mail_name(self) -> str:
        """Return the name on one line, as a header of a mail must be."""
        return " ".join(str(self.cleaned_data["mail_name"]).split())

    def clean_portal_name(self) -> str:
        return " ".join(str(self.cleaned_data["portal_name"]).split())

    def clean_logo_file(self) -> None:
        self._clean_picture(Purpose.LOGO)

    def clean_icon_file(self) -> None:
        self._clean_picture(Purpose.ICON)

    def _clean_picture(self, purpose: Purpose) -> None:
        """Set the column to the picture that was uploaded, or to none. Keeps a refused file for the record."""
        given = self.cleaned_data[f"{purpose}_file"]
        if given is False:  # the box to clear it
            setattr(self.instance, purpose, "")
        elif isinstance(given, UploadedFile):
            content = given.read(pictures.MAX_UPLOAD_BYTES + 1)
            try:
                picture = pictures.render(content, purpose)
            except PictureRefused as exc:
                self.refused.append(RefusedPicture(purpose, exc.why, content))
                raise forms.ValidationError(REFUSALS[exc.why], code=exc.why) from exc
            self.pictures.append(picture)
            setattr(self.instance, purpose, picture.sha256)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        written = {code: cleaned.get(name, "").strip() for code, name in CONSENT_TEXT_FIELDS.items()}
        self.instance.consent_texts = {code: text for code, text in written.items() if text}
        chosen, all_codes = cleaned.get("offered", []), [code for code, _name in settings.LANGUAGES]
        self.instance.languages = [] if chosen == all_codes else [code for code in all_codes if code in chosen]
        return cleaned


def _colour(typed: str, surfaces: Any, advice: Any) -> str:
    """Return a colour in lower case, or an empty text. Names the surface on which it cannot be read."""
    colour = typed.strip().lower()
    if not colour:
        return ""
    if not colours.HEX.fullmatch(colour):
        raise forms.ValidationError(_("Enter a colour as # and six digits or letters from a to f, such as #0b5b70."))
    if low := colours.lowest_contrast(colour, surfaces):
        words = _(
            "%(colour)s on %(name)s (%(surface)s) has a contrast of %(ratio)s:1. Text needs at least %(needed)s:1 "
            "(WCAG AA). %(advice)s"
        )
        raise forms.ValidationError(
            words,
            params={
                "colour": low.colour,
                "name": low.surface_name,
                "surface": low.surface,
                # Rounded down, so that it is never shown as enough.
                "ratio": formats.number_format(int(low.ratio * 100) / 100, 2),
                "needed": formats.number_format(colours.MIN_CONTRAST, 1),
                "advice": advice,
            },
        )
    return colour


# Not in the class, because the languages of the pages are a setting.
OrganisationForm.declared_fields.update(
    {CONSENT_TEXT_FIELDS[code]: _consent_text_field(label) for code, label in settings.LANGUAGES}
)
