"""What can be chosen for a persona beside its avatar, and why the rest cannot: as capabilities tell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _

from avatars.catalogue import voices
from avatars.models import Avatar, Persona, Voice

DIALS = ("voice_stability", "voice_similarity_boost", "voice_style")


def offers(avatar: Avatar, voice: Voice | None) -> dict[str, Any]:
    """Return, by field of the form: the `choices` that work, what must stay `off`, `limits`, and the `words` for it."""
    can = avatar.account.capabilities
    heard = voice or voices.default_voice(avatar)
    emotions = can.emotions if heard is None or heard.has_emotions else ()
    listens = [Persona.Interactivity.HANDS_FREE, *([Persona.Interactivity.PUSH_TO_TALK] if can.push_to_talk else [])]
    dials = {f"voice_{dial.name}": [dial.least, dial.most] for dial in can.voice_settings}
    is_off = {"breaks_silence": not can.breaks_silence, "is_voice_enabled": not can.takes_voice}
    return {
        "choices": {
            "language": can.languages,
            "quality": ["", *can.qualities],
            "interactivity": listens,
            "voice_emotion": ["", *emotions],
        },
        "off": [*(name for name, off in is_off.items() if off), *(name for name in DIALS if name not in dials)],
        "sample": heard.sample_url if heard else "",
        "limits": {"voice_rate": list(can.voice_rate), **dials},
        "words": dict(_words(avatar, emotions)),
    }


def _words(avatar: Avatar, emotions: tuple[str, ...]) -> Iterable[tuple[str, str]]:
    account, can = avatar.account, avatar.account.capabilities
    if not can.emotions:
        yield "voice_emotion", _("The voices of this account do not support emotions.")
    elif not emotions:
        yield "voice_emotion", _("This voice does not support emotions.")
    slowest, fastest = can.voice_rate
    yield "voice_rate", _("Between %(slowest)s and %(fastest)s.") % {"slowest": slowest, "fastest": fastest}
    if not avatar.default_provider_voice_id:
        yield "voice", _("This avatar has no voice of its own. Choose one.")
    if not can.push_to_talk:
        yield "interactivity", _("The provider does not support push to talk. Choose “always on”.")
    if not can.breaks_silence:
        yield "breaks_silence", _("The provider does not support speaking during silences. Turn it off.")
    if not can.takes_voice:
        yield "is_voice_enabled", _("The provider does not support voice input: users can only write.")
    if can.speaks_opening:
        yield "greeting", _("The provider says the knowledge base’s greeting automatically. Leave this greeting empty.")
    minutes = {"minutes": int(can.max_idle_timeout.total_seconds() // 60)}
    yield "idle_timeout", _("At most %(minutes)d minutes: the provider then closes an idle session.") % minutes
    if account.duration_limit:
        longest = {"minutes": int(account.duration_limit.total_seconds() // 60)}
        yield "duration_limit", _("Sessions of this account end after %(minutes)d minutes at the latest.") % longest
    for name in DIALS if not can.voice_settings else ():
        yield name, _("The provider’s voices do not have this setting.")
