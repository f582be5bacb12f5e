"""LiveAvatar's request bodies, catalogue rows, error codes and room commands."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from heygen_portal.providers.contract.provider import (
    CatalogueAvatar,
    CatalogueKnowledgeBase,
    CatalogueVoice,
    CredentialRefused,
    CustomModel,
    Interactivity,
    LimitReached,
    OutOfCredits,
    PastSession,
    ProviderRejected,
    RoomCommand,
    SessionGone,
    SessionRequest,
    Speaker,
    StopReason,
    TaskKind,
)
from heygen_portal.providers.http import parsing
from heygen_portal.providers.http.languages import language_code

CONTROL_TOPIC: Final = "agent-control"
LIMIT_FIELD: Final = "max_session_duration"
SPEECH_COMMANDS = {TaskKind.TALK: "avatar.speak_response", TaskKind.REPEAT: "avatar.speak_text"}
INTERACTIVITY = {Interactivity.HANDS_FREE: "CONVERSATIONAL", Interactivity.PUSH_TO_TALK: "PUSH_TO_TALK"}
STOP_REASONS = {
    StopReason.CLOSED: "USER_CLOSED",
    StopReason.LEFT: "USER_DISCONNECTED",
    StopReason.IDLE: "IDLE_TIMEOUT",
    StopReason.DURATION: "MAX_DURATION_REACHED",
}

REFUSALS = parsing.RefusalTable(
    successes=("1000", "100"),
    by_code={},  # its codes are undocumented
    by_message=(
        ("session not found", SessionGone),
        ("session is closed", SessionGone),
        ("session has ended", SessionGone),
        ("session is not active", SessionGone),
        ("concurren", LimitReached),
        ("credit", OutOfCredits),
        ("avatar", ProviderRejected),  # status 403 too, but the key is valid
        ("voice", ProviderRejected),
        ("context", ProviderRejected),
        ("unauthorized", CredentialRefused),
    ),
    by_status={402: OutOfCredits, 409: LimitReached},
)
SPEAKERS = {"user": Speaker.USER, "avatar": Speaker.AVATAR}


def avatar(row: dict[str, Any], *, is_own: bool) -> CatalogueAvatar:
    return CatalogueAvatar(
        provider_avatar_id=parsing.text(row["id"]),
        name=parsing.text(row.get("name")) or parsing.text(row["id"]),
        preview_url=parsing.text(row.get("preview_url")),
        default_voice_id=parsing.text(parsing.mapping(row.get("default_voice")).get("id")),
        is_active=row.get("status", "ACTIVE") == "ACTIVE" and row.get("is_expired") is not True,
        is_own=is_own,
        is_image=row.get("type") == "IMAGE",
    )


def voice(row: dict[str, Any], *, is_own: bool) -> CatalogueVoice:
    return CatalogueVoice(
        provider_voice_id=parsing.text(row["id"]),
        name=(parsing.text(row.get("name")) or parsing.text(row["id"])).strip(),
        language=language_code(parsing.text(row.get("language"))),
        gender=parsing.text(row.get("gender")).lower(),
        preview_url="",  # samples are base64 in JSON, and need the key
        has_emotions=False,
        is_own=is_own,
    )


def context(row: dict[str, Any], detail: dict[str, Any]) -> CatalogueKnowledgeBase:
    """Return a knowledge base, which LiveAvatar calls a context.

    The list's row has the name, the detail response the texts.
    """
    return CatalogueKnowledgeBase(
        provider_knowledge_base_id=parsing.text(row["id"]),
        name=parsing.text(row.get("name")) or parsing.text(row["id"]),
        opening=parsing.text(detail.get("opening_text")),
        prompt=parsing.text(detail.get("prompt")),
    )


def past_session(row: dict[str, Any]) -> PastSession:
    """Convert a row of the ended sessions, or the detail response of one."""
    return PastSession(
        provider_session_id=parsing.text(row["id"]),
        created_at=parsing.timestamp(row.get("created_at")),
        duration=parsing.duration(row.get("duration"), timedelta(seconds=1)),
        end_reason=parsing.text(row.get("end_reason"))[: parsing.MAX_CODE_CHARACTERS],
        credits=parsing.credit_amount(row.get("credits_consumed")),
    )


SENT_AS = {
    "avatar_id": "avatar_id",
    "voice_id": "avatar_persona.voice_id",
    "voice_rate": "avatar_persona.voice_settings.speed",
    "language": "avatar_persona.language",
    "quality": "video_settings.quality",
    "knowledge_base_id": "avatar_persona.context_id",
}


def token_body(request: SessionRequest, sandbox_limit: timedelta | None) -> dict[str, Any]:
    """Return the body of `sessions/token` with the chosen options only.

    The service silently ignores unknown names. With `sandbox_limit`, the session is a sandbox session.
    """
    voice = {"provider": "elevenLabs", "speed": request.voice_rate, **request.voice_settings}
    is_set = request.voice_settings or request.voice_rate not in (None, 1)
    persona = {
        "voice_id": request.voice_id,
        "context_id": request.knowledge_base_id,
        "language": request.language,
        # 1 is the default. Sending it would require a voice vendor, which may not be the voice's own.
        "voice_settings": parsing.without_empty(voice) if is_set else {},
    }
    video = {"quality": request.quality and str(request.quality), "encoding": request.video_encoding}
    longest = min(filter(None, (request.duration_limit, sandbox_limit)), default=None)
    body = {
        "mode": "FULL",
        "avatar_id": request.avatar_id,
        "avatar_persona": parsing.without_empty(persona),
        "video_settings": parsing.without_empty(video),
        LIMIT_FIELD: max(1, int(longest.total_seconds())) if longest else None,
        "interactivity_type": INTERACTIVITY[request.interactivity],
        "is_sandbox": sandbox_limit is not None,
        # Below the persona it would silently be ignored.
        "llm_configuration_id": request.custom_model_id,
    }
    return parsing.without_empty(body) | {"avatar_persona": parsing.without_empty(persona)}


def secret_body(model: CustomModel) -> dict[str, str]:
    # The schema has no type for keys of other services.
    return {"secret_name": model.name, "secret_value": model.token, "secret_type": "OPENAI_API_KEY"}


def configuration_body(model: CustomModel, secret_id: str) -> dict[str, str]:
    return {
        "display_name": model.name,
        "model_name": model.model,
        "secret_id": secret_id,
        "base_url": model.base_url,
    }


def require_id(provider_session_id: str) -> str:
    """Return the session's ID. Raises SessionGone if it is empty."""
    if not provider_session_id:
        raise SessionGone("session not created")
    return provider_session_id


def room_command(provider_session_id: str, event_type: str, **more: str) -> RoomCommand:
    """Return a command for the browser to publish in the room."""
    event_id = str(uuid4())
    envelope = {"event_id": event_id, "event_type": event_type, "session_id": require_id(provider_session_id), **more}
    return RoomCommand(CONTROL_TOPIC, json.dumps(envelope), provider_task_id=event_id)
