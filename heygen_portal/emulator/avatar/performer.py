"""The avatar as a LiveKit participant: shows video, talks and listens."""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import Any, Final
from uuid import uuid4

from livekit import rtc

from heygen_portal.emulator.avatar.camera import Camera, Ticker
from heygen_portal.emulator.avatar.connect import connect_to_room
from heygen_portal.emulator.avatar.data_packets import PacketSender
from heygen_portal.emulator.avatar.microphones import Microphones, parse_message
from heygen_portal.emulator.avatar.speaker import PlayedAudio, Speaker, SpokenText
from heygen_portal.emulator.avatar.track_publication import Publication
from heygen_portal.emulator.face import sprites
from heygen_portal.emulator.sessions.interfaces import OnEvent, OnPresent, OnUser, PerformerConfig, PerformerFaults
from heygen_portal.emulator.speech import answers
from heygen_portal.emulator.speech.recognition import SpeechRecognizer
from heygen_portal.emulator.speech.synthesis import speak

log = logging.getLogger(__name__)

AVATAR_IDENTITY: Final = "heygen"
_MAX_TEXT_CHARACTERS: Final = 1000  # longer texts are cut, as the data channel cannot refuse them
# LiveKit announces a participant without tracks up to three seconds late, and on a busy machine later.
_ANNOUNCEMENT_SECONDS: Final = 15.0


