"""Parsing of session token requests and their defaults."""

from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from heygen_portal.emulator.heygen.requests import Fields
from heygen_portal.emulator.liveavatar.catalogue import Context, LiveAvatarCatalogue, fill_placeholders
from heygen_portal.emulator.liveavatar.custom_models import CustomModels
from heygen_portal.emulator.liveavatar.responses import is_uuid
from heygen_portal.emulator.liveavatar.states import LANGUAGES
from heygen_portal.emulator.sessions.options import OwnRoom, SessionOptions
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import Refusal

Mode = Literal["FULL", "LITE"]

MODES: Final = ("FULL", "LITE", "CUSTOM")
QUALITIES: Final = ("low", "medium", "high", "very_high")
ENCODINGS: Final = ("H264", "VP8")
INTERACTIVITY: Final = ("CONVERSATIONAL", "PUSH_TO_TALK")
CONNECTORS: Final = ("elevenlabs_agent_config", "openai_realtime_config", "gemini_realtime_config", "agora_config")
SPEEDS: Final = (0.8, 1.2)
MAX_VARIABLES: Final = 50
MAX_VARIABLE_CHARACTERS: Final = 1000
LITE_COST_FACTOR: Final = 0.5  # share of the cost of FULL


@dataclass(frozen=True)
class TokenRequest:
    """Configuration of a session token.

    References are checked when the session starts.
    """

    mode: Mode
    avatar_id: str
    is_sandbox: bool
    quality: str
    encoding: str
    duration_s: int
    is_push_to_talk: bool
    voice_id: str = ""
    context_id: str = ""
    language: str = ""
    speed: float = 1.0
    variables: dict[str, str] = field(default_factory=dict)
    own_room: OwnRoom | None = None
    llm_configuration_id: str = ""


@dataclass(frozen=True)
class LiveAvatarOptions(SessionOptions):
    """Options of a started session.

    Without a context the avatar answers nothing: LiveAvatar's restricted mode.
    """

    mode: Mode = "FULL"
    is_sandbox: bool = False
    is_push_to_talk: bool = False
    context_id: str = ""
    llm_configuration_id: str = ""  # empty: the service's own model answers

    @property
    def has_context(self) -> bool:
        return bool(self.context_id)


def parse_token_request(body: dict[str, Any], rules: Rules) -> TokenRequest:
    """Parse a token request.

    Unknown fields are ignored, null means absent, and both spellings of quality are accepted.
    """
    fields = Fields(body)
    mode: Mode = "FULL" if fields.one_of("mode", MODES, "FULL") == "FULL" else "LITE"
    is_sandbox = fields.boolean("is_sandbox")
    video = fields.mapping("video_settings")
    settings = Fields(
        {"quality": body.get("video_quality"), "encoding": body.get("video_encoding")}
        | {name: value for name, value in video.items() if value is not None}
    )
    token_request = TokenRequest(
        mode=mode,
        avatar_id=_id(fields, "avatar_id", required=True),
        is_sandbox=is_sandbox,
        quality=settings.one_of("quality", QUALITIES, "high"),
        encoding=settings.one_of("encoding", ENCODINGS, "H264"),
        duration_s=_duration(body.get("max_session_duration"), rules.sandbox_s if is_sandbox else rules.duration_s),
        is_push_to_talk=fields.one_of("interactivity_type", INTERACTIVITY, "CONVERSATIONAL") == "PUSH_TO_TALK",
        variables=_variables(fields.mapping("dynamic_variables")),
    )
    return _with_persona(token_request, fields) if mode == "FULL" else _with_room(token_request, fields)


def _with_persona(token_request: TokenRequest, fields: Fields) -> TokenRequest:
    persona, agent = fields.mapping("avatar_persona"), fields.mapping("voice_agent")
    if fields.has("avatar_persona") == fields.has("voice_agent"):
        raise Refusal("missing_parameter", "exactly one of avatar_persona and voice_agent")
    if agent:
        raise Refusal("bad_request", "the emulator has no voice agents")
    wanted = Fields(persona)
    return replace(
        token_request,
        voice_id=_id(wanted, "voice_id"),
        context_id=_id(wanted, "context_id"),
        llm_configuration_id=_id(fields, "llm_configuration_id"),
        language=wanted.one_of("language", tuple(LANGUAGES), "en"),
        speed=Fields(wanted.mapping("voice_settings")).number("speed", 1.0, SPEEDS),
    )


