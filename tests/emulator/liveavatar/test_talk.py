"""A FULL session's conversation as reported in its room, with a silent performer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygen_portal.emulator.avatar.silent_performer import SilentPerformer
from heygen_portal.emulator.liveavatar.catalogue import SANDBOX_AVATAR, Context
from heygen_portal.emulator.liveavatar.service import LiveAvatarService
from heygen_portal.emulator.sessions.clock import Clock
from heygen_portal.emulator.sessions.interfaces import OnEvent, OnPresent, OnUser, PerformerConfig
from heygen_portal.emulator.sessions.rooms import LiveKit, Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.store import Session

KEY = LiveKit(secret="s" * 32)


class RecordingPerformer(SilentPerformer):
    """Records the messages it would publish."""

    def __init__(self, part: PerformerConfig, on_event: OnEvent, on_present: OnPresent, on_user: OnUser) -> None:
        super().__init__(part, on_event, on_present, on_user)
        self.published: list[dict[str, Any]] = []

    def send_message(self, message: dict[str, Any]) -> None:
        self.published.append(message)

    def receive_event(self, kind: str, **more: Any) -> None:
        self._on_event({"type": kind, "task_id": "user-1", **more})

    def receive_command(self, event_type: str, **more: Any) -> None:
        """Simulate a command published in the room."""
        self._on_event({"type": "_command", "payload": json.dumps({"event_type": event_type, **more}).encode()})

    @property
    def kinds(self) -> list[str]:
        return [message["event_type"] for message in self.published]


async def opened(**body: Any) -> tuple[LiveAvatarService, Session, RecordingPerformer]:
    """Return a session with avatar and user present and one known fact."""
    service = LiveAvatarService(Rules(), Rooms(KEY, has_server=False), RecordingPerformer, Clock())
    context = Context("Hours", "We open at nine.", "")
    service.catalogue.add_context(context)
    persona = {"avatar_persona": {"context_id": context.id}}
    session_id, _ = service.create_token({"mode": "FULL", "avatar_id": SANDBOX_AVATAR, **persona, **body})
    session = service.open(session_id)
    await run_pending_tasks()
    performer = service.performer(session)
    assert isinstance(performer, RecordingPerformer)
    return service, session, performer


async def run_pending_tasks() -> None:
    """Let pending tasks of the event loop run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_spoken_question_is_reported_answered_and_recorded() -> None:
    service, session, performer = await opened()
    performer.receive_event("user_start")
    performer.receive_event("user_talking_message", message="When do you open?")
    performer.receive_event("user_end_message")
    performer.receive_event("user_stop")
    await run_pending_tasks()
    chunks = [kind for kind in performer.kinds if kind == "avatar.transcription.chunk"]
    assert performer.kinds == [
        "user.speak_started",
        "user.transcription.chunk",
        "user.speak_ended",
        "user.transcription",
        *chunks,
        "avatar.transcription",
        "avatar.speak_started",
    ]
    assert [line.role for line in session.transcript] == ["user", "avatar"]
    assert {message["session_id"] for message in performer.published} == {session.id}
    await service.close()


@pytest.mark.parametrize(("mode", "is_interrupted"), [("CONVERSATIONAL", True), ("PUSH_TO_TALK", False)])
async def test_speaking_interrupts_the_avatar_except_with_push_to_talk(mode: str, is_interrupted: bool) -> None:
    service, _, performer = await opened(interactivity_type=mode)
    performer.receive_command("avatar.speak_text", text="A long text " * 40)
    await run_pending_tasks()
    performer.receive_event("user_start")
    assert ("avatar.speak_ended" in performer.kinds) == is_interrupted
    await service.close()


async def test_every_push_to_talk_command_is_acknowledged() -> None:
    for mode, expected in (
        ("PUSH_TO_TALK", ["started", "start_failed", "stopped", "stop_failed"]),
        ("CONVERSATIONAL", ["start_failed", "start_failed", "stop_failed", "stop_failed"]),
    ):
        service, _, performer = await opened(interactivity_type=mode)
        for verb in ("start", "start", "stop", "stop"):
            performer.receive_command(f"user.{verb}_push_to_talk")
        assert [kind.removeprefix("user.push_to_talk_") for kind in performer.kinds] == expected
        await service.close()


async def test_speech_queued_before_an_interruption_is_never_spoken() -> None:
    service, _, performer = await opened()
    for text in ("First " * 40, "Second."):
        performer.receive_command("avatar.speak_text", text=text)
    performer.receive_command("avatar.interrupt")
    performer.receive_command("avatar.speak_text", text="Third.", event_id="mine")
    await run_pending_tasks()
    started = [
        message["source_event_id"] for message in performer.published if message["event_type"] == "avatar.speak_started"
    ]
    assert started == ["mine"]
    await service.close()


async def test_the_end_reason_is_the_last_message() -> None:
    service, session, performer = await opened()
    await service.stop(session.id, "USER_DISCONNECTED")
    assert performer.published[-1]["event_type"] == "session.stopped"
    assert performer.published[-1]["stop_reason"] == performer.published[-1]["end_reason"] == "USER_DISCONNECTED"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(
    ["avatar.speak_text", "avatar.speak_response", "avatar.interrupt", "user.start_push_to_talk", "session.stop"]
)


@settings(max_examples=40, deadline=None)
@given(
    st.binary(max_size=40) | st.builds(lambda kind, text, more: json.dumps(
        {"event_type": kind, "text": text, "event_id": more}, default=str).encode(), KINDS | JSON, JSON, JSON)
)  # fmt: skip
def test_no_data_packet_breaks_the_session(payload: bytes) -> None:
    async def publish() -> None:
        service, session, performer = await opened()
        performer.receive_event("_command", payload=payload)
        await run_pending_tasks()
        assert session.is_open
        assert all(message["session_id"] == session.id for message in performer.published)
        await service.close()

    asyncio.run(publish())
