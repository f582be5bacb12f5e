"""The contract every provider of avatars keeps: what it is asked, what it answers; `errors` says how it fails.

Nothing here knows Django or the database, and who asks a provider needs no other module than this one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import BinaryIO, ClassVar, Protocol, Self

from heygen_portal.providers.contract.capabilities import (
    Capabilities,
    Interactivity,
    PushToTalk,
    Quality,
    StopReason,
    TaskKind,
    VoiceSetting,
)
from heygen_portal.providers.contract.catalogue import (
    CatalogueAvatar,
    CatalogueKnowledgeBase,
    CatalogueVoice,
    ProviderEvent,
)
from heygen_portal.providers.contract.errors import (
    CredentialRefused,
    LimitReached,
    NotReady,
    NotSent,
    OutOfCredits,
    ProviderError,
    ProviderRejected,
    ProviderUnreachable,
    SessionGone,
)
from heygen_portal.providers.contract.session_records import (
    PastSession,
    PastSessions,
    SessionRecord,
    Speaker,
    SpokenLine,
)
from heygen_portal.providers.contract.videos import VideoRequest, VideoStatus

__all__ = [
    "Account",
    "Capabilities",
    "CatalogueAvatar",
    "CatalogueKnowledgeBase",
    "CatalogueVoice",
    "CredentialRefused",
    "Delivered",
    "Delivery",
    "Interactivity",
    "LimitReached",
    "NotReady",
    "NotSent",
    "OpenSession",
    "OutOfCredits",
    "OwnRoom",
    "PastSession",
    "PastSessions",
    "Provider",
    "ProviderError",
    "ProviderRejected",
    "ProviderSession",
    "ProviderUnreachable",
    "PushToTalk",
    "Quality",
    "RoomAccess",
    "RoomCommand",
    "SessionGone",
    "SessionRecord",
    "SessionRequest",
    "Speaker",
    "SpokenLine",
    "StopReason",
    "TaskKind",
    "VoiceSetting",
]


ENCODINGS = ("H264", "VP8")
"""Of the picture, the usual one first: with VP8 some iPhones stay black."""


class Account(Protocol):
    """What a provider needs to know of an account."""

    kind: str
    base_url: str
    api_key: str
    key_header: str
    is_sandbox: bool


@dataclass(frozen=True)
class OwnRoom:
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
    voice_settings: Mapping[str, float] = field(default_factory=dict)
    """The provider's own, each within the limits that its capabilities name."""
    knowledge_base_id: str = ""
    knowledge: str = ""
    """The base's own text, where it goes along with `conversation_history`."""
    conversation_history: str = ""
    """What was said in the conversation that goes on; only with the capability `accepts_history`."""
    language: str = ""
    quality: Quality | None = None
    video_encoding: str = ENCODINGS[0]
    takes_voice: bool = False
    idle_timeout: timedelta | None = None
    duration_limit: timedelta | None = None
    interactivity: Interactivity = Interactivity.HANDS_FREE
    breaks_silence: bool = False
    room: OwnRoom | None = None
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
    async def stop_session(self, provider_session_id: str, why: StopReason = StopReason.CLOSED) -> None:
        """End a session, and say why where the provider asks. Raises SessionGone when there is nothing left to end."""

    @abstractmethod
    async def list_sessions(self) -> list[OpenSession]:
        """Return the sessions that the provider holds open for this account."""

    async def read_record(self, provider_session_id: str) -> SessionRecord:
        """Return what it keeps of a session that is over; nothing without the capability `has_session_records`."""
        return SessionRecord()

    async def forget(self, provider_session_id: str) -> None:
        """Delete for good what was said in a session that is over; only with the capability `can_delete_transcripts`.

        Safe to repeat. Raises SessionGone when it does not know the session.
        """
        raise NotImplementedError

    async def past_sessions(self, page: int = 1) -> PastSessions:
        """Return a page of the sessions that are over; nothing where the provider keeps no such list."""
        return PastSessions()

    def listen(self, provider_session_id: str) -> AsyncGenerator[ProviderEvent, None]:
        """Tell what the provider's own socket tells of a session, until it closes; only with `has_event_socket`.

        Raises SessionGone when there is no such session any more.
        """
        raise NotImplementedError

    async def make_video(self, request: VideoRequest) -> str:
        """Order a recorded video; return the provider's ID. Never repeated blindly: each success costs money.

        This and the next three only with the capability `makes_videos`.
        """
        raise NotImplementedError

    async def video_status(self, provider_video_id: str) -> VideoStatus:
        """Return how far a video is, and where its file is for now."""
        raise NotImplementedError

    async def find_video(self, reference: str) -> str:
        """Return the ID of the video that was ordered under a reference; empty when there is none."""
        raise NotImplementedError

    async def save_video(self, url: str, into: BinaryIO) -> None:
        """Write the file that a status names, at most 1 GB of it."""
        raise NotImplementedError

    @abstractmethod
    async def credits(self) -> Decimal | None:
        """Return what is left to spend; None where it does not say."""

    @abstractmethod
    async def list_avatars(self) -> list[CatalogueAvatar]:
        """Return the avatars that can be used in a live session."""

    @abstractmethod
    async def list_voices(self) -> list[CatalogueVoice]:
        """Return the voices."""

    @abstractmethod
    async def list_knowledge_bases(self) -> list[CatalogueKnowledgeBase]:
        """Return the knowledge bases."""

    @abstractmethod
    async def create_knowledge_base(self, *, name: str, opening: str, prompt: str) -> str:
        """Store a knowledge base; return the provider's ID."""

    @abstractmethod
    async def change_knowledge_base(self, base: CatalogueKnowledgeBase) -> None:
        """Store these texts in the place of its own. Sessions that run may keep the old ones."""

    @abstractmethod
    async def delete_knowledge_base(self, provider_knowledge_base_id: str) -> None:
        """Delete it for good. Raises ProviderRejected when it is not there."""

    @abstractmethod
    async def download(self, url: str) -> bytes:
        """Return a preview image that the catalogue names, at most 5 MB."""

    async def voice_sample(self, provider_voice_id: str, url: str) -> bytes:
        """Return how a voice sounds, at most 5 MB; `url` is what the catalogue names, if it does."""
        return await self.download(url)

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""
