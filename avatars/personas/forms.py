"""The form behind the admin's page of a persona. Which fields it has, the page says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget

from avatars.models import Composed
from avatars.personas import versions
from avatars.personas.concurrent_edits import OfTwoWriters
from heygen_portal.providers import KINDS

AT_ONCE = {"slug", "groups"}
"""What is no part of a version: it holds as soon as it is saved."""


def _emotions() -> list[tuple[str, str]]:
    known = {emotion for kind in KINDS.values() for emotion in kind.capabilities.emotions}
    return [("", "–"), *((emotion, emotion) for emotion in sorted(known))]


def _dial(label: Any, help_text: Any) -> forms.FloatField:
    return forms.FloatField(
        label=label, required=False, help_text=help_text, widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.05"})
    )


class PersonaForm(OfTwoWriters):
    """A draft may lack anything."""

    voice_emotion = forms.ChoiceField(
        label=capfirst(_("voice emotion")), required=False, choices=_emotions, widget=UnfoldAdminSelectWidget()
    )
    voice_stability = _dial(_("Stability"), _("Low: more lively. High: more even. Empty: the provider’s default."))
    voice_similarity_boost = _dial(
        _("Similarity"), _("Similarity to the original voice. Empty: the provider’s default.")
    )
    voice_style = _dial(_("Style"), _("Strength of the voice’s own style. Empty: the provider’s default."))

    class Meta:
        help_texts = {
            "language": _(
                "For several languages, create one persona per language with the same name and avatar. "
                "Users can switch between them during a conversation."
            ),
            "duration_limit": _("Hours:minutes:seconds."),
            "idle_timeout": _("Hours:minutes:seconds."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in AT_ONCE & self.fields.keys():
            self.fields[name].show_hidden_initial = True  # so that what nobody touched overwrites nothing
        for dial in _dials():
            self.initial[f"voice_{dial}"] = self.instance.voice_settings.get(dial)

    def parts(self) -> Iterable[str]:
        return (*Composed.parts(), *(f"voice_{dial}" for dial in _dials()))

    def kept(self, version: Any, name: str) -> Any:
        dial = name.removeprefix("voice_")
        return version.voice_settings.get(dial) if dial in _dials() else super().kept(version, name)

    def in_words(self, version: Any, name: str) -> str:
        return versions.in_words(version, name) if name in Composed.parts() else super().in_words(version, name)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        chosen = {dial: cleaned.get(f"voice_{dial}") for dial in _dials()}
        self.instance.voice_settings = {dial: value for dial, value in chosen.items() if value is not None}
        return cleaned

    def look_at_stored(self, stored: Any, cleaned: dict[str, Any]) -> None:
        theirs = {"slug": stored.slug, "groups": stored.groups.all()}
        cleaned |= {name: theirs[name] for name in AT_ONCE & cleaned.keys() - set(self.changed_data)}


def _dials() -> list[str]:
    """The names of all dials that any provider's voices have."""
    dials = [dial.name for kind in KINDS.values() for dial in kind.capabilities.voice_settings]
    return list(dict.fromkeys(dials))
