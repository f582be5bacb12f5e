"""The options of a persona's form that its provider supports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils import formats
from django.utils.translation import gettext as _

from avatars.catalogue import voices
from avatars.models import Avatar, Persona, Voice

VOICE_SETTING_FIELDS = ("voice_stability", "voice_similarity_boost", "voice_style")


def options_for(avatar: Avatar, voice: Voice | None) -> dict[str, Any]:
    """Return the form's options for an avatar and a voice.

    `choices`, `limits` and explanations (`words`) are by form field. Fields in `off` must stay off or empty.
    """
    capabilities = avatar.account.capabilities
    effective_voice = voice or voices.default_voice(avatar)
    emotions = capabilities.emotions if effective_voice is None or effective_voice.has_emotions else ()
    interactivities = [
        Persona.Interactivity.HANDS_FREE,
        *([Persona.Interactivity.PUSH_TO_TALK] if capabilities.push_to_talk else []),
    ]
    limits = {f"voice_{dial.name}": [dial.least, dial.most] for dial in capabilities.voice_settings}
    is_off = {"breaks_silence": not capabilities.breaks_silence, "is_voice_enabled": not capabilities.takes_voice}
    return {
        "choices": {
            "language": avatar.account.persona_languages,
            "quality": ["", *capabilities.qualities],
            "interactivity": interactivities,
            "voice_emotion": ["", *emotions],
        },
        "off": [
            *(name for name, off in is_off.items() if off),
            *(name for name in VOICE_SETTING_FIELDS if name not in limits),
        ],
        "sample": effective_voice.sample_url if effective_voice else "",
        "limits": {"voice_rate": list(capabilities.voice_rate), **limits},
        "words": dict(_explanations(avatar, emotions)),
    }


def _explanations(avatar: Avatar, emotions: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    account, capabilities = avatar.account, avatar.account.capabilities
    if not capabilities.emotions:
        yield "voice_emotion", _("The voices of this account do not support emotions.")
    elif not emotions:
        yield "voice_emotion", _("This voice does not support emotions.")
    slowest, fastest = capabilities.voice_rate
    limits = {"slowest": formats.localize(slowest), "fastest": formats.localize(fastest)}
    yield "voice_rate", _("Between %(slowest)s and %(fastest)s.") % limits
    if not avatar.default_provider_voice_id:
        yield "voice", _("This avatar has no voice of its own. Choose one.")
    if not capabilities.push_to_talk:
        yield "interactivity", _("The provider does not support push to talk. Choose “always on”.")
    if not capabilities.breaks_silence:
        yield "breaks_silence", _("The provider does not support speaking during silences. Turn it off.")
    if not capabilities.takes_voice:
        yield "is_voice_enabled", _("The provider does not support voice input: users can only write.")
    if capabilities.speaks_opening:
        yield "greeting", _("The provider says the knowledge base’s greeting automatically. Leave this greeting empty.")
    minutes = {"minutes": int(capabilities.max_idle_timeout.total_seconds() // 60)}
    yield "idle_timeout", _("At most %(minutes)d minutes: the provider then closes an idle session.") % minutes
    if account.duration_limit:
        longest = {"minutes": int(account.duration_limit.total_seconds() // 60)}
        yield "duration_limit", _("Sessions of this account end after %(minutes)d minutes at the latest.") % longest
    for name in VOICE_SETTING_FIELDS if not capabilities.voice_settings else ():
        yield name, _("The provider’s voices do not have this setting.")
