"""A persona with the organisation's own model answers typed texts, sentence by sentence."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone

from avatars.models import ModelService, ProviderAccount
from heygen_portal.providers.contract.provider import Delivered, ProviderUnreachable, RoomCommand, TaskKind
from heygen_portal.providers.openai.messages import Finished, Message, ToolCall, Usage
from heygen_portal.runtime import background
from sessions.actions import control, send_task
from sessions.brain import answering, record, running, sources
from sessions.brain.interfaces import ModelFailure, Passage, Written
from sessions.brain.sources import Sources
from sessions.brain.tools import built_in
from sessions.capacity import quotas
from sessions.costs import ledger
from sessions.integrity import verification
from sessions.lifecycle import end_evidence, events, transitions
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import (
    Answer,
    DayTotal,
    EndReason,
    SessionEvent,
    SessionTask,
    SessionTotal,
    Status,
    StreamingSession,
)
from sessions.web import page_socket
from tests.sessions.tabs import Tab, a_person, a_persona, browser
from tests.support.factories import PersonaFactory, StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True)
class Chunk:
    chunk_id: int = 7
    document_title: str = "Opening hours"
    heading: str = "Opening hours › Weekdays"
    page: int | None = 4
    text: str = "Open from 9 to 18."
    fingerprint: str = "abc"


class Model:
    """Streams what a test puts in, and remembers what it was asked."""

    def __init__(self) -> None:
        self.deltas: asyncio.Queue[str | ToolCall | Finished | Exception] = asyncio.Queue()
        self.asked: list[Sequence[Message]] = []
        self.unanswered: list[str] = []
        self.is_asked, self.is_closed = asyncio.Event(), asyncio.Event()

    def says(self, *texts: str | ToolCall | Exception) -> None:
        for text in texts:
            self.deltas.put_nowait(text)
        self.deltas.put_nowait(Finished("stop", Usage(90, 10)))

    async def stream(self, messages: Sequence[Message]) -> AsyncGenerator[str | ToolCall | Finished, None]:
        self.asked.append(messages)
        self.is_closed.clear()
        self.is_asked.set()
        try:
            while True:
                delta = await self.deltas.get()
                if isinstance(delta, Exception):
                    raise delta
                yield delta
        finally:
            self.is_closed.set()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """Replace the model and the documents of every session."""
    stand_in = Model()

    async def search(*wordings: str) -> Sequence[Passage]:
        return [Chunk()]

    async def find_written(question: str) -> Written | None:
        return None

    def load(session: StreamingSession) -> Sources:
        assert session.version is not None
        tools = built_in.tools_of(session.version, search)
        brain = replace(sources.brain_of(session.version), has_documents=True, tools=tools)

        async def record_unanswered(question: str) -> None:
            stand_in.unanswered.append(question)

        service = ModelService(name="Ours", chat_model="gpt", input_price=Decimal(2), output_price=Decimal(10))
        return Sources(brain, stand_in.stream, search, find_written, record_unanswered, service)

    monkeypatch.setattr(sources, "load", load)
    return stand_in


@pytest.fixture
def sent(provider: Mock) -> list[tuple[str, str]]:
    """Collect what the provider is told to say."""
    texts: list[tuple[str, str]] = []

    async def send(session_id: str, *, text: str, kind: TaskKind) -> Delivered:
        texts.append((kind.value, text))
        return Delivered(f"task-{len(texts)}")

    provider.send_task.side_effect = send
    return texts


async def ask(tab: Tab, text: str = "¿Cuándo abrís?", ref: str = "r1") -> None:
    await tab.say("task.send", ref=ref, kind="talk", text=text)
    await tab.hear("task.sent", ref=ref, status="sent")


def a_live_session() -> StreamingSession:
    persona = PersonaFactory.create(published=True, brain="own")
    return StreamingSessionFactory.create(persona=persona, version=persona.current)


@sync_to_async
def answers() -> list[Answer]:
    return list(Answer.objects.order_by("pk"))


async def on_page(test: Callable[[Tab, UUID], Any], **fields: Any) -> None:
    user, persona = await a_person(), await a_persona(brain="own", instructions="Sé amable.", greeting="", **fields)
    async with browser(user, persona.slug) as tab:
        await test(tab, UUID(await tab.go_live()))


@sync_to_async
def begins_to_speak(session_id: UUID, task_id: str) -> None:
    events.record(session_id, Entry(EventKind.AVATAR_START_TALKING, {"task_id": task_id}, events.Source.BROWSER))


@sync_to_async
def faults() -> list[Any]:
    return list(verification.faults())


async def test_sentences_are_said_in_order_the_first_before_the_last_is_known(
    model: Model, sent: list[tuple[str, str]]
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.deltas.put_nowait("Abrimos a las 9. [1] Cerramos")
        first = await tab.hear("answer.sentence")
        assert (first["ref"], first["text"], first["provider_task_id"]) == ("r1", "Abrimos a las 9.", "task-1")
        assert [(source["number"], source["title"], source["page"]) for source in first["sources"]] == [
            (1, "Opening hours", 4)
        ]
        model.says(" a las 18.")
        assert (await tab.hear("answer.sentence"))["text"] == "Cerramos a las 18."
        assert (await tab.hear("answer.ended"))["state"] == "answered"
        assert sent == [("repeat", "Abrimos a las 9."), ("repeat", "Cerramos a las 18.")]
        [answer] = await answers()
        assert (answer.service, answer.model, answer.prompt_tokens, answer.completion_tokens) == ("Ours", "gpt", 90, 10)
        assert answer.cost == Decimal("0.00028")
        assert len(answer.sentences) == 2
        assert answer.first_sentence
        assert await faults() == []

    await on_page(test)


async def test_what_was_said_before_is_in_the_prompt(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        for number in (1, 2):
            await ask(tab, f"Pregunta {number}", ref=f"r{number}")
            model.says(f"Respuesta {number}. Y más.")
            await tab.hear("answer.ended")
        assert [(line.role, line.content) for line in model.asked[1][1:]] == [
            ("user", "Pregunta 1"),
            ("assistant", "Respuesta 1. Y más."),
            ("user", "Pregunta 2"),
        ]

    await on_page(test)


async def test_an_interruption_closes_the_request_and_marks_what_was_not_spoken(
    model: Model, provider: Mock, sent: list[tuple[str, str]]
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.deltas.put_nowait("Una. Dos. Tres")
        await tab.hear("answer.sentence", text="Una.")
        await tab.hear("answer.sentence", text="Dos.")
        await begins_to_speak(session_id, "task-1")
        await tab.say("task.interrupt")
        assert (await tab.hear("answer.ended"))["state"] == "interrupted"
        assert model.is_closed.is_set()
        provider.interrupt.assert_awaited()
        [answer] = await answers()
        assert answer.reason == "interrupt"
        assert answer.unspoken == [answer.sentences[1]["task"]]
        assert answer.is_estimated
        assert answer.prompt_tokens > 0
        await ask(tab, "¿Y?", ref="r2")
        await asyncio.wait_for(model.is_asked.wait(), WAIT_TIMEOUT_S)
        model.says("Cuatro.")
        await tab.hear("answer.ended")
        assert [line.content for line in model.asked[1] if line.role == "assistant"] == ["Una."]
        assert await faults() == []

    await on_page(test)


async def test_a_new_text_replaces_the_answer_that_is_being_given(
    model: Model, provider: Mock, sent: list[tuple[str, str]]
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.deltas.put_nowait("Una. Dos")
        await tab.hear("answer.sentence", text="Una.")
        await tab.say("task.send", ref="r2", kind="talk", text="Otra cosa")
        await tab.hear("answer.ended", ref="r1", state="interrupted")
        model.says("Vale.")
        await tab.hear("answer.ended", ref="r2", state="answered")
        assert [text for _kind, text in sent] == ["Una.", "Vale."]
        provider.interrupt.assert_awaited_once()
        assert [answer.reason for answer in await answers()] == ["new_text", ""]

    await on_page(test)


async def test_a_stop_ends_the_answer(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        await asyncio.wait_for(model.is_asked.wait(), WAIT_TIMEOUT_S)
        await tab.say("session.stop")
        await tab.hear("answer.ended", state="interrupted")
        assert model.is_closed.is_set()
        assert [answer.reason for answer in await answers()] == ["stop"]
        await tab.hear("session.status", status="ended")
        assert await faults() == []

    await on_page(test)


async def test_another_process_can_interrupt(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        await asyncio.wait_for(model.is_asked.wait(), WAIT_TIMEOUT_S)
        await sync_to_async(record.interrupt)(session_id, running.INTERRUPT)
        await tab.hear("answer.ended", state="interrupted")
        assert model.is_closed.is_set()
        assert sent == []

    await on_page(test)


async def test_a_stop_by_the_worker_closes_the_request(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        await asyncio.wait_for(model.is_asked.wait(), WAIT_TIMEOUT_S)
        session = await StreamingSession.objects.aget(pk=session_id)
        await sync_to_async(transitions.begin_stop)(session, EndReason.IDLE, end_evidence.not_listed())
        await tab.hear("answer.ended", state="interrupted")
        assert model.is_closed.is_set()
        assert [answer.reason for answer in await answers()] == ["stop"]

    await on_page(test)


async def test_an_answer_for_a_program_is_interrupted_at_once(model: Model, sent: list[tuple[str, str]]) -> None:
    """No socket of the session is open in the process that gives the answer."""
    session = await sync_to_async(a_live_session)()
    await send_task.send_task(session.pk, text="¿Y?", kind=TaskKind.TALK, user_id=session.user_id)
    await asyncio.wait_for(model.is_asked.wait(), WAIT_TIMEOUT_S)
    await sync_to_async(record.interrupt)(session.pk, running.INTERRUPT)
    await asyncio.wait_for(model.is_closed.wait(), WAIT_TIMEOUT_S)
    await background.finish()
    assert [(answer.state, answer.reason) for answer in await answers()] == [("interrupted", "interrupt")]


async def test_a_process_that_shuts_down_ends_its_answers(
    model: Model, sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks: list[Callable[[], Coroutine[Any, Any, None]]] = []
    monkeypatch.setattr(background, "on_shutdown", hooks.append)

    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        await asyncio.wait_for(model.is_asked.wait(), WAIT_TIMEOUT_S)
        for hook in hooks:
            await hook()
        assert [(answer.state, answer.reason) for answer in await answers()] == [("interrupted", "shutdown")]
        assert model.is_closed.is_set()

    await on_page(test)


async def test_a_new_text_silences_the_old_answer_in_the_room(
    model: Model, sent: list[tuple[str, str]], provider: Mock
) -> None:
    """As a provider's that takes commands only in the room."""
    provider.interrupt.return_value = RoomCommand("agent-control", "{}")

    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.deltas.put_nowait("Una. Dos")
        await tab.hear("answer.sentence")
        await ask(tab, "¿Y mañana?", "r2")
        command = await tab.hear("room.publish")
        assert command["topic"] == "agent-control"
        await tab.say("room.published", id=command["id"], is_sent=True)
        model.says("Sí.")
        await tab.hear("answer.ended", ref="r2", state="answered")
        assert [text for _kind, text in sent] == ["Una.", "Sí."]

    await on_page(test)


