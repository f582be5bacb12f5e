"""What LiveAvatar's answers are read by: what its refusals mean, and the rows of its lists."""

from __future__ import annotations

from typing import Any

from heygen_portal.providers import answers
from heygen_portal.providers.base import (
    AvatarOffer,
    CredentialRefused,
    KnowledgeBaseOffer,
    LimitReached,
    OutOfCredits,
    ProviderRejected,
    SessionGone,
    Speaker,
    VoiceOffer,
)
from heygen_portal.providers.languages import language_code

REFUSALS = answers.Refusals(
    successes=("1000", "100"),
    by_code={},  # its numbers are documented nowhere
    by_words=(
        ("session not found", SessionGone),
        ("session is closed", SessionGone),
        ("session has ended", SessionGone),
        ("session is not active", SessionGone),
        ("concurren", LimitReached),
        ("credit", OutOfCredits),
        ("avatar", ProviderRejected),  # comes as 403 too, but the key is all right
        ("voice", ProviderRejected),
        ("context", ProviderRejected),
        ("unauthorized", CredentialRefused),
    ),
    by_status={402: OutOfCredits, 409: LimitReached},
)
SPEAKERS = {"user": Speaker.USER, "avatar": Speaker.AVATAR}


def avatar(row: dict[str, Any]) -> AvatarOffer:
    """An avatar of the catalogue."""
    return AvatarOffer(
        provider_avatar_id=answers.text(row["id"]),
        name=answers.text(row.get("name")) or answers.text(row["id"]),
        preview_url=answers.text(row.get("preview_url")),
        default_voice_id=answers.text(answers.mapping(row.get("default_voice")).get("id")),
        is_active=row.get("status", "ACTIVE") == "ACTIVE" and row.get("is_expired") is not True,
    )


def voice(row: dict[str, Any]) -> VoiceOffer:
    """A voice of the catalogue."""
    return VoiceOffer(
        provider_voice_id=answers.text(row["id"]),
        name=(answers.text(row.get("name")) or answers.text(row["id"])).strip(),
        language=language_code(answers.text(row.get("language"))),
        gender=answers.text(row.get("gender")).lower(),
        preview_url="",  # a sample comes as sound in JSON, with the key, one voice at a time
        has_emotions=False,
    )


def context(row: dict[str, Any], detail: dict[str, Any]) -> KnowledgeBaseOffer:
    """A knowledge base, which the service calls a context: a row of the list, and what it says of it alone."""
    return KnowledgeBaseOffer(
        provider_knowledge_base_id=answers.text(row["id"]),
        name=answers.text(row.get("name")) or answers.text(row["id"]),
        opening=answers.text(detail.get("opening_text")),
        prompt=answers.text(detail.get("prompt")),
    )
