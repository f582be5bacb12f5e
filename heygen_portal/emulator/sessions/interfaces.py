"""What the routes and the performer say to each other: one part to play, and the ways to spoil it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol


@dataclass(frozen=True)
class Voice:
    """How an avatar sounds. `variant` names an espeak-ng variant, `pitch` is espeak's 0 to 99."""

    language: str = "en"
    pitch: int = 50
    variant: str = ""
    rate: float = 1.0
    emotion: str = "friendly"


@dataclass
class HearingSettings:
    """How the person is heard. The chat socket's address decides it, and may come while the session runs."""

    language: str = ""  # spoken by the person; empty for the voice's own
    push_to_talk: bool = False  # only what is between two marks is heard


@dataclass(frozen=True)
class Topics:
    """The data channel's topics where a service keeps its commands and its events apart."""

    commands: str
    events: str


@dataclass(frozen=True)
class PerformerConfig:
    """What a performer is to be, for one session."""

    room_url: str
    token: str = field(repr=False)  # the avatar's own join token, identity `heygen`
    look: str  # a key of looks.LOOKS
    quality: str = "medium"  # low, medium, high: 640x360, 852x480, 1280x720
    encoding: str = "VP8"  # or H264
    voice: Voice = Voice()
    knowledge: str = ""  # the knowledge base's prompt, the source of every answer
    opening: str = ""
    listens: bool = False  # transcribe the person's microphone in the room
    hearing: HearingSettings = field(default_factory=HearingSettings)
    # With topics the performer does not speak for itself in the room: what happens to it is told by `on_event` alone,
    # a packet on the topic of commands among it, as `_command`; what is then said in the room comes by `tell`.
    topics: Topics | None = None


@dataclass
class PerformerFaults:
    """Switches the performer reads live, so that a running session can be spoilt."""

    late_s: float = 0.0
    no_video: bool = False
    no_audio: bool = False
    black: bool = False
    frozen: bool = False
    leaves_after_s: float | None = None
    packets: Literal["lost", "doubled", "reordered"] | None = None


class Performer(Protocol):
    """A performer as the routes see it; `room.Performer` with media, `silent.Silent` without."""

    faults: PerformerFaults

    async def join(self) -> None:
        """Connect and publish both tracks; `on_present` follows when both are there."""

    async def prepare(self, text: str) -> None:
        """Make the sound of `text` in advance, in a thread; `say` then returns at once."""

    def say(self, text: str, *, task_id: str) -> float:
        """Queue `text` word for word; return how long it will sound, in milliseconds."""

    def answer(self, text: str, *, task_id: str) -> float:
        """Queue the answer to `text`; return how long it will sound, in milliseconds."""

    def reply(self, text: str) -> str:
        """The words that would answer `text`."""

    def tell(self, message: dict[str, Any]) -> None:
        """Publish a message in the room."""

    def play(self, pcm: bytes, *, task_id: str) -> None:
        """Queue sound brought by a client: 24 kHz, mono, signed 16 bit, little endian."""

    def end_play(self, task_id: str) -> None:
        """No more sound follows for this task."""

    def interrupt(self) -> None:
        """Fall silent and forget what was queued."""

    def listen(self, on: bool) -> None:
        """Take or leave the listening pose."""

    def hear(self, pcm: bytes) -> None:
        """Take in sound of the person's microphone that came by a socket: 16 kHz, mono, signed 16 bit.

        What is understood is told by `user_…` messages, to `on_event` alone, and answered.
        """

    def press(self, on: bool) -> None:
        """Push to talk for the microphones of the room: what is heard between True and False is one utterance."""

    async def leave(self) -> None:
        """Leave the room; safe to call twice."""


OnEvent = Callable[[dict[str, Any]], None]  # all that happens, in the words of HeyGen's data channel
OnPresent = Callable[[], None]  # both tracks are published
OnUser = Callable[[bool], None]  # somebody other than avatar and agent came (True) or the last one left
PerformerFactory = Callable[
    [PerformerConfig, OnEvent, OnPresent, OnUser], Performer
]  # how the routes come by a performer