async def test_a_page_without_access_is_closed_before_the_database_answers(
    model: Model, sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_free = threading.Event()
    store = record.interrupt

    def wait(session_id: UUID, reason: str) -> list[int]:
        is_free.wait(WAIT_TIMEOUT_S)
        return store(session_id, reason)

    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        await asyncio.wait_for(model.is_asked.wait(), WAIT_TIMEOUT_S)
        monkeypatch.setattr(record, "interrupt", wait)
        await User.objects.filter(streaming_sessions=session_id).aupdate(is_active=False)
        checking = asyncio.ensure_future(page_socket.check_access(page_socket._open_sockets))
        try:
            assert (await tab.receive_output(WAIT_TIMEOUT_S))["type"] == "websocket.send"
            assert (await tab.receive_output(WAIT_TIMEOUT_S))["type"] == "websocket.close"
            assert model.is_closed.is_set()
        finally:
            is_free.set()
            await checking

    await on_page(test)


async def test_no_sentence_is_said_after_another_process_interrupted_even_without_redis(
    model: Model, sent: list[tuple[str, str]]
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        await asyncio.wait_for(model.is_asked.wait(), WAIT_TIMEOUT_S)
        await sync_to_async(Answer.objects.update)(reason="interrupt")
        model.says("Una. Dos.")
        await tab.hear("answer.ended", state="interrupted")
        assert sent == []

    await on_page(test)


async def test_the_fallback_is_said_if_the_model_fails(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.says(ModelFailure("status 401", can_retry=False))
        await tab.hear("answer.ended", state="fallback")
        assert [text for _kind, text in sent] == ["Ahora no, perdona."]
        [answer] = await answers()
        assert answer.reason == "status 401"
        event = await sync_to_async(SessionEvent.objects.get)(kind="answer")
        assert event.data["state"] == "fallback"

    await on_page(test, fallback_sentence="Ahora no, perdona.")


async def test_an_answer_that_takes_too_long_ends_with_words_and_its_cost(
    model: Model, sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        monkeypatch.setattr(answering, "LONGEST_ANSWER", timedelta(milliseconds=500))
        await ask(tab)
        model.deltas.put_nowait("Una. Dos")
        await tab.hear("answer.ended", state="fallback")
        assert model.is_closed.is_set()
        assert [text for _kind, text in sent] == ["Una.", "Ahora no, perdona."]
        [answer] = await answers()
        assert (answer.reason, answer.is_estimated, answer.prompt_tokens > 0) == ("too_slow", True, True)
        assert await faults() == []

    await on_page(test, fallback_sentence="Ahora no, perdona.")


async def test_exact_tokens_are_kept_beside_the_estimate_of_an_interrupted_request(
    model: Model, sent: list[tuple[str, str]]
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.deltas.put_nowait(ToolCall("c1", "unheard_of", "{}"))
        model.deltas.put_nowait(Finished("tool_calls", Usage(1_000_000, 10)))
        model.deltas.put_nowait("Una. Dos")
        await tab.hear("answer.sentence", text="Una.")
        await tab.say("task.interrupt")
        await tab.hear("answer.ended")
        [answer] = await answers()
        assert answer.is_estimated
        assert 1_000_000 < answer.prompt_tokens < 1_010_000
        assert answer.completion_tokens > 10

    await on_page(test)


async def test_an_outage_of_the_model_is_not_charged(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.deltas.put_nowait(ModelFailure("unreachable", can_retry=False))
        await tab.hear("answer.ended", state="fallback")
        [answer] = await answers()
        assert (answer.prompt_tokens, answer.completion_tokens, answer.cost) == (0, 0, Decimal(0))

    await on_page(test)


async def test_an_error_of_the_portal_is_answered_with_words(
    model: Model, sent: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        monkeypatch.setattr(answering, "answer", Mock(side_effect=ZeroDivisionError))
        await ask(tab)
        await tab.hear("answer.ended", state="fallback")
        assert [text for _kind, text in sent] == ["Ahora no, perdona."]
        assert [answer.reason for answer in await answers()] == ["error"]

    await on_page(test, fallback_sentence="Ahora no, perdona.")


async def test_an_answer_that_the_provider_does_not_take_ends(model: Model, provider: Mock) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        provider.send_task.side_effect = ProviderUnreachable("timeout")
        await ask(tab)
        model.says("Una. Dos.")
        assert (await tab.hear("answer.ended", state="not_sent"))["words"]
        assert model.is_closed.is_set()
        assert [answer.reason for answer in await answers()] == ["provider_unreachable"]

    await on_page(test)


async def test_the_worker_closes_the_answer_of_a_process_that_died(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.deltas.put_nowait("Una. Dos")
        await tab.hear("answer.sentence")
        soon = timezone.now() + timedelta(minutes=1)
        late = timezone.now() + timedelta(minutes=10)
        assert not await sync_to_async(record.has_abandoned)(soon)
        await sync_to_async(record.close_abandoned)(late)
        await tab.hear("answer.ended", state="abandoned")
        assert await faults() == []

    await on_page(test)


async def test_a_damaged_answer_is_closed_and_keeps_no_session_from_being_booked(
    model: Model, sent: list[tuple[str, str]]
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.deltas.put_nowait("Una. Dos")
        await tab.hear("answer.sentence")
        await sync_to_async(Answer.objects.update)(sentences=[{"task": "x"}, 7], unspoken=[{}], passages=["?"])
        [answer] = await answers()
        assert await sync_to_async(record.cited_chunk)(session_id, answer.pk, 1) is None
        await sync_to_async(record.close_abandoned)(timezone.now() + timedelta(minutes=10))
        assert [answer.state for answer in await answers()] == ["abandoned"]
        assert [answer.prompt_tokens > 0 for answer in await answers()] == [True]  # what was asked is charged

    await on_page(test)


async def test_texts_are_not_read_aloud(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await tab.say("task.send", ref="r1", kind="repeat", text="Di esto")
        assert (await tab.hear("error"))["code"] == "reads_aloud_off"
        assert not await SessionTask.objects.aexists()

    await on_page(test)


async def test_an_interruption_after_the_answer_marks_what_was_not_spoken(
    model: Model, sent: list[tuple[str, str]]
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.says("Una. Dos.")
        await tab.hear("answer.ended", state="answered")
        await begins_to_speak(session_id, "task-1")
        await control.interrupt(session_id)
        [answer] = await answers()
        assert (answer.state, answer.unspoken) == ("answered", [answer.sentences[1]["task"]])
        assert await SessionEvent.objects.filter(kind="answer_cut").acount() == 1
        assert await faults() == []

    await on_page(test)


async def test_a_repeated_reference_is_not_answered_again(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.says("Una.")
        await tab.hear("answer.ended")
        outcome = await send_task.send_task(session_id, text="x", kind=TaskKind.TALK, user_id=None, ref="r1")
        assert outcome
        assert (outcome.status, len(sent)) == ("sent", 1)
        session = await StreamingSession.objects.aget(pk=session_id)
        assert session.status == Status.LIVE

    await on_page(test)


async def test_a_cap_that_is_reached_ends_with_words(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        session = await StreamingSession.objects.aget(pk=session_id)
        await sync_to_async(DayTotal.objects.create)(
            day=timezone.localdate(),
            account_id=session.account_id,
            persona_id=session.persona_id,
            model_credits=Decimal(3),
            estimated=Decimal(2),
        )
        await ProviderAccount.objects.aupdate(monthly_cap=Decimal(5))
        await ask(tab)
        await tab.hear("answer.ended", state="fallback")
        assert [text for _kind, text in sent] == ["Ahora no, perdona."]
        assert [answer.reason for answer in await answers()] == ["spend_cap"]
        assert model.asked == []

    await on_page(test, fallback_sentence="Ahora no, perdona.")


@pytest.mark.parametrize(
    ("limits", "reason"), [({"session_tokens": 1000}, "session_tokens"), ({"day_tokens": 1000}, "day_tokens")]
)
async def test_a_limit_of_tokens_that_is_reached_ends_with_words(
    model: Model, sent: list[tuple[str, str]], limits: dict[str, int], reason: str
) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        await ask(tab)
        model.deltas.put_nowait("Una." + " " * 3000 + "Dos. Y")
        await tab.hear("answer.ended", ref="r1", state="fallback")
        assert model.is_closed.is_set()
        await ask(tab, ref="r2")
        await tab.hear("answer.ended", ref="r2", state="fallback")
        assert [text for _kind, text in sent] == ["Una.", "Ahora no, perdona.", "Ahora no, perdona."]
        assert [answer.reason for answer in await answers()] == [reason, reason]
        assert len(model.asked) == 1

    await on_page(test, fallback_sentence="Ahora no, perdona.", **limits)


async def test_tokens_and_cost_are_in_the_ledger(model: Model, sent: list[tuple[str, str]]) -> None:
    async def test(tab: Tab, session_id: UUID) -> None:
        for number in (1, 2):
            await ask(tab, ref=f"r{number}")
            model.says("Una.")
            await tab.hear("answer.ended")
        account = await ProviderAccount.objects.aget()
        account.credits_per_minute = Decimal(0)
        assert (await sync_to_async(quotas.spending)(account, timezone.now())).spent == Decimal("0.00056")
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended")
        await sync_to_async(ledger.book_all)()
        total = await SessionTotal.objects.aget()
        assert (total.model_tokens, total.model_credits) == (200, Decimal("0.0006"))
        day = await DayTotal.objects.aget()
        assert (day.model_tokens, day.model_credits) == (200, Decimal("0.0006"))
        assert await faults() == []

    await on_page(test)
