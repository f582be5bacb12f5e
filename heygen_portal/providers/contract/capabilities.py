"""What a provider can do, and the words in which it is said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum


class TaskKind(StrEnum):
    """What the avatar does with a text: answer it, or read it aloud word for word."""

    TALK = "talk"
    REPEAT = "repeat"


class Quality(StrEnum):
    """The three picture sizes that providers offer."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class StopReason(StrEnum):
    """What a provider is told when a session is ended: by somebody, as nobody is there any more, or by a limit."""

    CLOSED = "closed"
    LEFT = "left"
    IDLE = "idle"
    DURATION = "duration"


class Interactivity(StrEnum):
    """When the avatar listens: all the time, or while somebody holds the button."""

    HANDS_FREE = "hands_free"
    PUSH_TO_TALK = "push_to_talk"


@dataclass(frozen=True)
class PushToTalk:
    """What the person's browser publishes in the room when the button is pressed and when it is let go."""

    start: str
    stop: str
    topic: str = ""


@dataclass(frozen=True)
class VoiceSetting:
    """A dial that the provider's own voices have beside rate and emotion; untouched it stands where they have it."""

    name: str
    least: float = 0.0
    most: float = 1.0

    def __str__(self) -> str:
        return self.name


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
    listening_mode_is_fixed: bool
    """Which of the two it is must be known when the session is opened."""
    interrupts: bool
    commands_in_room: bool
    """The browser publishes commands in the room, after the portal has checked and recorded them."""
    languages: tuple[str, ...]
    emotions: tuple[str, ...]
    qualities: tuple[Quality, ...]
    voice_rate: tuple[float, float]
    max_text_characters: int
    max_idle_timeout: timedelta
    accepts_own_rooms: bool = False
    """Its avatar comes into a room that is brought along."""
    speaks_opening: bool = False
    """It says the opening of its knowledge base by itself."""
    breaks_silence: bool = False
    """It can be asked to speak up when nobody says anything."""
    has_session_records: bool = False
    """What was said, why a session ended and what it cost can be asked for afterwards."""
    accepts_history: bool = False
    """A session that goes on from another one can be told what was said there."""
    can_delete_transcripts: bool = False
    """What was said in a session can be deleted there afterwards."""
    sandbox_limit: timedelta | None = None
    """It has sessions for trying out, free of charge, of at most this long."""
    sandbox_avatar: str = ""
    """The ID of the only avatar for trying out."""
    minimum_credits: Decimal = Decimal(0)
    """With less left than that, no session can be opened."""
    has_event_socket: bool = False
    """Beside the room it has a socket that tells what happens in a session."""
    makes_videos: bool = False
    """It makes recorded videos from texts."""
    max_video_text_characters: int = 0
    key_headers: tuple[str, ...] = ("x-api-key",)
    voice_settings: tuple[VoiceSetting, ...] = ()
    has_voice_samples: bool = False
    """A sample of any voice can be asked for; else only where the catalogue names an address."""
    encodings: tuple[str, ...] = ("H264", "VP8")
    """How it can send the picture. Recent iPhones show nothing but H264."""
