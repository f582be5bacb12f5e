"""Texts reach the avatar once and in order, even if sockets break."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from heygen_portal.providers.contract.provider import Delivered, NotReady, ProviderUnreachable, SessionGone, TaskKind
from sessions.actions import send_task
from sessions.models import EndReason, SessionTask, Status, StreamingSession
from tests.sessions.tabs import a_person, a_persona, browser
from tests.support.factories import StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def live_session() -> StreamingSession:
    session: StreamingSession = StreamingSessionFactory.create(status=Status.LIVE)
    return session


@sync_to_async
def a_task(**fields: object) -> SessionTask:
    session = StreamingSessionFactory.create(status=Status.LIVE)
    task: SessionTask = session.tasks.create(kind="talk", text="hola", sent_by=session.user, ref="r1", **fields)
    return task


async def again(session: StreamingSession) -> str:
    outcome = await send_task.send_task(session.pk, text="hola", kind=TaskKind.TALK, user_id=session.user_id, ref="r1")
    assert outcome
    return f"{outcome.status} {outcome.code}".strip()


async def test_a_repeated_ref_is_answered_with_the_first_outcome_and_sent_once(provider: Mock) -> None:
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as tab:
        await tab.go_live()
        for _ in range(2):
            await tab.say("task.send", ref="r1", kind="talk", text="hola")
            assert (await tab.hear("task.sent"))["provider_task_id"] == "their-task"
        await tab.say("session.stop")
        await tab.hear("session.status", status="ended")
        await tab.say("task.send", ref="r1", kind="talk", text="hola")
        assert (await tab.hear("task.sent"))["status"] == "sent"
    assert provider.send_task.call_count == 1


async def test_texts_repeated_over_another_socket_keep_their_order(provider: Mock) -> None:
    """The first text is still being sent; the page repeats all three elsewhere."""
    reached, may_answer, sent = asyncio.Event(), asyncio.Event(), []

    async def think(session_id: str, *, text: str, kind: TaskKind) -> Delivered:
        sent.append(text)
        reached.set()
        await may_answer.wait()
        return Delivered(f"task-{text}")

    provider.send_task.side_effect = think
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as broken:
        session_id = await broken.go_live()
        await broken.say("task.send", ref="r1", kind="talk", text="uno")
        await asyncio.wait_for(reached.wait(), WAIT_TIMEOUT_S)
    async with browser(user, persona.slug) as tab:
        await tab.say("session.join", session_id=session_id)
        await tab.hear("session.status", status="live")
        for ref, text in (("r1", "uno"), ("r2", "dos"), ("r3", "tres")):
            await tab.say("task.send", ref=ref, kind="talk", text=text)
        may_answer.set()
        answered = {(await tab.hear("task.sent", status="sent"))["ref"]}
        while answered != {"r1", "r2", "r3"}:
            answered.add((await tab.hear("task.sent", status="sent"))["ref"])
    assert sent == ["uno", "dos", "tres"]


async def test_a_repeated_text_waits_for_the_outcome_in_another_process(
    provider: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_waiting = asyncio.Event()

    class Interval:
        def total_seconds(self) -> float:
            is_waiting.set()
            return 0

    monkeypatch.setattr(send_task, "OUTCOME_POLL_INTERVAL", Interval())
    task = await a_task(status=SessionTask.Status.SENDING)
    asking = asyncio.create_task(again(task.session))
    await asyncio.wait_for(is_waiting.wait(), WAIT_TIMEOUT_S)
    await SessionTask.objects.filter(pk=task.pk).aupdate(status=SessionTask.Status.SENT)
    assert await asyncio.wait_for(asking, WAIT_TIMEOUT_S) == "sent"
    assert not provider.send_task.called


async def test_a_text_of_a_dead_process_is_marked_failed(provider: Mock) -> None:
    """Its delivery is unknown, so it is not repeated; the user may decide to do so."""
    long_ago = timezone.now() - send_task.DELIVERY_TIMEOUT
    task = await a_task(status=SessionTask.Status.SENDING, created_at=long_ago)
    assert await again(task.session) == "failed provider_unreachable"
    assert not provider.send_task.called


async def test_a_text_reaches_the_provider_unchanged(provider: Mock) -> None:
    """Requirements 29, 35."""
    session = await live_session()
    await send_task.send_task(session.pk, text="Hola ¿cómo estás?", kind=TaskKind.TALK, user_id=session.user_id)
    assert provider.send_task.call_args.kwargs == {"text": "Hola ¿cómo estás?", "kind": TaskKind.TALK}
    task = await SessionTask.objects.aget(session=session)
    assert (task.status, task.provider_task_id) == (SessionTask.Status.SENT, "their-task")
    assert task.latency is not None


async def test_a_text_sent_before_the_avatar_is_ready_is_retried(
    provider: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send_task, "NOT_READY_RETRY_DELAY", send_task.NOT_READY_RETRY_DELAY * 0)
    provider.send_task.side_effect = [NotReady("wait", code="400006", status=400), Delivered("at-last")]
    session = await live_session()
    await send_task.send_task(session.pk, text="hola", kind=TaskKind.TALK, user_id=session.user_id)
    task = await SessionTask.objects.aget(session=session)
    assert task.provider_task_id == "at-last"


async def test_a_failed_text_keeps_its_reason_and_the_session_continues(provider: Mock) -> None:
    provider.send_task.side_effect = ProviderUnreachable("ReadTimeout")
    session = await live_session()
    await send_task.send_task(session.pk, text="hola", kind=TaskKind.TALK, user_id=session.user_id)
    task = await SessionTask.objects.aget(session=session)
    await session.arefresh_from_db()
    assert (task.status, task.failure) == (SessionTask.Status.FAILED, "provider_unreachable")
    assert session.status == Status.LIVE


async def test_a_text_to_a_session_gone_at_the_provider_ends_it(provider: Mock) -> None:
    provider.send_task.side_effect = SessionGone("closed", code="10005", status=400)
    session = await live_session()
    await send_task.send_task(session.pk, text="hola", kind=TaskKind.TALK, user_id=session.user_id)
    await session.arefresh_from_db()
    assert (session.status, session.end_reason) == (Status.ENDED, EndReason.PROVIDER_ENDED)


async def test_a_text_to_an_avatar_that_is_never_ready_fails(provider: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_task, "NOT_READY_TIMEOUT", send_task.NOT_READY_TIMEOUT * 0)
    provider.send_task.side_effect = NotReady("wait", code="400006", status=400)
    session = await live_session()
    await send_task.send_task(session.pk, text="hola", kind=TaskKind.TALK, user_id=session.user_id)
    task = await SessionTask.objects.aget(session=session)
    assert (task.status, task.failure) == (SessionTask.Status.FAILED, "provider_refused")