def _with_room(token_request: TokenRequest, fields: Fields) -> TokenRequest:
    for name in CONNECTORS:
        if fields.mapping(name):
            raise Refusal("bad_request", f"the emulator has no {name}")
    given = fields.mapping("livekit_config")
    if not given:
        return token_request
    config = Fields(given)
    url = config.text("livekit_url") or config.text("url")
    token = config.text("livekit_client_token") or config.text("token")
    if not (url.startswith(("ws://", "wss://")) and token):
        raise Refusal("missing_parameter", "livekit_config needs livekit_url, livekit_room and livekit_client_token")
    return replace(token_request, own_room=OwnRoom(url, config.text("livekit_room"), token))


def parse_options(
    token_request: TokenRequest, catalogue: LiveAvatarCatalogue, models: CustomModels, rules: Rules
) -> LiveAvatarOptions:
    """Resolve a token's references. Raises Refusal if one is missing or not ready."""
    avatar = catalogue.avatars.get(token_request.avatar_id)
    if avatar is None or avatar.status != "ACTIVE":
        raise Refusal("avatar_not_allowed")
    if token_request.quality == "very_high":
        raise Refusal("unknown_reference", "a picture of 1080p, which this avatar does not have")
    voice_id = token_request.voice_id or avatar.default_voice
    if token_request.mode == "FULL" and voice_id not in catalogue.voices:
        raise Refusal("unknown_reference", "voice" if voice_id else "this avatar has no voice of its own")
    voice = catalogue.voices.get(voice_id) or next(iter(catalogue.voices.values()))
    context = catalogue.contexts.get(token_request.context_id)
    if token_request.context_id and context is None:
        raise Refusal("unknown_reference", "context")
    if token_request.llm_configuration_id not in ("", *models.configurations):
        raise Refusal("unknown_reference", "llm_configuration_id")
    used_context = context or Context("", "", "")
    return LiveAvatarOptions(
        avatar=avatar,
        voice=replace(
            voice.speech_voice, rate=token_request.speed, language=token_request.language or voice.speech_voice.language
        ),
        voice_name=voice.name,
        quality=token_request.quality,
        encoding=token_request.encoding,
        knowledge=fill_placeholders(used_context.prompt, token_request.variables),
        opening=fill_placeholders(used_context.opening_text, token_request.variables),
        language=token_request.language,
        idle_s=rules.idle_s,
        listens=token_request.mode == "FULL",
        own_room=token_request.own_room,
        duration_s=token_request.duration_s,
        cost_factor=0.0 if token_request.is_sandbox else 1.0 if token_request.mode == "FULL" else LITE_COST_FACTOR,
        mode=token_request.mode,
        is_sandbox=token_request.is_sandbox,
        is_push_to_talk=token_request.is_push_to_talk,
        context_id=token_request.context_id,
        llm_configuration_id=token_request.llm_configuration_id,
    )


def _id(fields: Fields, name: str, *, required: bool = False) -> str:
    value = fields.text(name)
    if required and not value:
        raise Refusal("missing_parameter", name)
    if value and not is_uuid(value):
        raise Refusal("not_a_uuid", name)
    return value.lower()


def _duration(given: Any, maximum: float) -> int:
    if given is None:
        return int(maximum)
    if isinstance(given, bool) or not isinstance(given, int):
        raise Refusal("invalid_parameter", "max_session_duration must be a whole number")
    if given < 1:
        raise Refusal("invalid_value", "max_session_duration must be positive")
    if given > maximum:
        raise Refusal("too_long", f"at most {int(maximum)} seconds")
    return given


def _variables(given: dict[str, Any]) -> dict[str, str]:
    """Return the first fifty variables; others are ignored."""
    for value in given.values():
        if not isinstance(value, str) or len(value) > MAX_VARIABLE_CHARACTERS:
            raise Refusal(
                "invalid_value", f"dynamic_variables are strings of at most {MAX_VARIABLE_CHARACTERS} characters"
            )
    return dict(list(given.items())[:MAX_VARIABLES])