class RoomPerformer:
    """An avatar in a room. `Performer` documents the methods."""

    def __init__(self, config: PerformerConfig, on_event: OnEvent, on_present: OnPresent, on_user: OnUser) -> None:
        self.config = config
        self.faults = PerformerFaults()
        self._on_event = on_event
        self._on_present = on_present
        self._on_user = on_user
        self._room = rtc.Room()
        self._speaker = Speaker(self._report, on_talking=self._schedule_exit)
        self._microphones = Microphones(self._room, self._room_recognizer, listens=config.listens, is_user=_is_user)
        self._camera: Camera | None = None
        self._packets: PacketSender | None = None
        self._publications: list[Publication] = []
        self._recognizers: dict[
            str, SpeechRecognizer
        ] = {}  # `room` for the room's microphones, `socket` for a socket's
        self._playing: dict[str, PlayedAudio] = {}
        self._users: set[str] = set()
        self._unannounced: asyncio.TimerHandle | None = None  # runs while a user is here whom LiveKit has not announced
        self._looking: asyncio.Task[None] | None = None
        self._disconnected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaving: asyncio.Task[None] | None = None
        self._exit_timer: asyncio.TimerHandle | None = None

    async def join(self) -> None:
        if self.faults.late_s:
            await asyncio.sleep(self.faults.late_s)
        self._room.on("participant_connected", self._on_joined)
        self._room.on("participant_disconnected", self._on_left)
        self._room.on("local_track_subscribed", self._on_subscribed)
        self._room.on("data_received", self._on_data)
        self._room.on("disconnected", self._on_disconnected)
        sheet, _ = await asyncio.gather(
            asyncio.to_thread(sprites.sheet, self.config.look, self.config.quality),
            connect_to_room(self._room, self.config.room_url, self.config.token),
        )
        topic = self.config.topics.events if self.config.topics else ""
        self._packets = PacketSender(self._room.local_participant, self.faults, topic)
        self._camera = Camera(self.config, sheet, self._speaker.shape, self.faults)
        await self._publish_tracks(self._camera)
        self._on_present()
        self._microphones.start()
        for participant in self._room.remote_participants.values():
            self._on_joined(participant)

    async def _publish_tracks(self, camera: Camera) -> None:
        publication = partial(Publication, self._room.local_participant)
        self._publications = [
            publication(camera.track, camera.options, lambda: not self.faults.no_video),
            publication(self._speaker.track, self._speaker.options, lambda: not self.faults.no_audio),
        ]
        camera.start()  # before publishing, so that the first frame is ready
        await asyncio.gather(*(publication.publish() for publication in self._publications))
        Ticker.current().add(self._update_tracks)

    async def prepare(self, text: str) -> None:
        await asyncio.to_thread(speak, text, self.config.voice)

    def say(self, text: str, *, task_id: str) -> float:
        self._speaker.add(SpokenText(task_id, text, self.config.voice))
        return speak(text, self.config.voice).seconds * 1000

    def answer(self, text: str, *, task_id: str) -> float:
        return self.say(self.reply(text), task_id=task_id)

    def reply(self, text: str) -> str:
        language = self.config.voice.language
        return answers.answer(text, knowledge=self.config.knowledge, opening=self.config.opening, language=language)

    def send_message(self, message: dict[str, Any]) -> None:
        if self._packets:
            self._packets.send(message)

    def play(self, pcm: bytes, *, task_id: str) -> None:
        if task_id not in self._playing:
            self._playing[task_id] = PlayedAudio(task_id)
            self._speaker.add(self._playing[task_id])
        self._playing[task_id].add(pcm)

    def end_play(self, task_id: str) -> None:
        if played := self._playing.pop(task_id, None):
            played.end()

    def interrupt(self) -> None:
        self._playing.clear()
        self._speaker.interrupt()

    def listen(self, on: bool) -> None:
        if self._camera:
            self._camera.listening = on

    def hear(self, pcm: bytes) -> None:
        # The socket reports the recognized speech to its client; the room would report it twice.
        if "socket" not in self._recognizers:
            self._recognizers["socket"] = self._new_recognizer(self._on_event)
        self._recognizers["socket"].hear(pcm)

    def press(self, on: bool) -> None:
        self._room_recognizer().press(on)

    def notice_user(self) -> None:
        if self._users or self._unannounced or self._leaving:
            return
        loop = asyncio.get_running_loop()
        self._unannounced = loop.call_later(_ANNOUNCEMENT_SECONDS, self._end_unannounced)
        self._on_user(True)

    async def leave(self) -> None:
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave())
        await asyncio.shield(self._leaving)

    async def _leave(self) -> None:
        for pending in (self._exit_timer, self._unannounced, self._looking):
            if pending:
                pending.cancel()
        Ticker.current().remove(self._update_tracks)
        await asyncio.gather(*(publication.settle(self._disconnected) for publication in self._publications))
        await self._microphones.close()
        await asyncio.gather(*(recognizer.close() for recognizer in self._recognizers.values()))
        if self._packets:
            await self._packets.close()
        with suppress(Exception):  # the room may be gone already
            await self._room.disconnect()
        # After disconnecting: until then the room's encoders read from these sources.
        await self._speaker.close()
        if self._camera:
            await self._camera.close()

    def _report(self, message: dict[str, Any]) -> None:
        if not self.config.topics:
            self.send_message(message)
        self._on_event(message)

    def _room_recognizer(self) -> SpeechRecognizer:
        if "room" not in self._recognizers:
            self._recognizers["room"] = self._new_recognizer(self._report)
        return self._recognizers["room"]

    def _new_recognizer(self, report: OnEvent) -> SpeechRecognizer:
        return SpeechRecognizer(
            self.config.hearing,
            self.config.voice.language,
            report=report,
            on_text=self._on_text,
            on_no_model=self._on_no_model,
        )

    def _on_text(self, text: str) -> None:
        if not self.config.topics:  # otherwise the service answers
            self.answer(text, task_id=str(uuid4()))

    def _on_no_model(self, words: str) -> None:
        if self.config.topics:
            self._on_event({"type": "_no_model", "message": words})
        else:
            self.say(words, task_id=str(uuid4()))

    def _on_data(self, packet: rtc.DataPacket) -> None:
        """Handle a client's message on the data channel."""
        if packet.participant is None:
            self.notice_user()
        elif not _is_user(packet.participant):
            return
        if self.config.topics:
            if packet.topic == self.config.topics.commands:
                self._on_event({"type": "_command", "payload": packet.data})
            return
        text, pressed = parse_message(packet.data)
        if pressed is not None:
            self._room_recognizer().press(pressed)
        elif text:
            self.answer(text[:_MAX_TEXT_CHARACTERS], task_id=str(uuid4()))

    def _update_tracks(self, now: float) -> None:
        for publication in self._publications:
            publication.follow()

    def _schedule_exit(self) -> None:
        if self.faults.leaves_after_s is not None and self._exit_timer is None:
            self._exit_timer = asyncio.get_running_loop().call_later(self.faults.leaves_after_s, self._start_leaving)

    def _start_leaving(self) -> None:
        self._leaving = self._leaving or asyncio.create_task(self._leave())

    def _on_disconnected(self, reason: object) -> None:
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        self._start_leaving()

    def _on_joined(self, participant: rtc.RemoteParticipant) -> None:
        if _is_user(participant) and participant.identity not in self._users:
            self._users.add(participant.identity)
            if self._unannounced:
                self._unannounced.cancel()
                self._unannounced = None
            else:
                self._on_user(True)

    def _on_subscribed(self, track: rtc.LocalTrack | None) -> None:
        if not (self._users or self._unannounced or self._looking):
            self._looking = asyncio.create_task(self._look_for_user())

    async def _look_for_user(self) -> None:
        """Notice a user who subscribed to our tracks before LiveKit announces the user.

        LiveKit does not say who subscribed. In a room that cannot be listed, it may be any agent.
        """
        try:
            if await self.config.has_user() if self.config.has_user else not self._has_agent():
                self.notice_user()
        finally:
            self._looking = None

    def _has_agent(self) -> bool:
        return not all(map(_is_user, self._room.remote_participants.values()))

    def _end_unannounced(self) -> None:
        """Count a user who was never announced as gone.

        LiveKit does not report the leaving of such a user.
        """
        self._unannounced = None
        if not self._users:
            self._on_user(False)

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity in self._users:
            self._users.discard(participant.identity)
            if not self._users:
                self._on_user(False)


def _is_user(participant: rtc.RemoteParticipant) -> bool:
    """Return whether a participant is a user, not the avatar or an agent.

    Agents are recognized by kind or by name.
    """
    is_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    return (
        not is_agent
        and participant.identity != AVATAR_IDENTITY
        and not participant.identity.startswith(("agent", "liveavatar-agent-"))
    )
