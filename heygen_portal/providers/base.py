"""The contract every provider of avatars keeps: what it is asked, what it answers, how it fails.

Nothing here knows Django or the database. Errors, each because somebody catches it:

* ProviderError
  - ProviderUnreachable   no usable answer; the call may or may not have taken effect
    + NotSent             the call never reached it: nothing can have taken effect
  - ProviderRejected      an answer that says no, with the provider's own code
    + CredentialRefused   the key is wrong, blocked, or not allowed to do this
    + LimitReached        no free place, or too many calls: later may work
    + OutOfCredits        the account has nothing left to spend
    + NotReady            the session is not connected yet: soon may work
    + SessionGone         the session is closed or unknown; for a stop, that is success
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, Protocol, Self


class ProviderError(Exception):
    """Something went wrong at the provider. The message never holds a key, a token or what people said."""


class ProviderUnreachable(ProviderError):
    """No usable answer came: the call may or may not have taken effect."""


class NotSent(ProviderUnreachable):
    """No connection came about: nothing can have taken effect."""


class ProviderRejected(ProviderError):
    """The provider said no. `code` is its own code, `status` the HTTP status."""

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class CredentialRefused(ProviderRejected):
    """The key is wrong, blocked, or not allowed to do this."""


class LimitReached(ProviderRejected):
    """No free place, or too many calls."""


class OutOfCredits(ProviderRejected):
    """The account has nothing left to spend."""


class NotReady(ProviderRejected):
    """The session is not connected yet."""


class SessionGone(ProviderRejected):
    """The session is closed or unknown."""


class TaskKind(StrEnum):
    """What the avatar does with a text: answer it, or read it aloud word for word."""

    TALK = "talk"
    REPEAT = "repeat"


class Quality(StrEnum):
    """The three picture sizes that providers offer."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Interactivity(StrEnum):
    """When the avatar listens: all the time, or while somebody holds the button."""

    HANDS_FREE = "hands_free"
    PUSH_TO_TALK = "push_to_talk"


class Account(Protocol):
    """What a provider needs to know of an account."""

    kind: str
    base_url: str
    api_key: str
    key_header: str
    is_sandbox: bool


@dataclass(frozen=True)
class PushToTalk:
    """What the person's browser publishes in the room when the button is pressed and when it is let go."""

    start: str
    stop: str
    topic: str = ""


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do; pages and admin follow it and never ask for the provider's name.

    `docs/providers.md` has the table of them all.
    """

    takes_text: bool
    takes_voice: bool
    """It hears the microphone that a person publishes in the room."""
    hands_free: bool
    """It finds out for itself when somebody begins and ends to speak."""
    push_to_talk: PushToTalk | None
    """It can be told. From the first time on, it hears nothing else in that session."""
    listening_is_settled: bool
    """Which of the two it is must be known when the session is opened."""
    interrupts: bool
    commands_in_room: bool
    """The browser publishes commands in the room, after the portal has checked and recorded them."""
    languages: tuple[str, ...]
    emotions: tuple[str, ...]
    qualities: tuple[Quality, ...]
    voice_rate: tuple[float, float]
    longest_text: int
    longest_idle: timedelta
    takes_rooms: bool = False
    """Its avatar comes into a room that is brought along."""
    opens_by_itself: bool = False
    """It says the opening of its knowledge base by itself."""
    breaks_silence: bool = False
    """It can be asked to speak up when nobody says anything."""
    keeps_record: bool = False
    """What was said, why a session ended and what it cost can be asked for afterwards."""
    sandbox_limit: timedelta | None = None
    """It has sessions for trying out, free of charge, of at most this long."""
    minimum_credits: Decimal = Decimal(0)
    """With less left than that, no session can be opened."""
    key_headers: tuple[str, ...] = ("x-api-key",)


@dataclass(frozen=True)
class BroughtRoom:
    """A room of our own LiveKit, and the token with which the provider's avatar enters it."""

    url: str
    name: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class SessionRequest:
    """What a new session is to be. Empty strings and None are left out of the call."""

    avatar_id: str
    voice_id: str = ""
    voice_rate: float | None = None
    voice_emotion: str = ""
    knowledge_base_id: str = ""
    language: str = ""
    quality: Quality | None = None
    video_encoding: str = "H264"
    takes_voice: bool = False
    idle_timeout: timedelta | None = None
    duration_limit: timedelta | None = None
    interactivity: Interactivity = Interactivity.HANDS_FREE
    breaks_silence: bool = False
    room: BroughtRoom | None = None
    """None: the provider has one of its own."""


