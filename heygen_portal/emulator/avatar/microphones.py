"""Microphone tracks of the users in the room.

The newest track of each is transcribed.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Final

from livekit import rtc

from heygen_portal.emulator.speech.recognition import SpeechRecognizer
from heygen_portal.emulator.speech.voice_activity import SAMPLE_RATE

_PUSH_TO_TALK: Final = {"push_to_talk:start": True, "push_to_talk:stop": False}


class Microphones:
    """Transcribes users' audio tracks.

    Subscribes to none unless `listens`, to save processing.
    """

    def __init__(
        self,
        room: rtc.Room,
        recognizer: Callable[[], SpeechRecognizer],
        *,
        listens: bool,
        is_user: Callable[[rtc.RemoteParticipant], bool],
    ) -> None:
        self._new_recognizer = recognizer
        self._listens = listens
        self._is_user = is_user
        self._streams: dict[str, asyncio.Task[None]] = {}  # by participant
        room.on("track_published", self._published)
        room.on("track_subscribed", self._subscribed)
        self._room = room

    def start(self) -> None:
        """Subscribe to tracks published before the avatar joined."""
        for participant in self._room.remote_participants.values():
            for publication in participant.track_publications.values():
                self._published(publication, participant)

    async def close(self) -> None:
        for stream in self._streams.values():
            stream.cancel()
        if self._streams:
            await asyncio.wait(self._streams.values())

    def _published(self, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        if self._listens and publication.kind == rtc.TrackKind.KIND_AUDIO and self._is_user(participant):
            publication.set_subscribed(True)

    def _subscribed(self, track: rtc.Track, _: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant) -> None:
        # Clients that restart their microphone publish a second track and keep the first.
        if older := self._streams.get(participant.identity):
            older.cancel()
        self._streams[participant.identity] = asyncio.create_task(self._listen(track))

    async def _listen(self, track: rtc.Track) -> None:
        recognizer = self._new_recognizer()
        stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1)
        try:
            async for event in stream:
                recognizer.hear(event.frame.data.tobytes())
        finally:
            await stream.aclose()


def parse_message(payload: bytes) -> tuple[str, bool | None]:
    """Parse a client's message: a text to answer, or push to talk.

    Return ("", None) for anything else, since everyone in the room can send data.
    """
    try:
        text = json.loads(payload)
    except ValueError:
        return "", None
    if not isinstance(text, str):
        return "", None
    return ("", _PUSH_TO_TALK[text]) if text in _PUSH_TO_TALK else (text.strip(), None)
