"""The interface between routes and performers, and the faults of a performer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Voice:
    """Voice of an avatar.

    `variant` is an espeak-ng variant, `pitch` espeak's 0 to 99.
    """

    language: str = "en"
    pitch: int = 50
    variant: str = ""
    rate: float = 1.0
    emotion: str = "friendly"


@dataclass
class HearingSettings:
    """How the user is heard.

    The chat socket sets it, possibly while the session runs.
    """

    language: str = ""  # spoken by the user; empty: the voice's
    push_to_talk: bool = False  # hears only while pressed


@dataclass(frozen=True)
class Topics:
    """Data channel topics of a service that separates commands from events."""

    commands: str
    events: str


@dataclass(frozen=True)
class PerformerConfig:
    """Configuration of a performer for one session."""

    room_url: str
    token: str = field(repr=False)  # the avatar's join token, with the identity `heygen`
    look: str  # a key of looks.LOOKS
    quality: str = "medium"  # low, medium, high: 640x360, 852x480, 1280x720
    encoding: str = "VP8"  # or H264
    voice: Voice = Voice()
    knowledge: str = ""  # prompt of the knowledge base, the source of answers
    opening: str = ""
    listens: bool = False  # transcribe the user's microphone track
    hearing: HearingSettings = field(default_factory=HearingSettings)
    # With topics, the performer publishes nothing by itself. It reports everything to `on_event`, including
    # packets on the command topic as `_command`, and publishes only what is passed to `send_message`.
    topics: Topics | None = None
    has_user: Callable[[], Awaitable[bool]] | None = None  # asks the room's server; None if it cannot be asked


@dataclass
class PerformerFaults:
    """Faults that a performer reads continuously: they can change at any time."""

    late_s: float = 0.0
    no_video: bool = False
    no_audio: bool = False
    black: bool = False
    frozen: bool = False
    leaves_after_s: float | None = None
    packets: Literal["lost", "doubled", "reordered"] | None = None


class Performer(Protocol):
    """An avatar: `RoomPerformer` with media, `SilentPerformer` without."""

    faults: PerformerFaults

    async def join(self) -> None:
        """Connect and publish both tracks, then call `on_present`."""

    async def prepare(self, text: str) -> None:
        """Synthesize `text` in advance in a thread, so that `say` returns at once."""

    def say(self, text: str, *, task_id: str) -> float:
        """Queue `text` verbatim. Return the length of the speech in milliseconds."""

    def answer(self, text: str, *, task_id: str) -> float:
        """Queue the answer to `text`. Return the length of the speech in milliseconds."""

    def reply(self, text: str) -> str:
        """Return the answer to `text`."""

    def send_message(self, message: dict[str, Any]) -> None:
        """Publish a message in the room."""

    def play(self, pcm: bytes, *, task_id: str) -> None:
        """Queue audio of a client: 24 kHz, mono, signed 16 bit, little endian."""

    def end_play(self, task_id: str) -> None:
        """End the audio of a task."""

    def interrupt(self) -> None:
        """Stop speaking and clear the queue."""

    def listen(self, on: bool) -> None:
        """Show or leave the listening pose."""

    def hear(self, pcm: bytes) -> None:
        """Process microphone audio from a socket: 16 kHz, mono, signed 16 bit.

        Recognized speech is reported to `on_event` as `user_…` messages and answered.
        """

    def press(self, on: bool) -> None:
        """Set push to talk for the room's microphones.

        Audio between True and False is one utterance.
        """

    def notice_user(self) -> None:
        """Count a user as present who is in the room but has not been announced.

        Idempotent.
        """

    async def leave(self) -> None:
        """Leave the room. Safe to call twice."""


OnEvent = Callable[[dict[str, Any]], None]  # events in the form of HeyGen's data channel
OnPresent = Callable[[], None]  # called when both tracks are published
OnUser = Callable[[bool], None]  # True: a first user joined; False: the last one left
PerformerFactory = Callable[[PerformerConfig, OnEvent, OnPresent, OnUser], Performer]  # creates a session's performer
