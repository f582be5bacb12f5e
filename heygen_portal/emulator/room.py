"""The performer: joins a LiveKit room as the avatar, is seen there, talks and listens."""

import asyncio
import logging
from contextlib import suppress
from typing import Any, Final

from livekit import rtc

from heygen_portal.emulator import mind, sprites
from heygen_portal.emulator.camera import Camera
from heygen_portal.emulator.mouthpiece import Mouthpiece, Played, Spoken
from heygen_portal.emulator.packets import Packets
from heygen_portal.emulator.part import OnEvent, OnPresent, OnUser, Part, PerformerFaults
from heygen_portal.emulator.voice import speak

log = logging.getLogger(__name__)

IDENTITY: Final = "heygen"


class Performer:
    """An avatar in a room; `part.py` says what each method promises."""

    def __init__(self, part: Part, on_event: OnEvent, on_present: OnPresent, on_user: OnUser) -> None:
        self.part = part
        self.faults = PerformerFaults()
        self._on_event = on_event
        self._on_present = on_present
        self._on_user = on_user
        self._room = rtc.Room()
        self._camera: Camera | None = None
        self._packets: Packets | None = None
        self._mouthpiece = Mouthpiece(self._tell)
        self._mouthpiece.on_talking = self._leave_mid_sentence
        self._playing: dict[str, Played] = {}
        self._users: set[str] = set()
        self._has_left = False
        self._leaving: asyncio.TimerHandle | None = None

    async def join(self) -> None:
        if self.faults.late_s:
            await asyncio.sleep(self.faults.late_s)
        self._room.on("participant_connected", self._arrived)
        self._room.on("participant_disconnected", self._departed)
        options = rtc.RoomOptions(auto_subscribe=False, single_peer_connection=True)
        sheet, _ = await asyncio.gather(
            asyncio.to_thread(sprites.sheet, self.part.look, self.part.quality),
            self._room.connect(self.part.room_url, self.part.token, options),
        )
        self._packets = Packets(self._room.local_participant)
        self._packets.faults = self.faults
        self._camera = Camera(self.part, sheet, self._mouthpiece.shape)
        self._camera.faults = self.faults
        self._camera.start()
        await asyncio.gather(*self._publications(self._camera))
        self._on_present()
        for participant in self._room.remote_participants.values():
            self._arrived(participant)

    def _publications(self, camera: Camera) -> list[Any]:
        publish = self._room.local_participant.publish_track
        wanted = []
        if not self.faults.no_video:
            wanted.append(publish(camera.track, camera.options))
        if not self.faults.no_audio:
            wanted.append(publish(self._mouthpiece.track, self._mouthpiece.options))
        return wanted

    def say(self, text: str, *, task_id: str) -> float:
        speech = speak(text, self.part.voice)
        self._mouthpiece.add(Spoken(task_id, speech))
        return speech.seconds * 1000

    def answer(self, text: str, *, task_id: str) -> float:
        language = self.part.voice.language
        reply = mind.answer(text, knowledge=self.part.knowledge, opening=self.part.opening, language=language)
        return self.say(reply, task_id=task_id)

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

    async def leave(self) -> None:
        if self._has_left:
            return
        self._has_left = True
        if self._leaving:
            self._leaving.cancel()
        await self._mouthpiece.close()
        if self._camera:
            await self._camera.close()
        if self._packets:
            await self._packets.close()
        with suppress(Exception):  # the room may be gone already
            await self._room.disconnect()

    def _tell(self, message: dict[str, Any]) -> None:
        if self._packets:
            self._packets.send(message)
        self._on_event(message)

    def _leave_mid_sentence(self) -> None:
        if self.faults.leaves_after_s is not None and self._leaving is None:
            loop = asyncio.get_running_loop()
            self._leaving = loop.call_later(self.faults.leaves_after_s, lambda: loop.create_task(self.leave()))

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
    return not is_agent and participant.identity != IDENTITY and not participant.identity.startswith("agent")
