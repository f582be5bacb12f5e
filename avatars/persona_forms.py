"""The form behind the admin's page of a persona. Which fields it has, the page says."""

from __future__ import annotations

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget

from avatars import publishing
from avatars.models import Persona
from heygen_portal.providers import KINDS


def _emotions() -> list[tuple[str, str]]:
    known = {emotion for kind in KINDS.values() for emotion in kind.capabilities.emotions}
    return [("", "–"), *((emotion, emotion) for emotion in sorted(known))]


class PersonaForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A draft may lack anything; what is published stays fit to be met."""

    voice_emotion = forms.ChoiceField(
        label=capfirst(_("voice emotion")), required=False, choices=_emotions, widget=UnfoldAdminSelectWidget()
    )

    class Meta:
        help_texts = {
            "duration_limit": _("Hours:minutes:seconds."),
            "idle_timeout": _("Hours:minutes:seconds."),
        }

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's own hook; the stubs leave it out
        if self.instance.status == Persona.Status.PUBLISHED and not self.errors:
            for field, words in publishing.problems(self.instance).items():
                self.add_error(field, words)
