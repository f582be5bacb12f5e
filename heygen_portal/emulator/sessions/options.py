"""Options of a session of either service, with every default filled in."""

from dataclasses import dataclass

from heygen_portal.emulator.sessions.interfaces import Voice


@dataclass(frozen=True)
class CatalogueAvatar:
    """An avatar of the catalogue.

    `streams` is False for avatars of the Video API only, `deprecated` True before version 3.
    """

    avatar_id: str
    name: str
    look: str
    gender: str
    default_voice: str
    created_at: int
    status: str = "ACTIVE"
    streams: bool = True
    deprecated: bool = False


@dataclass(frozen=True)
class OwnRoom:
    """A room on the caller's LiveKit server."""

    url: str
    room: str
    token: str


@dataclass(frozen=True)
class SessionOptions:
    avatar: CatalogueAvatar
    voice: Voice
    voice_name: str
    quality: str
    encoding: str
    knowledge: str
    opening: str
    language: str  # spoken by the user; empty: the voice's
    idle_s: float | None  # None: no idle timeout
    listens: bool  # to the user's microphone in the room
    own_room: OwnRoom | None
    duration_s: float | None = None  # None: the limit in `Rules`
    cost_factor: float = 1.0  # multiplies the cost of a minute
