"""The forms behind the catalogue's admin."""

from __future__ import annotations

from typing import Any

from asgiref.sync import async_to_sync
from django import forms
from django.core.exceptions import ValidationError
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from avatars import knowledge, publishing
from avatars.models import KnowledgeBase, Persona, ProviderAccount
from avatars.sync import check_key
from heygen_portal.providers import KINDS
from heygen_portal.providers.base import CredentialRefused, ProviderError


def _emotions() -> list[tuple[str, str]]:
    known = {emotion for kind in KINDS.values() for emotion in kind.capabilities.emotions}
    return [("", "–"), *((emotion, emotion) for emotion in sorted(known))]


class ProviderAccountForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """The key goes in and never comes out again."""

    is_unchecked = False
    """The provider did not say whether it takes the key."""

    class Meta:
        model = ProviderAccount
        fields = (
            "name",
            "kind",
            "base_url",
            "api_key",
            "key_header",
            "is_sandbox",
            "rooms",
            "concurrency_limit",
            "staff_places",
            "longest_session",
            "idle_timeout",
            "monthly_cap",
            "credits_per_minute",
            "speech_days",
            "is_exclusive",
            "monitors_chat",
        )
        widgets = {"api_key": UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"})}
        help_texts = {"api_key": _("Never shown again. Empty: the key stays as it is.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.pop("api_key", None)
        if "api_key" in self.fields:  # those who may only look have no such field
            self.fields["api_key"].required = not self.instance.pk

    def clean_api_key(self) -> str:
        key: str = self.cleaned_data["api_key"] or self.instance.api_key
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValidationError(_("A key has only letters, digits and signs: no spaces, no accents."))
        return key

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors and {"kind", "base_url", "api_key", "key_header"} & set(self.changed_data):
            self._check_key()
        return cleaned

    def _check_key(self) -> None:
        """A key of another provider is found here; a provider that does not answer now is no reason to refuse it."""
        account = ProviderAccount(
            **{name: self.cleaned_data[name] for name in ("kind", "base_url", "api_key", "key_header")}
        )
        try:
            async_to_sync(check_key)(account)
        except CredentialRefused:
            provider = KINDS[account.kind].label
            words = _(
                "%(provider)s does not accept this key. Each provider has keys of its own: check which one it is."
            )
            self.add_error("api_key", ValidationError(words, params={"provider": provider}))
        except ProviderError:
            self.is_unchecked = True


class KnowledgeBaseForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """Stored at the provider as the last step of its validation: what the provider refuses is not stored here."""

    class Meta:
        model = KnowledgeBase
        fields = ("name", "account", "opening", "prompt")
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


class PersonaForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs only
    """A draft may lack anything; what is published stays fit to be met."""

    voice_emotion = forms.ChoiceField(
        label=capfirst(_("voice emotion")), required=False, choices=_emotions, widget=UnfoldAdminSelectWidget()
    )

    class Meta:
        model = Persona
        fields = (
            "name",
            "slug",
            "role",
            "summary",
            "language",
            "greeting",
            "avatar",
            "quality",
            "interactivity",
            "breaks_silence",
            "voice",
            "voice_rate",
            "voice_emotion",
            "knowledge_base",
            "is_improvising",
            "is_voice_enabled",
            "duration_limit",
            "idle_timeout",
            "speech_days",
        )
        help_texts = {
            "duration_limit": _("Hours:minutes:seconds."),
            "idle_timeout": _("Hours:minutes:seconds."),
        }

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's own hook; the stubs leave it out
        if self.instance.status == Persona.Status.PUBLISHED and not self.errors:
            for field, words in publishing.problems(self.instance).items():
                self.add_error(field, words)
