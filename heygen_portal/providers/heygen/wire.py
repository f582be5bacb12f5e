"""HeyGen's request bodies, catalogue rows and error codes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from heygen_portal.providers.contract.provider import (
    CatalogueAvatar,
    CatalogueKnowledgeBase,
    CatalogueVoice,
    CredentialRefused,
    LimitReached,
    NotReady,
    OutOfCredits,
    PastSession,
    ProviderRejected,
    RoomAccess,
    SessionGone,
    SessionRequest,
)
from heygen_portal.providers.http import parsing
from heygen_portal.providers.http.languages import language_code

MIN_IDLE_TIMEOUT, MAX_IDLE_TIMEOUT = timedelta(seconds=30), timedelta(seconds=3599)

REFUSALS = parsing.RefusalTable(
    successes=("100",),
    by_code={
        "10001": NotReady,  # state: new
        "10002": NotReady,  # state: connecting
        "10004": SessionGone,  # state: closing
        "10005": SessionGone,  # state: closed
        "10006": SessionGone,  # not found
        "10007": LimitReached,  # too many concurrent sessions
        "10012": ProviderRejected,  # avatar not found
        "10013": ProviderRejected,  # avatar not allowed: status 403, but the key is valid
        "10014": LimitReached,  # the service is full
        "10015": OutOfCredits,  # the trial's limit: retrying does not help
        "400123": LimitReached,  # rate limit
        "40009": CredentialRefused,
        "40102": CredentialRefused,
        "400101": CredentialRefused,
        "400112": CredentialRefused,
        "400562": CredentialRefused,  # account not enabled
        "400599": CredentialRefused,  # the plan has no API
        "400631": CredentialRefused,  # account blocked
    },
    # For undocumented codes, and for 400006, which every wrong state has.
    by_message=(
        ("session not found", SessionGone),
        ("closed", SessionGone),
        ("closing", SessionGone),
        ("session state wrong", NotReady),
        ("not in correct state", NotReady),
        ("concurrent limit", LimitReached),
        ("unauthorized", CredentialRefused),
    ),
    wrong_state="400006",
)


def avatar(row: dict[str, Any]) -> CatalogueAvatar:
    avatar_id = parsing.text(row["avatar_id"])
    return CatalogueAvatar(
        provider_avatar_id=avatar_id,
        name=parsing.text(row.get("pose_name")) or avatar_id,
        preview_url=parsing.text(row.get("normal_preview")),
        default_voice_id=parsing.text(row.get("default_voice")),
        is_active=(parsing.text(row.get("status")) or "ACTIVE").upper() == "ACTIVE",
        is_own=row.get("is_public") is False,
    )


def voice(row: dict[str, Any]) -> CatalogueVoice:
    return CatalogueVoice(
        provider_voice_id=parsing.text(row["voice_id"]),
        name=(parsing.text(row.get("name")) or parsing.text(row["voice_id"])).strip(),
        language=language_code(parsing.text(row.get("language"))),
        gender=parsing.text(row.get("gender")).lower(),
        preview_url=parsing.text(row.get("preview_audio")),
        has_emotions=row.get("emotion_support") is True,
        is_live=row.get("support_interactive_avatar") is not False,
    )


def knowledge_base(row: dict[str, Any]) -> CatalogueKnowledgeBase:
    return CatalogueKnowledgeBase(
        provider_knowledge_base_id=parsing.text(row["id"]),
        name=parsing.text(row.get("name")) or parsing.text(row["id"]),
        opening=parsing.text(row.get("opening")),
        prompt=parsing.text(row.get("prompt")),
        has_texts="prompt" in row,
    )


def past_session(row: dict[str, Any]) -> PastSession:
    """Convert a row of the ended sessions. HeyGen reports no end reason and no cost."""
    return PastSession(
        provider_session_id=parsing.text(row["session_id"]),
        created_at=parsing.timestamp(row.get("created_at")),
        duration=parsing.duration(row.get("duration"), timedelta(seconds=1)),
    )


def room(data: dict[str, Any]) -> RoomAccess | None:
    """Return the provider's room, or None if the response has none."""
    url, token = parsing.text(data.get("url")), parsing.text(data.get("access_token"))
    return RoomAccess(url, token) if url and token else None


def session_body(provider_session_id: str) -> dict[str, Any]:
    """Return the body that identifies a session. Raises SessionGone for an empty ID."""
    if not provider_session_id:
        raise SessionGone("session not created")
    return {"session_id": provider_session_id}


def _knowledge(request: SessionRequest) -> dict[str, str]:
    """Return the knowledge base's ID, or its text with the conversation history.

    Never both: no source says which one would take precedence.
    """
    if request.conversation_history and (request.knowledge or not request.knowledge_base_id):
        return {"knowledge_base": f"{request.knowledge}\n\n{request.conversation_history}".strip()}
    return {"knowledge_base_id": request.knowledge_base_id}


SENT_AS = {
    "avatar_id": "avatar_id",
    "voice_id": "voice.voice_id",
    "voice_rate": "voice.rate",
    "voice_emotion": "voice.emotion",
    "language": "language",
    "quality": "quality",
    "knowledge_base_id": "knowledge_base_id",
}


def new_session_body(request: SessionRequest) -> dict[str, Any]:
    """Return the body of `streaming.new` with the chosen options only."""
    voice = {
        "voice_id": request.voice_id,
        "rate": request.voice_rate,
        "emotion": request.voice_emotion.lower(),
        "elevenlabs_settings": dict(request.voice_settings),
    }
    room = request.room
    idle = request.idle_timeout and min(max(request.idle_timeout, MIN_IDLE_TIMEOUT), MAX_IDLE_TIMEOUT)
    body = {
        "avatar_id": request.avatar_id,
        "quality": request.quality and str(request.quality),
        "video_encoding": request.video_encoding,
        "voice": parsing.without_empty(voice),
        **_knowledge(request),
        "language": request.language,
        "activity_idle_timeout": idle and int(idle.total_seconds()),
        # The service hears the room's microphone only with this option.
        "ia_is_livekit_transport": request.takes_voice or None,
        "silence_response": request.breaks_silence or None,
        "livekit_settings": room and {"url": room.url, "room": room.name, "token": room.token},
    }
    return {"version": "v2"} | parsing.without_empty(body)
