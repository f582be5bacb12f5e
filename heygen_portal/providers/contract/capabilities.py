"""Capabilities of a provider and the enums used in requests to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum


class TaskKind(StrEnum):
    """How the avatar treats a text: answer it, or say it verbatim."""

    TALK = "talk"
    REPEAT = "repeat"


class Quality(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class StopReason(StrEnum):
    """Reason passed to the provider when a session is stopped."""

    CLOSED = "closed"
    LEFT = "left"
    IDLE = "idle"
    DURATION = "duration"


class Interactivity(StrEnum):
    """Whether the avatar listens all the time or while a button is held."""

    HANDS_FREE = "hands_free"
    PUSH_TO_TALK = "push_to_talk"


@dataclass(frozen=True)
class PushToTalk:
    """Data packets that the browser publishes on press and release."""

    start: str
    stop: str
    topic: str = ""


@dataclass(frozen=True)
class VoiceSetting:
    """A voice setting other than rate and emotion.

    If it is not set, the provider's default applies.
    """

    name: str
    least: float = 0.0
    most: float = 1.0

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Capabilities:
    """Features and limits of a provider.

    Pages and admin depend on these values, never on a provider's name. `docs/providers.md` has a table of them.
    """

    takes_text: bool
    # Hears the microphone track that the user publishes in the room.
    takes_voice: bool
    # Detects by itself when the user starts and stops speaking.
    hands_free: bool
    # None if unsupported. After the first push-to-talk packet, the session no longer listens hands-free.
    push_to_talk: PushToTalk | None
    # Hands-free or push to talk must be chosen when the session is created.
    listening_mode_is_fixed: bool
    interrupts: bool
    # The browser publishes commands in the room, after the portal has checked and recorded them.
    commands_in_room: bool
    # Those of an account that was never synced. Afterwards its own list, or its voices, tell.
    languages: tuple[str, ...]
    emotions: tuple[str, ...]
    qualities: tuple[Quality, ...]
    voice_rate: tuple[float, float]
    max_text_characters: int
    max_idle_timeout: timedelta
    # The avatar can join a room of our own LiveKit server.
    accepts_own_rooms: bool = False
    # Says the opening of the knowledge base by itself.
    speaks_opening: bool = False
    # Can be asked to speak when the user is silent.
    breaks_silence: bool = False
    # Transcript, end reason and cost can be read after a session.
    has_session_records: bool = False
    # A new session can be given the transcript of the session it continues.
    accepts_history: bool = False
    # The transcript of an ended session can be deleted at the provider.
    can_delete_transcripts: bool = False
    # Maximum length of its free sandbox sessions; None if it has no sandbox.
    sandbox_limit: timedelta | None = None
    # ID of the only avatar that works in the sandbox.
    sandbox_avatar: str = ""
    # No session can be created with fewer credits.
    minimum_credits: Decimal = Decimal(0)
    # Reports a session's events through a socket of its own, beside the room.
    has_event_socket: bool = False
    # Answers can come from a model of ours, which the provider calls at an address of ours.
    takes_custom_model: bool = False
    # Renders recorded videos from text.
    makes_videos: bool = False
    max_video_text_characters: int = 0
    key_headers: tuple[str, ...] = ("x-api-key",)
    voice_settings: tuple[VoiceSetting, ...] = ()
    # Can return a sample of any voice. Otherwise only voices with a preview URL have one.
    has_voice_samples: bool = False
    # Video codecs it can send. Recent iPhones show nothing but H264.
    encodings: tuple[str, ...] = ("H264", "VP8")
