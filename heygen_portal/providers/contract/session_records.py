"""Records of ended sessions that a provider keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum


class Speaker(StrEnum):
    AVATAR = "avatar"
    USER = "user"


@dataclass(frozen=True)
class SpokenLine:
    """A line of the provider's transcript. `at` is None if the time is unknown."""

    who: Speaker
    text: str = field(repr=False)
    at: datetime | None = None


@dataclass(frozen=True)
class SessionRecord:
    """End reason, length, cost and transcript of an ended session."""

    end_reason: str = ""
    duration: timedelta | None = None
    credits: Decimal | None = None
    lines: tuple[SpokenLine, ...] = ()


@dataclass(frozen=True)
class PastSession:
    """A row of the provider's list of ended sessions."""

    provider_session_id: str
    created_at: datetime | None = None
    duration: timedelta | None = None
    end_reason: str = ""
    credits: Decimal | None = None


@dataclass(frozen=True)
class PastSessions:
    """A page of ended sessions, newest first."""

    rows: tuple[PastSession, ...] = ()
    has_more: bool = False
