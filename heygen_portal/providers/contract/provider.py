"""The interface that every provider implements. `errors` has the exceptions.

Independent of Django and the database. Callers import everything they need from this module.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, BinaryIO, ClassVar, Protocol, Self

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
    "CustomModel",
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


# Video codecs, the default first. Some iPhones show a black picture with VP8.
ENCODINGS = ("H264", "VP8")


class Account(Protocol):
    """Connection settings of a provider account."""

    kind: str
    base_url: str
    api_key: str
    key_header: str
    is_sandbox: bool


@dataclass(frozen=True)
class OwnRoom:
    """A room on our own LiveKit server, with the token for the provider's avatar."""

    url: str
    name: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class CustomModel:
    """A model that the provider calls in place of its own, by OpenAI's API, with a token for one session.

    `name` identifies what the provider stores of it. `base_url` has a path, as https://portal.example.com/brain/v1.
    """

    name: str
    model: str
    base_url: str
    token: str = field(repr=False)


@dataclass(frozen=True)
class SessionRequest:
    """Options of a new session. Empty strings and None are omitted from the request."""

    avatar_id: str
    voice_id: str = ""
    voice_rate: float | None = None
    voice_emotion: str = ""
    # Provider-specific, each within the range that its capabilities give.
    voice_settings: Mapping[str, float] = field(default_factory=dict)
    knowledge_base_id: str = ""
    # Text of the knowledge base, sent together with `conversation_history`.
    knowledge: str = ""
    # Transcript of the session that this one continues. Requires `accepts_history`.
    conversation_history: str = ""
    language: str = ""
    quality: Quality | None = None
    video_encoding: str = ENCODINGS[0]
    takes_voice: bool = False
    idle_timeout: timedelta | None = None
    duration_limit: timedelta | None = None
    interactivity: Interactivity = Interactivity.HANDS_FREE
    breaks_silence: bool = False
    # What `add_custom_model` returned: the model that answers. Empty: the provider's own.
    custom_model_id: str = ""
    # None: the provider creates the room.
    room: OwnRoom | None = None


@dataclass(frozen=True)
class RoomAccess:
    """URL of a LiveKit room and a participant's token.

    Only our own rooms have a `name`.
    """

    url: str
    token: str = field(repr=False)
    name: str = ""


@dataclass(frozen=True)
class ProviderSession:
    """A session as the provider created it.

    `credential` authorizes calls for this session only.
    """

    provider_session_id: str
    room: RoomAccess | None
    duration_limit: timedelta | None = None
    is_paid: bool | None = None
    credential: str = field(default="", repr=False)
    # Fields of the request as they were sent, with dotted names. None in place of texts and secrets.
    sent: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class OpenSession:
    """A row of the provider's list of open sessions."""

    provider_session_id: str
    status: str
    created_at: datetime | None


@dataclass(frozen=True)
class Delivered:
    """The provider accepted the task.

    `duration` is the length of the speech, if reported.
    """

    provider_task_id: str = ""
    duration: timedelta | None = None


@dataclass(frozen=True)
class RoomCommand:
    """A command that the browser must publish, as only a participant of the room can.

    `provider_task_id` identifies the task in the provider's events, if it reports any.
    """

    topic: str
    payload: str = field(repr=False)
    provider_task_id: str = ""


Delivery = Delivered | RoomCommand


