"""The form behind the admin's page of a persona. Which fields it has, the page says."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.http import QueryDict
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget

from avatars import versions
from avatars.models import Persona, PersonaVersion
from heygen_portal.providers import KINDS
from heygen_portal.providers.base import VoiceSetting


def _emotions() -> list[tuple[str, str]]:
    known = {emotion for kind in KINDS.values() for emotion in kind.capabilities.emotions}
    return [("", "–"), *((emotion, emotion) for emotion in sorted(known))]


def _dial(label: Any, help_text: Any) -> forms.FloatField:
    return forms.FloatField(
        label=label, required=False, help_text=help_text, widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.05"})
    )


AT_ONCE = {"slug", "groups"}
"""What is no part of a version: it holds as soon as it is saved."""


class PersonaForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A draft may lack anything. Of two people who write at once, the second is shown what the first has saved."""

    voice_emotion = forms.ChoiceField(
        label=capfirst(_("voice emotion")), required=False, choices=_emotions, widget=UnfoldAdminSelectWidget()
    )
    voice_stability = _dial(_("Stability"), _("Low: livelier. High: more even. Empty: as the provider has it."))
    voice_similarity_boost = _dial(
        _("Similarity"), _("How close to the original voice. Empty: as the provider has it.")
    )
    voice_style = _dial(_("Style"), _("How much of the voice's own manner. Empty: as the provider has it."))
    base = forms.IntegerField(required=False, widget=forms.HiddenInput)
    """The version that this work began with."""

    class Meta:
        help_texts = {
            "duration_limit": _("Hours:minutes:seconds."),
            "idle_timeout": _("Hours:minutes:seconds."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["base"] = self.instance.version or None
        for name in AT_ONCE & self.fields.keys():
            self.fields[name].show_hidden_initial = True  # so that what nobody touched overwrites nothing
        for dial in _dials():
            self.initial[f"voice_{dial}"] = self.instance.voice_settings.get(dial)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        if self.instance.pk:
            stored = Persona.objects.select_for_update().get(pk=self.instance.pk)  # others wait until this is saved
            self._look_for_others(stored, cleaned.get("base"))
            theirs = {"slug": stored.slug, "groups": stored.groups.all()}
            cleaned |= {name: theirs[name] for name in AT_ONCE & cleaned.keys() - set(self.changed_data)}
        chosen = {dial: cleaned.get(f"voice_{dial}") for dial in _dials()}
        self.instance.voice_settings = {dial: value for dial, value in chosen.items() if value is not None}
        return cleaned

    def _look_for_others(self, stored: Persona, base: int | None) -> None:
        """Nothing typed is lost, and nobody's work is overwritten unseen."""
        last = versions.newest(stored)
        if last is None or base is None or base == last.number:
            return
        data = cast(QueryDict, self.data).copy()
        self.data = data
        data[self.add_prefix("base")] = str(last.number)
        words = gettext(
            "%(who)s saved version %(number)d meanwhile. Where you had changed nothing, theirs stands in the form now; "
            "where both of you wrote, yours does, with theirs below. Look, and save again."
        )
        self.add_error(None, words % {"who": last.saved_by or "HeyGen Portal", "number": last.number})
        before = versions.numbered(stored, base) or last
        for difference in versions.differences(before, last):
            self._bring_together(difference, before, last, data)

    def _bring_together(
        self, theirs: versions.Difference, before: PersonaVersion, last: PersonaVersion, data: QueryDict
    ) -> None:
        names = [f"voice_{dial}" for dial in _dials()] if theirs.name == "voice_settings" else [theirs.name]
        for name in filter(self.fields.__contains__, names):
            field, html_name = self.fields[name], self.add_prefix(name)
            was, now = _initial(before, name), _initial(last, name)
            if field.has_changed(was, self._typed(name)):
                if field.has_changed(now, self._typed(name)):
                    self.add_error(name, gettext("Theirs: %(after)s") % {"after": theirs.after})
            elif isinstance(field, forms.BooleanField):
                data.pop(html_name, None)
                data.update({html_name: "on"} if now else {})
            else:
                data[html_name] = "" if now is None else str(field.prepare_value(now))

    def _typed(self, name: str) -> Any:
        return self.fields[name].widget.value_from_datadict(self.data, self.files, self.add_prefix(name))


def _dials() -> list[str]:
    """The names of all dials that any provider's voices have."""
    dials: list[VoiceSetting] = [dial for kind in KINDS.values() for dial in kind.capabilities.voice_settings]
    return list(dict.fromkeys(dial.name for dial in dials))


def _initial(version: PersonaVersion, name: str) -> Any:
    dial = name.removeprefix("voice_")
    return version.voice_settings.get(dial) if dial in _dials() else version.serializable_value(name)
