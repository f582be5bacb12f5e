"""Programs start sessions, talk, and stop them; a program that falls silent leaves none open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from unittest.mock import AsyncMock, Mock

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone

from avatars.models import Persona
from heygen_portal.models import ApiKey
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys import keys
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.providers.contract.provider import LimitReached, ProviderRejected, RoomCommand
from heygen_portal.trail.change_log import Actor
from sessions import tasks
from sessions.actions import stop
from sessions.models import EndReason, QueueEntry, ServerProcess, SessionEvent, Status, StreamingSession, Tab
from sessions.presence import programs
from tests.support.api import client_of
from tests.support.factories import PersonaFactory, StreamingSessionFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("provider")]

START = (Scope.SESSIONS_START, Scope.SESSIONS_READ, Scope.SESSIONS_TRANSCRIPT)


@sync_to_async
def published(**columns: object) -> Persona:
    persona: Persona = PersonaFactory.create(**{"published": True, "slug": "lucia", "greeting": "Hola", **columns})
    return persona


@sync_to_async
def only_session() -> StreamingSession:
    return StreamingSession.objects.get()


async def test_the_flow_of_create_start_task_and_stop(provider: Mock) -> None:
    await published()
    async with client_of(roles.END_USER, *START) as (api, owner):
        created = await api.post("sessions", json={"persona": "lucia"})
        assert created.status_code == 201
        session = created.json()
        assert session["room"] == {"url": "ws://rooms.test", "token": "room-token"}
        assert (session["status"], session["end_reason"]) == ("connecting", "")

        address = f"sessions/{session['id']}"
        early = await api.post(f"{address}/tasks", json={"kind": "talk", "text": "¿Qué tal?"})
        assert (early.status_code, early.json()["code"]) == (409, "not_live")
        started = await api.post(f"{address}/start")
        assert started.json()["status"] == "live"
        assert provider.send_task.await_args.kwargs["text"] == "Hola"
        assert (await api.post(f"{address}/start")).status_code == 200  # says no second greeting
        assert provider.send_task.await_count == 1

        task = await api.post(f"{address}/tasks", json={"kind": "talk", "text": "¿Qué tal?"})
        assert task.status_code == 201
        assert (task.json()["status"], task.json()["failure"]) == ("sent", "")
        assert (await api.post(f"{address}/interrupt", json={})).json() == {"room_command": None}
        assert (await api.post(f"{address}/stay")).status_code == 200
        lines = (await api.get(f"{address}/transcript")).json()
        assert [(line["who"], line["text"]) for line in lines["items"]] == [("user", "¿Qué tal?")]

        stopped = (await api.post(f"{address}/stop", json={})).json()
        assert (stopped["status"], stopped["end_reason"]) == ("ended", "user_stopped")
        assert (await api.post(f"{address}/stop", json={})).json()["status"] == "ended"
        assert (await api.post(f"{address}/keep-alive")).status_code == 409
        listed = (await api.get("sessions", params={"status": "ended", "persona": "lucia"})).json()
        assert [row["id"] for row in listed["items"]] == [session["id"]]
        assert (await api.get("sessions", params={"status": "live"})).json()["items"] == []
        conversation = (await api.get(f"conversations/{session['conversation_id']}")).json()
        assert conversation["session_ids"] == [session["id"]]
    kinds = {kind async for kind in SessionEvent.objects.values_list("kind", flat=True)}
    assert {"program_joined", "program_ready", "interrupted", "stayed"} <= kinds
    assert (await only_session()).user_id == owner.pk


async def test_a_program_that_falls_silent_loses_its_session() -> None:
    await published()
    async with client_of(roles.END_USER, *START) as (api, _owner):
        session = (await api.post("sessions", json={"persona": "lucia"})).json()
        await api.post(f"sessions/{session['id']}/start")
        lease = await sync_to_async(ServerProcess.objects.get)(tabs__session=session["id"])
        assert timedelta(0) < lease.lease_ends_at - timezone.now() <= programs.LEASE_DURATION
        await sync_to_async(ServerProcess.objects.update)(lease_ends_at=timezone.now() - timedelta(seconds=1))
        await stop.enforce_due(timezone.now())
        assert (await only_session()).abandoned_at
        # Back within the grace period: the session goes on, with a new lease.
        assert (await api.post(f"sessions/{session['id']}/keep-alive")).json()["status"] == "live"
        assert not (await only_session()).abandoned_at
        await sync_to_async(ServerProcess.objects.update)(lease_ends_at=timezone.now() - timedelta(seconds=1))
        await stop.enforce_due(timezone.now())
        await stop.enforce_due(timezone.now() + timedelta(seconds=11))
        ended = (await api.get(f"sessions/{session['id']}")).json()
        assert (ended["status"], ended["end_reason"]) == ("ended", EndReason.TAB_CLOSED)


def revoke_key(owner: User) -> None:
    keys.revoke(ApiKey.objects.get(owner=owner), Actor(owner.pk))


def deactivate(owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_active=False)


def take_role(owner: User) -> None:
    owner.groups.clear()


def withdraw_persona(_owner: User) -> None:
    Persona.objects.update(status=Persona.Status.DRAFT)


@pytest.mark.parametrize("lose", [revoke_key, deactivate, take_role, withdraw_persona])
async def test_the_session_of_a_program_ends_within_seconds_of_its_lost_access(lose: Callable[[User], None]) -> None:
    await published()
    async with client_of(roles.END_USER, *START) as (api, owner):
        session = (await api.post("sessions", json={"persona": "lucia"})).json()
        await api.post(f"sessions/{session['id']}/start")
        await sync_to_async(tasks.check_programs)()
        assert not (await only_session()).abandoned_at
        await sync_to_async(lose)(owner)
        await sync_to_async(tasks.check_programs)()
        await stop.enforce_due(timezone.now() + timedelta(seconds=11))
    assert (await only_session()).end_reason == EndReason.TAB_CLOSED


async def test_a_replaced_key_may_be_revoked_while_its_session_goes_on() -> None:
    await published()
    async with client_of(roles.END_USER, *START) as (api, owner):
        await api.post("sessions", json={"persona": "lucia"})
        await sync_to_async(lambda: keys.replace(ApiKey.objects.get(), Actor(owner.pk)))()
        await sync_to_async(lambda: keys.revoke(ApiKey.objects.exclude(replaced_by=None).get(), Actor(owner.pk)))()
        await sync_to_async(tasks.check_programs)()
        assert not (await only_session()).abandoned_at
        await sync_to_async(lambda: keys.revoke(ApiKey.objects.get(replaced_by=None), Actor(owner.pk)))()
        await sync_to_async(tasks.check_programs)()
        assert (await only_session()).abandoned_at


async def test_keeping_a_session_alive_does_not_extend_its_idle_limit() -> None:
    await published(idle_timeout=timedelta(seconds=90))
    async with client_of(roles.END_USER, *START) as (api, _owner):
        session = (await api.post("sessions", json={"persona": "lucia"})).json()
        await api.post(f"sessions/{session['id']}/start")
        active_at = (await only_session()).active_at
        await api.post(f"sessions/{session['id']}/keep-alive")
        assert (await only_session()).active_at == active_at
        later = timezone.now() + timedelta(seconds=91)
        await sync_to_async(ServerProcess.objects.update)(lease_ends_at=later + timedelta(minutes=1))
        await stop.enforce_due(later)
        assert (await only_session()).end_reason == EndReason.IDLE


async def test_a_program_without_a_slot_learns_its_position_and_leaves_nothing_behind() -> None:
    persona = await published()
    await sync_to_async(type(persona.avatar.account).objects.update)(concurrency_limit=1)
    await sync_to_async(StreamingSessionFactory.create)(persona=persona)
    async with client_of(roles.END_USER, *START) as (api, _owner):
        refused = await api.post("sessions", json={"persona": "lucia"})
        assert (refused.status_code, refused.json()["code"]) == (503, "provider_limit")
        assert refused.json()["place"] == 1
        assert refused.headers["Retry-After"]
    assert not await QueueEntry.objects.aexists()
    assert not await ServerProcess.objects.aexists()


async def test_a_program_that_waits_gets_the_slot_that_becomes_free() -> None:
    persona = await published()
    await sync_to_async(type(persona.avatar.account).objects.update)(concurrency_limit=1)
    other = await sync_to_async(StreamingSessionFactory.create)(persona=persona, account=persona.avatar.account)
    async with client_of(roles.END_USER, *START) as (api, _owner):
        waiting = asyncio.create_task(api.post("sessions", json={"persona": "lucia", "wait_seconds": 30}))
        while not await QueueEntry.objects.aexists():
            await asyncio.sleep(0.01)
        lease = await ServerProcess.objects.aget(pk=(await QueueEntry.objects.aget()).process_id)
        assert lease.lease_ends_at - timezone.now() > timedelta(seconds=30) + programs.LEASE_DURATION
        await stop.stop(other, EndReason.USER_STOPPED, {"code": "person", "user": other.user_id})
        assert (await waiting).status_code == 201
        lease = await ServerProcess.objects.aget(pk=lease.pk)
        assert lease.lease_ends_at - timezone.now() <= programs.LEASE_DURATION


async def test_the_refusals_of_a_start_are_those_of_the_page(provider: Mock) -> None:
    await published()
    async with client_of(roles.END_USER, *START) as (api, _owner):
        assert (await api.post("sessions", json={"persona": "nobody"})).status_code == 404
        for body in ({}, {"persona": 5}, {"persona": "lucia", "more": 1}, {"persona": "lucia", "wait_seconds": 31}):
            assert (await api.post("sessions", json=body)).status_code == 422
        provider.new_session.side_effect = ProviderRejected("no", code="1", status=400)
        failed = await api.post("sessions", json={"persona": "lucia"})
        assert (failed.status_code, failed.json()["end_reason"]) == (502, EndReason.PROVIDER_REFUSED)
        provider.new_session.side_effect = LimitReached("full", code="1", status=400)
        assert (await api.post("sessions", json={"persona": "lucia"})).json()["code"] == "provider_limit"
    assert not await StreamingSession.objects.exclude(status=Status.ENDED).aexists()
    assert not await Tab.objects.aexists()


async def test_a_second_session_of_the_owner_takes_over_or_is_refused() -> None:
    await published()
    async with client_of(roles.END_USER, *START) as (api, _owner):
        first = (await api.post("sessions", json={"persona": "lucia"})).json()
        refused = await api.post("sessions", json={"persona": "lucia"})
        assert (refused.status_code, refused.json()["code"]) == (409, "session_running")
        assert refused.json()["session"]["session_id"] == first["id"]
        # The mock provider has one session ID only.
        await sync_to_async(StreamingSession.objects.update)(provider_session_id="the-first")
        second = (await api.post("sessions", json={"persona": "lucia", "take_over": True})).json()
        assert second["conversation_id"] == first["conversation_id"]
        assert (await api.get(f"sessions/{first['id']}")).json()["end_reason"] == EndReason.TAKEN_OVER


async def test_a_command_for_the_room_is_returned_to_the_program_that_can_publish_it(provider: Mock) -> None:
    await published(greeting="")
    provider.send_task = AsyncMock(return_value=RoomCommand("agent", '{"say": "Hola"}'))
    async with client_of(roles.END_USER, *START) as (api, _owner):
        session = (await api.post("sessions", json={"persona": "lucia"})).json()
        await api.post(f"sessions/{session['id']}/start")
        for can_publish, outcome in ((False, ("failed", "not_published")), (True, ("sent", ""))):
            body = {"kind": "repeat", "text": "Hola", "can_publish": can_publish}
            task = (await api.post(f"sessions/{session['id']}/tasks", json=body)).json()
            assert (task["status"], task["failure"]) == outcome
            assert task["room_command"] == {"topic": "agent", "payload": '{"say": "Hola"}'}


async def test_a_required_notice_must_be_accepted_by_programs_too(provider: Mock) -> None:
    await published(requires_consent=True)
    async with client_of(roles.END_USER, *START, Scope.PERSONAS_READ) as (api, _owner):
        refused = await api.post("sessions", json={"persona": "lucia"})
        assert (refused.status_code, refused.json()["code"]) == (409, "consent_needed")
        notice = (await api.get("personas/lucia/notice")).json()
        assert notice["is_required"]
        assert refused.json()["notice"] == notice["fingerprint"]
        body = {"persona": "lucia", "accepts": notice["fingerprint"]}
        assert (await api.post("sessions", json=body)).status_code == 201
        assert not (await api.get("personas/lucia/notice")).json()["is_required"]
