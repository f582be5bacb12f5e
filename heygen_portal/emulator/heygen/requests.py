"""Parsing of `streaming.new` requests and their defaults."""

from dataclasses import replace
from typing import Any, Final

from heygen_portal.emulator.heygen.catalogue import AVATARS, Catalogue
from heygen_portal.emulator.sessions.options import CatalogueAvatar, OwnRoom, SessionOptions
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import Refusal

QUALITIES: Final = ("low", "medium", "high")
ENCODINGS: Final = ("H264", "VP8")
EMOTIONS: Final = ("excited", "serious", "friendly", "soothing", "broadcaster")
IDLE_RANGE: Final = (30, 3600)
RATE_RANGE: Final = (0.5, 1.5)


def parse_options(body: dict[str, Any], catalogue: Catalogue, rules: Rules) -> SessionOptions:
    """Parse a `streaming.new` body.

    It accepts both spellings of names, nulls and unknown keys. Raises Refusal for an avatar that cannot stream and for
    invalid values.
    """
    fields = Fields(body)
    if fields.text("version", "v2") != "v2":
        raise Refusal("bad_request", "only version v2 sessions are supported")
    avatar = _avatar(fields.text("avatar_id") or fields.text("avatar_name") or "default", catalogue)
    wanted = Fields(fields.mapping("voice"))
    language = fields.text("language")
    voice = catalogue.voice_for(avatar, language)
    if voice_id := wanted.text("voice_id"):
        if voice_id not in catalogue.voices:
            raise Refusal("invalid_value", "voice not found")
        voice = catalogue.voices[voice_id]
    base_id = fields.text("knowledge_base_id") or fields.text("knowledge_id")
    if base_id and base_id not in catalogue.knowledge:
        raise Refusal("invalid_value", "knowledge base not found")
    base = catalogue.knowledge.get(base_id)
    return SessionOptions(
        avatar=avatar,
        voice=replace(
            voice.speech_voice,
            rate=wanted.number("rate", 1.0, RATE_RANGE),
            emotion=wanted.one_of("emotion", EMOTIONS, "friendly"),
        ),
        voice_name=voice.name,
        quality=fields.one_of("quality", QUALITIES, "medium"),
        encoding=fields.one_of("video_encoding", ENCODINGS, "VP8"),
        knowledge=fields.text("knowledge_base") or (base.prompt if base else ""),
        opening=base.opening if base else "",
        language=language,
        idle_s=None
        if fields.boolean("disable_idle_timeout")
        else fields.number("activity_idle_timeout", rules.idle_s, IDLE_RANGE),
        listens=fields.boolean("ia_is_livekit_transport"),
        own_room=_own_room(fields.mapping("livekit_settings")),
    )


def _avatar(avatar_id: str, catalogue: Catalogue) -> CatalogueAvatar:
    if avatar_id == "default":
        return AVATARS[0]
    avatar = catalogue.avatars.get(avatar_id)
    if avatar is None:
        raise Refusal("avatar_not_found")
    if avatar.deprecated:
        raise Refusal("avatar_deprecated")
    if not avatar.streams or avatar.status != "ACTIVE":
        raise Refusal("avatar_not_allowed")
    return avatar


def _own_room(settings: dict[str, Any]) -> OwnRoom | None:
    if not settings:
        return None
    fields = Fields(settings)
    room = OwnRoom(fields.text("url"), fields.text("room"), fields.text("token"))
    if not (room.url.startswith(("ws://", "wss://")) and room.room and room.token):
        raise Refusal("missing_parameter", "livekit_settings needs url, room and token")
    return room


class Fields:
    """Typed access to a JSON object in which null means absent."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def text(self, name: str, default: str = "") -> str:
        value = self._body.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise Refusal("invalid_parameter", f"{name} must be a string")
        return value

    def has(self, name: str) -> bool:
        return self._body.get(name) is not None

    def boolean(self, name: str) -> bool:
        value = self._body.get(name)
        if value is not None and not isinstance(value, bool):
            raise Refusal("invalid_parameter", f"{name} must be true or false")
        return bool(value)

    def mapping(self, name: str) -> dict[str, Any]:
        value = self._body.get(name)
        if value is not None and not isinstance(value, dict):
            raise Refusal("invalid_parameter", f"{name} must be an object")
        return value or {}

    def number(self, name: str, default: float, between: tuple[float, float]) -> float:
        value = self._body.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refusal("invalid_parameter", f"{name} must be a number")
        if not between[0] <= value <= between[1]:
            raise Refusal("invalid_value", f"{name} must be from {between[0]} to {between[1]}")
        return float(value)

    def one_of(self, name: str, values: tuple[str, ...], default: str) -> str:
        """Return the matching value as spelled in `values`, ignoring case."""
        given = self.text(name)
        for value in values:
            if given.lower() == value.lower():
                return value
        if given:
            raise Refusal("invalid_value", f"{name} must be one of {', '.join(values)}")
        return default