class Provider(ABC):
    """One account at one provider. Methods raise only ProviderError."""

    # Name shown to people.
    label: ClassVar[str]
    # Default base URL of the API; an account can override it.
    address: ClassVar[str]
    capabilities: ClassVar[Capabilities]
    # The names in `ProviderSession.sent` of the settings of a session, by the names of our own.
    sent_as: ClassVar[Mapping[str, str]] = {}

    @classmethod
    @abstractmethod
    def connect(cls, account: Account) -> Self:
        """Return a provider for the account, without a network call."""

    @abstractmethod
    async def new_session(self, request: SessionRequest) -> ProviderSession:
        """Create a session.

        Not idempotent: each success occupies a slot and costs money.
        """

    @abstractmethod
    async def start_session(self, session: ProviderSession) -> ProviderSession:
        """Send the avatar into the room.

        Return the session completed with what only this response contains, such as the room.
        """

    @abstractmethod
    async def send_task(self, provider_session_id: str, *, text: str, kind: TaskKind) -> Delivery:
        """Have the avatar answer a text or say it verbatim.

        Raises NotReady before user and avatar are in the room.
        """

    @abstractmethod
    async def interrupt(self, provider_session_id: str) -> Delivery:
        """Stop the avatar's current speech."""

    @abstractmethod
    async def keep_alive(self, provider_session_id: str) -> None:
        """Reset the provider's idle timeout."""

    @abstractmethod
    async def stop_session(self, provider_session_id: str, why: StopReason = StopReason.CLOSED) -> None:
        """End a session. Raises SessionGone if it is not open."""

    @abstractmethod
    async def list_sessions(self) -> list[OpenSession]:
        """Return the account's open sessions."""

    async def read_record(self, provider_session_id: str) -> SessionRecord:
        """Return the record of an ended session, empty without `has_session_records`."""
        return SessionRecord()

    async def forget(self, provider_session_id: str) -> None:
        """Delete the transcript of an ended session at the provider. Idempotent.

        Requires `can_delete_transcripts`. Raises SessionGone for an unknown session.
        """
        raise NotImplementedError

    async def past_sessions(self, page: int = 1) -> PastSessions:
        """Return a page of ended sessions, empty if the provider has no such list."""
        return PastSessions()

    async def add_custom_model(self, model: CustomModel) -> str:
        """Store a model for one session and return the provider's ID of it.

        Not idempotent: after a failure, `remove_custom_models` removes what may have been stored. This and the next
        method require `takes_custom_model`.
        """
        raise NotImplementedError

    async def remove_custom_models(self, names: Collection[str]) -> None:
        """Remove all that the provider has stored of the models with these names. Idempotent."""
        raise NotImplementedError

    def listen(self, provider_session_id: str) -> AsyncGenerator[ProviderEvent, None]:
        """Yield events from the provider's own socket until it closes.

        Requires `has_event_socket`. Raises SessionGone if the session is not open.
        """
        raise NotImplementedError

    async def make_video(self, request: VideoRequest) -> str:
        """Order a recorded video and return the provider's ID.

        Not idempotent: each success costs money. This and the next three methods require `makes_videos`.
        """
        raise NotImplementedError

    async def video_status(self, provider_video_id: str) -> VideoStatus:
        """Return the progress of a video and the temporary URL of its file."""
        raise NotImplementedError

    async def find_video(self, reference: str) -> str:
        """Return the ID of the video ordered with `reference`, or "" if there is none."""
        raise NotImplementedError

    async def save_video(self, url: str, into: BinaryIO) -> None:
        """Write the file of a finished video, at most 1 GB."""
        raise NotImplementedError

    @abstractmethod
    async def credits(self) -> Decimal | None:
        """Return the remaining credits, or None if the provider does not report them."""

    @abstractmethod
    async def list_avatars(self) -> list[CatalogueAvatar]:
        """Return the avatars that can be used in a live session."""

    @abstractmethod
    async def list_voices(self) -> list[CatalogueVoice]:
        """Return the voices of the catalogue."""

    async def list_languages(self) -> list[str]:
        """Return the codes of the languages that sessions can be held in, or nothing if only the voices tell."""
        return []

    @abstractmethod
    async def list_knowledge_bases(self) -> list[CatalogueKnowledgeBase]:
        """Return the account's knowledge bases."""

    @abstractmethod
    async def create_knowledge_base(self, *, name: str, opening: str, prompt: str) -> str:
        """Create a knowledge base and return the provider's ID."""

    @abstractmethod
    async def change_knowledge_base(self, base: CatalogueKnowledgeBase) -> None:
        """Replace the texts of a knowledge base. Running sessions may keep the old ones."""

    @abstractmethod
    async def delete_knowledge_base(self, provider_knowledge_base_id: str) -> None:
        """Delete a knowledge base. Raises ProviderRejected if it does not exist."""

    @abstractmethod
    async def download(self, url: str) -> bytes:
        """Return a preview image of the catalogue, at most 5 MB."""

    async def voice_sample(self, provider_voice_id: str, url: str) -> bytes:
        """Return a sample of a voice, at most 5 MB.

        `url` is the voice's preview URL, empty if the catalogue has none.
        """
        return await self.download(url)

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""
