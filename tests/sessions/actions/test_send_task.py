"""Texts reach the avatar once and in order, whatever becomes of the sockets they come by."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from unittest.mock import Mock

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from heygen_portal.providers.contract.provider import Delivered, TaskKind
from sessions.actions import send_task
from sessions.models import SessionTask, Status, StreamingSession
from tests.patience import PATIENCE_S
from tests.sessions.tabs import a_person, a_persona, browser
from tests.support.factories import StreamingSessionFactory

pytestmark = pytest.mark.django_db(transaction=True)


@sync_to_async
def a_task(**fields: object) -> SessionTask:
    session = StreamingSessionFactory.create(status=Status.LIVE)
    task: SessionTask = session.tasks.create(kind="talk", text="hola", sent_by=session.user, ref="r1", **fields)
    return task


async def again(session: StreamingSession) -> str:
    told = await send_task.send_task(session.pk, text="hola", kind=TaskKind.TALK, user_id=session.user_id, ref="r1")
    assert told
    return f"{told.status} {told.code}".strip()


async def test_the_same_mark_again_is_answered_as_it_stands_and_goes_out_once(provider: Mock) -> None:
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


async def test_texts_that_come_again_by_another_socket_keep_their_order(provider: Mock) -> None:
    """The first is still on its way by the socket that broke; the page sends all three again by the next."""
    reached, may_answer, said = asyncio.Event(), asyncio.Event(), []

    async def think(session_id: str, *, text: str, kind: TaskKind) -> Delivered:
        said.append(text)
        reached.set()
        await may_answer.wait()
        return Delivered(f"task-{text}")

    provider.send_task.side_effect = think
    user, persona = await a_person(), await a_persona()
    async with browser(user, persona.slug) as broken:
        session_id = await broken.go_live()
        await broken.say("task.send", ref="r1", kind="talk", text="uno")
        await asyncio.wait_for(reached.wait(), PATIENCE_S)
    async with browser(user, persona.slug) as tab:
        await tab.say("session.join", session_id=session_id)
        await tab.hear("session.status", status="live")
        for ref, text in (("r1", "uno"), ("r2", "dos"), ("r3", "tres")):
            await tab.say("task.send", ref=ref, kind="talk", text=text)
        may_answer.set()
        answered = {(await tab.hear("task.sent", status="sent"))["ref"]}
        while answered != {"r1", "r2", "r3"}:
            answered.add((await tab.hear("task.sent", status="sent"))["ref"])
    assert said == ["uno", "dos", "tres"]


async def test_another_process_s_answer_is_waited_for(provider: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_task, "LOOK_AGAIN", timedelta(0))
    task = await a_task(status=SessionTask.Status.SENDING)
    asking = asyncio.create_task(again(task.session))
    await SessionTask.objects.filter(pk=task.pk).aupdate(status=SessionTask.Status.SENT)
    assert await asyncio.wait_for(asking, PATIENCE_S) == "sent"
    assert not provider.send_task.called


async def test_a_text_in_the_hands_of_a_process_that_died_has_failed(provider: Mock) -> None:
    """Nobody can know whether it arrived, so it is not said a second time; the person may decide to."""
    long_ago = timezone.now() - send_task.LONGEST_DELIVERY
    task = await a_task(status=SessionTask.Status.SENDING, created_at=long_ago)
    assert await again(task.session) == "failed provider_unreachable"
    assert not provider.send_task.called