@dataclass(frozen=True)
class RoomAccess:
    """Where the LiveKit room is, and the token that opens it for one person. Only rooms of ours have a `name` here."""

    url: str
    token: str = field(repr=False)
    name: str = ""


@dataclass(frozen=True)
class ProviderSession:
    """The provider's answer to a new session. `credential` is good for this session's calls only."""

    provider_session_id: str
    room: RoomAccess | None
    duration_limit: timedelta | None = None
    is_paid: bool | None = None
    credential: str = field(default="", repr=False)


@dataclass(frozen=True)
class OpenSession:
    """One row of the provider's own list of open sessions."""

    provider_session_id: str
    status: str
    created_at: datetime | None


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
class Delivered:
    """The provider took it. `duration` is how long the speech lasts, where it says so."""

    provider_task_id: str = ""
    duration: timedelta | None = None


@dataclass(frozen=True)
class RoomCommand:
    """Not sent yet: only the room's own participant may publish it, so it goes to the browser.

    `provider_task_id` is what the provider's events will call it, where they do.
    """

    topic: str
    payload: str = field(repr=False)
    provider_task_id: str = ""


Delivery = Delivered | RoomCommand


@dataclass(frozen=True)
class AvatarOffer:
    """An avatar as the provider's catalogue lists it."""

    provider_avatar_id: str
    name: str
    preview_url: str
    default_voice_id: str
    is_active: bool


@dataclass(frozen=True)
class VoiceOffer:
    """A voice as the provider's catalogue lists it. `language` is a two-letter code, or empty for many."""

    provider_voice_id: str
    name: str
    language: str
    gender: str
    preview_url: str
    has_emotions: bool


@dataclass(frozen=True)
class KnowledgeBaseOffer:
    """A knowledge base as the provider's catalogue lists it."""

    provider_knowledge_base_id: str
    name: str
    opening: str
    prompt: str


class Provider(ABC):
    """One account at one provider. Every method waits for the network and raises only ProviderError."""

    label: ClassVar[str]
    """What people call it."""
    address: ClassVar[str]
    """Where its API is, unless an account says otherwise."""
    capabilities: ClassVar[Capabilities]

    @classmethod
    @abstractmethod
    def connect(cls, account: Account) -> Self:
        """Return a provider for the account. Asks nobody yet."""

    @abstractmethod
    async def new_session(self, request: SessionRequest) -> ProviderSession:
        """Open a session. Never repeated blindly: each success holds a place and costs money."""

    @abstractmethod
    async def start_session(self, session: ProviderSession) -> ProviderSession:
        """Bring the avatar into the room; return the session with what only this answer tells, such as the room."""

    @abstractmethod
    async def send_task(self, provider_session_id: str, *, text: str, kind: TaskKind) -> Delivery:
        """Have the avatar answer a text or read it aloud. Raises NotReady before both are in the room."""

    @abstractmethod
    async def interrupt(self, provider_session_id: str) -> Delivery:
        """Silence the avatar."""

    @abstractmethod
    async def keep_alive(self, provider_session_id: str) -> None:
        """Start the provider's idle clock anew."""

    @abstractmethod
    async def stop_session(self, provider_session_id: str) -> None:
        """End a session. Raises SessionGone when there is nothing left to end."""

    @abstractmethod
    async def list_sessions(self) -> list[OpenSession]:
        """Return the sessions that the provider holds open for this account."""

    async def read_record(self, provider_session_id: str) -> SessionRecord:
        """Return what it keeps of a session that is over; nothing without the capability `keeps_record`."""
        return SessionRecord()

    @abstractmethod
    async def credits(self) -> Decimal | None:
        """Return what is left to spend; None where it does not say."""

    @abstractmethod
    async def list_avatars(self) -> list[AvatarOffer]:
        """Return the avatars that can be used in a live session."""

    @abstractmethod
    async def list_voices(self) -> list[VoiceOffer]:
        """Return the voices."""

    @abstractmethod
    async def list_knowledge_bases(self) -> list[KnowledgeBaseOffer]:
        """Return the knowledge bases."""

    @abstractmethod
    async def create_knowledge_base(self, *, name: str, opening: str, prompt: str) -> str:
        """Store a knowledge base; return the provider's ID."""

    @abstractmethod
    async def download(self, url: str) -> bytes:
        """Return a preview image that the catalogue names, at most 5 MB."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""
