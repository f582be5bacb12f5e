"""Keys of another scope, of another person, guessed, stolen or out of date."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import override_settings
from django.utils import timezone

from heygen_portal.models import ApiKey
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys.scopes import Scope
from sessions.actions import stop
from sessions.models import ServerProcess, SessionEvent, StreamingSession
from tests.support.api import client, client_of
from tests.support.factories import KnowledgeBaseFactory, PersonaFactory, StreamingSessionFactory

pytestmark = pytest.mark.django_db(transaction=True)

OWN = (Scope.SESSIONS_START, Scope.SESSIONS_READ, Scope.SESSIONS_TRANSCRIPT)


async def test_another_persons_session_is_not_found(provider: Mock) -> None:
    session = await sync_to_async(StreamingSessionFactory.create)()
    address = f"sessions/{session.pk}"
    text = {"kind": "talk", "text": "Hola"}
    async with client_of(roles.ADMINISTRATOR, *OWN) as (api, _owner):  # the scopes decide, not the role
        answers = [
            await api.get(address),
            await api.get(f"{address}/transcript"),
            await api.get(f"conversations/{session.conversation_id}"),
            await api.post(f"{address}/start"),
            await api.post(f"{address}/tasks", json=text),
            await api.post(f"{address}/interrupt", json={}),
            await api.post(f"{address}/keep-alive"),
            await api.post(f"{address}/stay"),
            await api.post(f"{address}/room"),
            await api.post(f"{address}/stop", json={"reason": "Because I can"}),
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert (await api.get("sessions", params={"user": session.user_id})).json()["items"] == []
    assert not provider.method_calls
    assert not await SessionEvent.objects.filter(session=session, kind="stop_asked").aexists()


async def test_staff_stop_and_read_a_session_of_another_person_for_a_recorded_reason(provider: Mock) -> None:
    session = await sync_to_async(StreamingSessionFactory.create)()
    address = f"sessions/{session.pk}"
    async with client_of(roles.ADMINISTRATOR, Scope.SESSIONS_STOP, Scope.TRANSCRIPTS_READ) as (api, owner):
        for body in ({}, {"reason": "no"}):
            assert (await api.post(f"{address}/stop", json=body)).json()["code"] == "reason_needed"
            assert (await api.post(f"{address}/transcript", json=body)).status_code == 422
        assert (await api.post(f"{address}/transcript", json={"reason": "A complaint"})).status_code == 200
        stopped = await api.post(f"{address}/stop", json={"reason": "A complaint"})
        assert stopped.json()["end_reason"] == "staff_stopped"
    for kind in ("transcript_opened", "stop_asked"):
        event = await SessionEvent.objects.aget(session=session, kind=kind)
        assert (event.data["by"], event.data["reason"]) == (owner.pk, "A complaint")


async def test_a_deactivated_owners_program_loses_its_session(provider: Mock) -> None:
    await sync_to_async(PersonaFactory.create)(published=True, slug="lucia")
    async with client_of(roles.END_USER, *OWN) as (api, owner):
        session = (await api.post("sessions", json={"persona": "lucia"})).json()
        await User.objects.filter(pk=owner.pk).aupdate(is_active=False)
        refused = await api.post(f"sessions/{session['id']}/keep-alive")
        assert (refused.status_code, refused.json()["code"]) == (401, "key_refused")
    later = timezone.now() + timedelta(seconds=61)  # the lease has run out, as nothing could renew it
    await ServerProcess.objects.all().aupdate(lease_ends_at=timezone.now() - timedelta(seconds=1))
    await stop.enforce_due(timezone.now())
    await stop.enforce_due(later)
    assert (await StreamingSession.objects.aget()).ended_at


async def test_a_key_that_expired_or_was_revoked_or_lost_its_role_opens_nothing() -> None:
    async with client_of(roles.END_USER, *OWN) as (api, owner):
        assert (await api.get("sessions")).status_code == 200
        await ApiKey.objects.all().aupdate(expires_at=timezone.now())
        assert (await api.get("sessions")).json()["code"] == "key_expired"
        await ApiKey.objects.all().aupdate(expires_at=None, addresses="203.0.113.0/28")
        assert (await api.get("sessions")).json()["code"] == "key_refused"  # its row was changed by SQL
        await ApiKey.objects.all().aupdate(addresses="")
        await owner.groups.aclear()
        refused = await api.get("sessions")
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        await ApiKey.objects.all().aupdate(revoked_at=timezone.now(), signature="")
        assert (await api.get("sessions")).json()["code"] == "key_refused"


async def test_another_owner_does_not_get_the_answer_to_an_idempotency_key(provider_of_many: Mock) -> None:
    await sync_to_async(PersonaFactory.create)(published=True, slug="lucia")
    send: Any = {"json": {"persona": "lucia"}, "headers": {"Idempotency-Key": "1"}}
    async with client_of(roles.END_USER, *OWN) as (api, _owner), client_of(roles.END_USER, *OWN) as (other, _other):
        first = (await api.post("sessions", **send)).json()
        second = await other.post("sessions", **send)
        assert second.status_code == 201
        assert second.json()["id"] != first["id"]
        assert "Idempotency-Replayed" not in second.headers


async def test_a_test_key_starts_nothing_that_costs_money(provider: Mock) -> None:
    await sync_to_async(PersonaFactory.create)(published=True, slug="lucia")
    async with client_of(roles.END_USER, *OWN, is_test=True) as (api, _owner):
        refused = await api.post("sessions", json={"persona": "lucia"})
        assert (refused.status_code, refused.json()["code"]) == (403, "test_key")
    provider.new_session.assert_not_awaited()


async def test_a_test_key_neither_continues_nor_changes_what_costs_money(provider: Mock) -> None:
    """The owner started a session in a browser, on a paid account."""
    knowledge: Any = await sync_to_async(KnowledgeBaseFactory.create)()
    async with client_of(roles.EDITOR, *OWN, Scope.KNOWLEDGE_WRITE, is_test=True) as (api, owner):
        session = await sync_to_async(StreamingSessionFactory.create)(user=owner)
        address = f"sessions/{session.pk}"
        texts = {"name": "Other", "prompt": "Be rude.", "version": 0}
        answers = [
            await api.post(f"{address}/start"),
            await api.post(f"{address}/tasks", json={"kind": "talk", "text": "Hola"}),
            await api.post(f"{address}/interrupt", json={}),
            await api.post(f"{address}/keep-alive"),
            await api.post(f"{address}/stay"),
            await api.post(f"{address}/room"),
            await api.put(f"knowledge-bases/{knowledge.pk}", json=texts),
        ]
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "test_key")}
        assert not await ServerProcess.objects.aexists()  # no lease keeps it open
        assert not provider.method_calls
        assert (await api.post(f"{address}/stop", json={})).status_code == 200  # which only saves money


async def test_a_stranger_does_not_use_up_the_budget_of_a_session(provider: Mock) -> None:
    with override_settings(BUDGETS={"act.session": "3/hour"}):
        async with client_of(roles.END_USER, *OWN) as (stranger, _), client_of(roles.END_USER, *OWN) as (api, owner):
            session = await sync_to_async(StreamingSessionFactory.create)(user=owner)
            for _attempt in range(4):
                assert (await stranger.post(f"sessions/{session.pk}/keep-alive")).status_code == 404
            assert (await api.post(f"sessions/{session.pk}/keep-alive")).status_code == 200


async def test_guessing_keys_uses_up_a_budget() -> None:
    with override_settings(BUDGETS={"api_refused.address": "3/hour"}):
        async with client("hp_live_abcdefgh_guess") as api:
            codes = [(await api.get("sessions")).status_code for _ in range(4)]
    assert codes == [401, 401, 401, 429]
