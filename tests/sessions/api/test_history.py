"""Programs read what took place; what does not exist for them is not found."""

from __future__ import annotations

from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async

from heygen_portal.people.access import roles
from heygen_portal.people.api_keys.scopes import Scope
from sessions.models import EndReason, Status
from tests.support.api import client_of
from tests.support.factories import StreamingSessionFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("provider")]


async def test_what_is_not_there_is_not_found() -> None:
    nobody = f"sessions/{uuid4()}"
    async with client_of(roles.AUDITOR, Scope.TRANSCRIPTS_READ, Scope.RECORDS_READ) as (api, _):
        opened = await api.post(f"{nobody}/transcript", json={"reason": "Complaint 2026-118"})
        listed = await api.get(f"{nobody}/events")
    assert [(answer.status_code, answer.json()["code"]) for answer in (opened, listed)] == [(404, "not_found")] * 2


async def test_a_session_of_somebody_else_can_neither_be_started_nor_talked_in() -> None:
    session = await sync_to_async(StreamingSessionFactory.create)(status=Status.LIVE)
    async with client_of(roles.END_USER, Scope.SESSIONS_START, Scope.SESSIONS_READ) as (api, _):
        answers = [
            await api.post(f"sessions/{session.id}/start"),
            await api.post(f"sessions/{session.id}/tasks", json={"kind": "talk", "text": "Hola"}),
            await api.post(f"sessions/{session.id}/stop", json={}),
        ]
    assert [answer.status_code for answer in answers] == [404] * 3
    await session.arefresh_from_db()
    assert session.status == Status.LIVE
    assert not await session.tasks.aexists()


async def test_an_ended_session_takes_no_more_requests() -> None:
    async with client_of(roles.END_USER, Scope.SESSIONS_START, Scope.SESSIONS_READ) as (api, owner):
        session = await sync_to_async(StreamingSessionFactory.create)(
            user=owner, status=Status.ENDED, end_reason=EndReason.USER_STOPPED
        )
        answers = [
            await api.post(f"sessions/{session.id}/start"),
            await api.post(f"sessions/{session.id}/tasks", json={"kind": "talk", "text": "Hola"}),
            await api.post(f"sessions/{session.id}/stay"),
        ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "not_live")] * 3
