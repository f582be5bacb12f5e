"""The form of a persona. The admin page defines its fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
)

from avatars.models import BuiltInTool, HttpTool, PersonaContent, languages
from avatars.models.personas import MAX_STARTER_CHARACTERS, MAX_STARTERS, starter_lines
from avatars.personas import versions
from avatars.personas.concurrent_edits import ConcurrentEditForm
from heygen_portal.providers import KINDS

# Fields that are not versioned and take effect when saved.
UNVERSIONED_FIELDS = {"slug", "groups", "requires_consent"}


# Labels of the providers' emotions. Others are shown as stored.
EMOTIONS = {
    "broadcaster": _("broadcaster"),
    "excited": _("excited"),
    "friendly": _("friendly"),
    "serious": _("serious"),
    "soothing": _("soothing"),
}


def _emotions() -> list[tuple[str, Any]]:
    emotions = {emotion for kind in KINDS.values() for emotion in kind.capabilities.emotions}
    return [("", "–"), *((emotion, EMOTIONS.get(emotion, emotion)) for emotion in sorted(emotions))]


def _tools() -> list[tuple[str, Any]]:
    """Return the portal's tools, and those that staff made."""
    return [*BuiltInTool.choices, *((tool.name, _own_tool(tool)) for tool in HttpTool.objects.all())]


def _own_tool(tool: HttpTool) -> str:
    return tool.name if tool.is_active else f"{tool.name} ({gettext('switched off')})"


def _setting_field(label: Any, help_text: Any) -> forms.FloatField:
    return forms.FloatField(
        label=label, required=False, help_text=help_text, widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.05"})
    )


class ToolsField(forms.MultipleChoiceField):
    """The names of tools, stored one per line."""

    def prepare_value(self, value: Any) -> Any:
        return value.splitlines() if isinstance(value, str) else value

    def clean(self, value: Any) -> str:
        return "\n".join(super().clean(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class PersonaForm(ConcurrentEditForm):
    """Form of a persona's draft, which may be incomplete."""

    voice_emotion = forms.ChoiceField(
        label=capfirst(_("voice emotion")), required=False, choices=_emotions, widget=UnfoldAdminSelectWidget()
    )
    voice_stability = _setting_field(
        _("Stability"), _("Low: more lively. High: more even. Empty: the provider’s default.")
    )
    voice_similarity_boost = _setting_field(
        _("Similarity"), _("Similarity to the original voice. Empty: the provider’s default.")
    )
    voice_style = _setting_field(_("Style"), _("Strength of the voice’s own style. Empty: the provider’s default."))

    tools = ToolsField(
        label=capfirst(_("tools")),
        required=False,
        choices=_tools,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text=_("What the model may do besides answering. Users get a form for their message."),
    )

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
        language: Any = self.fields.get("language")
        if language:
            language.choices = [(code, languages.full_name_of(code)) for code, _own in languages.choices()]
        for name in UNVERSIONED_FIELDS & self.fields.keys():
            self.fields[name].show_hidden_initial = True  # so that unchanged fields overwrite nothing
        for setting in _setting_names():
            self.initial[f"voice_{setting}"] = self.instance.voice_settings.get(setting)

    def versioned_fields(self) -> Iterable[str]:
        return (*PersonaContent.content_fields(), *(f"voice_{setting}" for setting in _setting_names()))

    def value_in(self, version: Any, name: str) -> Any:
        setting = name.removeprefix("voice_")
        return version.voice_settings.get(setting) if setting in _setting_names() else super().value_in(version, name)

    def describe(self, version: Any, name: str) -> str:
        return (
            versions.describe(version, name)
            if name in PersonaContent.content_fields()
            else super().describe(version, name)
        )

    def clean_starters(self) -> str:
        questions = starter_lines(self.cleaned_data["starters"])
        if len(questions) > MAX_STARTERS:
            raise forms.ValidationError(_("At most %(count)s questions.") % {"count": MAX_STARTERS})
        if any(len(question) > MAX_STARTER_CHARACTERS for question in questions):
            message = _("At most %(count)s characters per question.")
            raise forms.ValidationError(message % {"count": MAX_STARTER_CHARACTERS})
        return "\n".join(questions)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean() or self.cleaned_data
        chosen = {setting: cleaned.get(f"voice_{setting}") for setting in _setting_names()}
        self.instance.voice_settings = {setting: value for setting, value in chosen.items() if value is not None}
        return cleaned

    def merge_stored_values(self, stored: Any, cleaned: dict[str, Any]) -> None:
        stored_values = {
            "slug": stored.slug,
            "groups": stored.groups.all(),
            "requires_consent": stored.requires_consent,
        }
        cleaned |= {name: stored_values[name] for name in UNVERSIONED_FIELDS & cleaned.keys() - set(self.changed_data)}


def _setting_names() -> list[str]:
    """Return the names of the voice settings of all providers."""
    names = [setting.name for kind in KINDS.values() for setting in kind.capabilities.voice_settings]
    return list(dict.fromkeys(names))
