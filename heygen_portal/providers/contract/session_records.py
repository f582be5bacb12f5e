"""What a provider keeps of sessions that are over."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum


class Speaker(StrEnum):
    """Who said a line."""

    AVATAR = "avatar"
    USER = "user"


@dataclass(frozen=True)
class SpokenLine:
    """One line of the provider's own transcript. `at` is None where it cannot be told when."""

    who: Speaker
    text: str = field(repr=False)
    at: datetime | None = None


@dataclass(frozen=True)
class SessionRecord:
    """What the provider keeps of a session that is over."""

    end_reason: str = ""
    duration: timedelta | None = None
    credits: Decimal | None = None
    lines: tuple[SpokenLine, ...] = ()


@dataclass(frozen=True)
class PastSession:
    """One row of the provider's own history."""

    provider_session_id: str
    created_at: datetime | None = None
    duration: timedelta | None = None
    end_reason: str = ""
    credits: Decimal | None = None


@dataclass(frozen=True)
class PastSessions:
    """One page of it, the newest first."""

    rows: tuple[PastSession, ...] = ()
    has_more: bool = False
