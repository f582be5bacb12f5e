"""A session as ordered from either service, with every default filled in."""

from dataclasses import dataclass

from heygen_portal.emulator.sessions.interfaces import Voice


@dataclass(frozen=True)
class CatalogueAvatar:
    """`streams` is False for those that only the Video API knows, `deprecated` for versions before v3."""

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
    """The caller's LiveKit, in place of the service's."""

    url: str
    room: str
    token: str


@dataclass(frozen=True)
class SessionOptions:
    """A session as ordered, every default filled in."""

    avatar: CatalogueAvatar
    voice: Voice
    voice_name: str
    quality: str
    encoding: str
    knowledge: str
    opening: str
    language: str  # that the person speaks; empty for the voice's own
    idle_s: float | None  # None: never closed for idleness
    listens: bool  # to the microphone in the room
    own_room: OwnRoom | None
    duration_s: float | None = None  # None: as the rules say
    cost_factor: float = 1.0  # of what a minute costs
