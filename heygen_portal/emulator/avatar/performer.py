"""The performer: joins a LiveKit room as the avatar, is seen there, talks and listens."""

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import Any, Final
from uuid import uuid4

from livekit import rtc

from heygen_portal.emulator.avatar.camera import Camera, Ticker
from heygen_portal.emulator.avatar.connect import enter
from heygen_portal.emulator.avatar.data_packets import Packets
from heygen_portal.emulator.avatar.microphones import Microphones, command
from heygen_portal.emulator.avatar.speaker import Mouthpiece, Played, Spoken
from heygen_portal.emulator.avatar.track_publication import Publication
from heygen_portal.emulator.face import sprites
from heygen_portal.emulator.sessions.interfaces import OnEvent, OnPresent, OnUser, Part, PerformerFaults
from heygen_portal.emulator.speech import answers
from heygen_portal.emulator.speech.recognition import Ear
from heygen_portal.emulator.speech.synthesis import speak

log = logging.getLogger(__name__)

IDENTITY: Final = "heygen"
_LONGEST_TEXT: Final = 1000  # characters; the routes refuse what is longer, here there is nobody to refuse it to


class Performer:
    """An avatar in a room; `part.py` says what each method promises."""

    def __init__(self, part: Part, on_event: OnEvent, on_present: OnPresent, on_user: OnUser) -> None:
        self.part = part
        self.faults = PerformerFaults()
        self._on_event = on_event
        self._on_present = on_present
        self._on_user = on_user
        self._room = rtc.Room()
        self._mouthpiece = Mouthpiece(self._tell, on_talking=self._leave_mid_sentence)
        self._microphones = Microphones(self._room, self._room_ear, listens=part.listens, is_user=_is_user)
        self._camera: Camera | None = None
        self._packets: Packets | None = None
        self._publications: list[Publication] = []
        self._ears: dict[str, Ear] = {}  # for the room's microphones, and for one brought by a socket
        self._playing: dict[str, Played] = {}
        self._users: set[str] = set()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._leaving: asyncio.Task[None] | None = None
        self._exit: asyncio.TimerHandle | None = None

    async def join(self) -> None:
        if self.faults.late_s:
            await asyncio.sleep(self.faults.late_s)
        self._room.on("participant_connected", self._arrived)
        self._room.on("participant_disconnected", self._departed)
        self._room.on("data_received", self._told)
        self._room.on("disconnected", self._thrown_out)
        sheet, _ = await asyncio.gather(
            asyncio.to_thread(sprites.sheet, self.part.look, self.part.quality),
            enter(self._room, self.part.room_url, self.part.token),
        )
        topic = self.part.topics.events if self.part.topics else ""
        self._packets = Packets(self._room.local_participant, self.faults, topic)
        self._camera = Camera(self.part, sheet, self._mouthpiece.shape, self.faults)
        await self._appear(self._camera)
        self._on_present()
        self._microphones.begin()
        for participant in self._room.remote_participants.values():
            self._arrived(participant)

    async def _appear(self, camera: Camera) -> None:
        publication = partial(Publication, self._room.local_participant)
        self._publications = [
            publication(camera.track, camera.options, lambda: not self.faults.no_video),
            publication(self._mouthpiece.track, self._mouthpiece.options, lambda: not self.faults.no_audio),
        ]
        camera.start()  # the first picture is there before the track is, so that nobody waits for it
        await asyncio.gather(*(publication.publish() for publication in self._publications))
        Ticker.current().add(self._obey)

    async def prepare(self, text: str) -> None:
        await asyncio.to_thread(speak, text, self.part.voice)

    def say(self, text: str, *, task_id: str) -> float:
        self._mouthpiece.add(Spoken(task_id, text, self.part.voice))
        return speak(text, self.part.voice).seconds * 1000

    def answer(self, text: str, *, task_id: str) -> float:
        return self.say(self.reply(text), task_id=task_id)

    def reply(self, text: str) -> str:
        language = self.part.voice.language
        return answers.answer(text, knowledge=self.part.knowledge, opening=self.part.opening, language=language)

    def tell(self, message: dict[str, Any]) -> None:
        if self._packets:
            self._packets.send(message)

    def play(self, pcm: bytes, *, task_id: str) -> None:
        if task_id not in self._playing:
            self._playing[task_id] = Played(task_id)
            self._mouthpiece.add(self._playing[task_id])
        self._playing[task_id].add(pcm)

    def end_play(self, task_id: str) -> None:
        if played := self._playing.pop(task_id, None):
            played.end()

    def interrupt(self) -> None:
        self._playing.clear()
        self._mouthpiece.interrupt()

    def listen(self, on: bool) -> None:
        if self._camera:
            self._camera.listening = on

    def hear(self, pcm: bytes) -> None:
        # The socket that brought the sound tells its client what was heard; the room would tell it twice.
        if "socket" not in self._ears:
            self._ears["socket"] = self._ear(self._on_event)
        self._ears["socket"].hear(pcm)

    def press(self, on: bool) -> None:
        self._room_ear().press(on)

    async def leave(self) -> None:
        if self._leaving is None:
            self._leaving = asyncio.create_task(self._leave())
        await asyncio.shield(self._leaving)

    async def _leave(self) -> None:
        if self._exit:
            self._exit.cancel()
        Ticker.current().remove(self._obey)
        await asyncio.gather(*(publication.settle(self._gone) for publication in self._publications))
        await self._microphones.close()
        await asyncio.gather(*(ear.close() for ear in self._ears.values()))
        if self._packets:
            await self._packets.close()
        with suppress(Exception):  # the room may be gone already
            await self._room.disconnect()
        # Only now: until the room is left, its encoders read from these.
        await self._mouthpiece.close()
        if self._camera:
            await self._camera.close()

    def _tell(self, message: dict[str, Any]) -> None:
        if not self.part.topics:
            self.tell(message)
        self._on_event(message)

    def _room_ear(self) -> Ear:
        if "room" not in self._ears:
            self._ears["room"] = self._ear(self._tell)
        return self._ears["room"]

    def _ear(self, tell: OnEvent) -> Ear:
        return Ear(
            self.part.hearing,
            self.part.voice.language,
            tell=tell,
            on_text=self._heard,
            on_deaf=self._excuse,
        )

    def _heard(self, text: str) -> None:
        if not self.part.topics:  # else whoever puts the events into words answers, too
            self.answer(text, task_id=str(uuid4()))

    def _excuse(self, words: str) -> None:
        if self.part.topics:
            self._on_event({"type": "_deaf", "message": words})
        else:
            self.say(words, task_id=str(uuid4()))

    def _told(self, packet: rtc.DataPacket) -> None:
        """Obey what a client sends on the data channel."""
        # LiveKit tells of a person who publishes no track up to three seconds late: a sender yet unknown is one.
        if packet.participant and not _is_user(packet.participant):
            return
        if self.part.topics:
            if packet.topic == self.part.topics.commands:
                self._on_event({"type": "_command", "payload": packet.data})
            return
        text, pressed = command(packet.data)
        if pressed is not None:
            self._room_ear().press(pressed)
        elif text:
            self.answer(text[:_LONGEST_TEXT], task_id=str(uuid4()))

    def _obey(self, now: float) -> None:
        for publication in self._publications:
            publication.follow()

    def _leave_mid_sentence(self) -> None:
        if self.faults.leaves_after_s is not None and self._exit is None:
            self._exit = asyncio.get_running_loop().call_later(self.faults.leaves_after_s, self._go)

    def _go(self) -> None:
        self._leaving = self._leaving or asyncio.create_task(self._leave())

    def _thrown_out(self, reason: object) -> None:
        if not self._gone.done():
            self._gone.set_result(None)
        self._go()

    def _arrived(self, participant: rtc.RemoteParticipant) -> None:
        if _is_user(participant) and participant.identity not in self._users:
            self._users.add(participant.identity)
            self._on_user(True)

    def _departed(self, participant: rtc.RemoteParticipant) -> None:
        if participant.identity in self._users:
            self._users.discard(participant.identity)
            if not self._users:
                self._on_user(False)


def _is_user(participant: rtc.RemoteParticipant) -> bool:
    """Neither the avatar nor a program that helps it: agents are known by kind or by name."""
    is_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
    return (
        not is_agent
        and participant.identity != IDENTITY
        and not participant.identity.startswith(("agent", "liveavatar-agent-"))
    )
