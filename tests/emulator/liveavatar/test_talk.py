"""A FULL session's conversation in the words of its room, with a performer that can neither be seen nor heard."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heygen_portal.emulator.avatar.silent_performer import Silent
from heygen_portal.emulator.liveavatar.catalogue import SANDBOX_AVATAR, Context
from heygen_portal.emulator.liveavatar.service import LiveStudio
from heygen_portal.emulator.sessions.clock import Clock
from heygen_portal.emulator.sessions.interfaces import OnEvent, OnPresent, OnUser, Part
from heygen_portal.emulator.sessions.rooms import LiveKit, Rooms
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.store import Session

KEY = LiveKit(secret="s" * 32)


class Told(Silent):
    """Keeps what it would have published."""

    def __init__(self, part: Part, on_event: OnEvent, on_present: OnPresent, on_user: OnUser) -> None:
        super().__init__(part, on_event, on_present, on_user)
        self.told: list[dict[str, Any]] = []

    def tell(self, message: dict[str, Any]) -> None:
        self.told.append(message)

    def happens(self, kind: str, **more: Any) -> None:
        self._on_event({"type": kind, "task_id": "user-1", **more})

    def says(self, event_type: str, **more: Any) -> None:
        """Somebody in the room publishes a command."""
        self._on_event({"type": "_command", "payload": json.dumps({"event_type": event_type, **more}).encode()})

    @property
    def kinds(self) -> list[str]:
        return [message["event_type"] for message in self.told]


async def opened(**body: Any) -> tuple[LiveStudio, Session, Told]:
    """A session whose avatar and person are there, knowing one thing."""
    studio = LiveStudio(Rules(), Rooms(KEY, is_real=False), Told, Clock())
    context = Context("Hours", "We open at nine.", "")
    studio.catalogue.add_context(context)
    persona = {"avatar_persona": {"context_id": context.id}}
    session_id, _ = studio.mint({"mode": "FULL", "avatar_id": SANDBOX_AVATAR, **persona, **body})
    session = studio.open(session_id)
    await settled()
    actor = studio.actor(session)
    assert isinstance(actor, Told)
    return studio, session, actor


async def settled() -> None:
    """Let everything that waits for nothing but its turn come to it."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_spoken_question_is_told_answered_and_kept() -> None:
    studio, session, actor = await opened()
    actor.happens("user_start")
    actor.happens("user_talking_message", message="When do you open?")
    actor.happens("user_end_message")
    actor.happens("user_stop")
    await settled()
    chunks = [kind for kind in actor.kinds if kind == "avatar.transcription.chunk"]
    assert actor.kinds == [
        "user.speak_started",
        "user.transcription.chunk",
        "user.speak_ended",
        "user.transcription",
        *chunks,
        "avatar.transcription",
        "avatar.speak_started",
    ]
    assert [line.role for line in session.transcript] == ["user", "avatar"]
    assert {message["session_id"] for message in actor.told} == {session.id}
    await studio.close()


@pytest.mark.parametrize(("mode", "is_broken_off"), [("CONVERSATIONAL", True), ("PUSH_TO_TALK", False)])
async def test_who_speaks_into_the_avatars_speech_interrupts_it_but_for_push_to_talk(
    mode: str, is_broken_off: bool
) -> None:
    studio, _, actor = await opened(interactivity_type=mode)
    actor.says("avatar.speak_text", text="A long text " * 40)
    await settled()
    actor.happens("user_start")
    assert ("avatar.speak_ended" in actor.kinds) == is_broken_off
    await studio.close()


async def test_push_to_talk_is_answered_in_every_case() -> None:
    for mode, expected in (
        ("PUSH_TO_TALK", ["started", "start_failed", "stopped", "stop_failed"]),
        ("CONVERSATIONAL", ["start_failed", "start_failed", "stop_failed", "stop_failed"]),
    ):
        studio, _, actor = await opened(interactivity_type=mode)
        for verb in ("start", "start", "stop", "stop"):
            actor.says(f"user.{verb}_push_to_talk")
        assert [kind.removeprefix("user.push_to_talk_") for kind in actor.kinds] == expected
        await studio.close()


async def test_what_was_queued_before_an_interruption_is_never_said() -> None:
    studio, _, actor = await opened()
    for text in ("First " * 40, "Second."):
        actor.says("avatar.speak_text", text=text)
    actor.says("avatar.interrupt")
    actor.says("avatar.speak_text", text="Third.", event_id="mine")
    await settled()
    started = [message["source_event_id"] for message in actor.told if message["event_type"] == "avatar.speak_started"]
    assert started == ["mine"]
    await studio.close()


async def test_the_reason_of_the_end_is_the_last_that_is_told() -> None:
    studio, session, actor = await opened()
    await studio.stop(session.id, "USER_DISCONNECTED")
    assert actor.told[-1]["event_type"] == "session.stopped"
    assert actor.told[-1]["stop_reason"] == actor.told[-1]["end_reason"] == "USER_DISCONNECTED"


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
def test_nothing_that_is_published_in_a_room_breaks_its_session(payload: bytes) -> None:
    async def publish() -> None:
        studio, session, actor = await opened()
        actor.happens("_command", payload=payload)
        await settled()
        assert session.is_open
        assert all(message["session_id"] == session.id for message in actor.told)
        await studio.close()

    asyncio.run(publish())
