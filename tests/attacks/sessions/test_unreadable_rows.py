"""A session with unreadable rows is stopped at the provider.

Its own row, its account or its record may be the unreadable one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.utils import timezone

from avatars.models import ProviderAccount
from heygen_portal.providers.contract.provider import SessionGone
from heygen_portal.trail.models import AuditEntry
from sessions.actions import deadlines, stop
from sessions.capacity.claims import Claim
from sessions.integrity import verification
from sessions.lifecycle import end_evidence
from sessions.models import EndReason, ServerProcess, Status, StreamingSession
from sessions.personal_data import closing
from sessions.presence import tabs
from sessions.staff import stop_sessions
from tests.emulator.wire import TLS
from tests.sessions.tampering import execute_as_owner, live_session
from tests.support import servers
from tests.support.databases import BOTH
from tests.support.factories import WHY, PersonaFactory, UserFactory, user_of

pytestmark = pytest.mark.django_db(transaction=True)

SESSIONS, ACCOUNTS = "avatar_sessions_streamingsession", "avatars_provideraccount"
HEADS, EVENTS = "avatar_sessions_sessionhead", "avatar_sessions_sessionevent"
NO_KEY = "gAAAAABpLAAAsomething"  # encrypted with a key that is in no setting

# The statement, and the end reason and evidence of the session that reached its limit.
TIME_UP = (EndReason.DURATION_LIMIT, "time_up")
UNREADABLE = (EndReason.ORPHAN_FOUND, "unreadable")
DAMAGES = {
    "record": (f"UPDATE {HEADS} SET number = 9223372036854775807", TIME_UP),
    "events": (f"UPDATE {EVENTS} SET number = 9223372036854775807 WHERE kind = 'provider_started'", TIME_UP),
    "account": (f"UPDATE {ACCOUNTS} SET monthly_cap = 'x', longest_session = 'x'", TIME_UP),
    "settings": (f"UPDATE {SESSIONS} SET persona_settings = 'x'", TIME_UP),
    "text": (f"UPDATE {SESSIONS} SET room = CAST(X'ff' AS TEXT)", TIME_UP),
    "trouble": (f"UPDATE {SESSIONS} SET stop_trouble = 'x', stop_attempts = 'x', end_evidence = 'x'", TIME_UP),
    "end": (f"UPDATE {SESSIONS} SET ended_at = 'x'", TIME_UP),
    "times": (f"UPDATE {SESSIONS} SET ends_at = '0', created_at = 'x', active_at = 'x'", UNREADABLE),
    "status": (f"UPDATE {SESSIONS} SET status = 'odd'", UNREADABLE),
}  # fmt: skip


@contextmanager
def without_constraints() -> Iterator[None]:
    execute_as_owner("PRAGMA ignore_check_constraints = ON")
    yield
    execute_as_owner("PRAGMA ignore_check_constraints = OFF")


def damage(statement: str) -> None:
    with without_constraints():
        execute_as_owner(statement)


def due_session(name: str = "their-session", **account: Any) -> StreamingSession:
    """Return a session that has reached its time limit."""
    fields = {f"avatar__account__{column}": value for column, value in account.items()}
    session = live_session(PersonaFactory.create(published=True, **fields), name)
    past = timezone.now() - timedelta(seconds=1)
    StreamingSession.objects.filter(pk=session.pk).update(ends_at=past, deadline_at=past)
    return session


def columns(session: StreamingSession, *names: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] = StreamingSession.objects.values_list(*names).get(pk=session.pk)
    return found


def tick() -> None:
    """Run what the worker does each second, when everything is due."""
    asyncio.run(stop.enforce_due(timezone.now() + timedelta(hours=1)))


@pytest.mark.parametrize(("statement", "why"), DAMAGES.values(), ids=list(DAMAGES))
def test_an_unreadable_session_is_stopped_at_its_limit(provider: Mock, statement: str, why: tuple[str, str]) -> None:
    session = due_session()
    damage(statement)
    tick()
    assert [each.args[0] for each in provider.stop_session.call_args_list] == ["their-session"]
    assert columns(session, "status", "end_reason", "end_evidence__code") == (Status.ENDED, *why)
    named = {fault.session for fault in verification.faults()}
    assert str(session.pk) in named or ACCOUNTS in statement
    tick()
    assert provider.stop_session.call_count == 1


@pytest.mark.parametrize("name", [name for name in DAMAGES if name != "status"])
def test_a_stop_of_an_unreadable_session_is_retried(provider: Mock, name: str) -> None:
    session = due_session()
    past = timezone.now() - timedelta(seconds=1)
    StreamingSession.objects.filter(pk=session.pk).update(
        status=Status.STOPPING, end_reason=EndReason.IDLE, stop_requested_at=past
    )
    damage(DAMAGES[name][0])
    provider.stop_session.side_effect = RuntimeError
    tick()
    assert columns(session, "status", "stop_attempts", "stop_trouble__code") == (Status.STOPPING, 1, "stop_failed")
    provider.stop_session.side_effect = None
    tick()
    assert columns(session, "status", "end_reason") == (Status.ENDED, EndReason.IDLE)


def by_user(session: StreamingSession) -> None:
    asyncio.run(stop.stop_by_id(session.pk, EndReason.USER_STOPPED, WHY))


def by_page(session: StreamingSession) -> None:
    claim = Claim(session.owner_id, EndReason.USER_STOPPED)
    asyncio.run(stop.stop_as_claimed(session, claim))


def by_staff(session: StreamingSession) -> None:
    staff = UserFactory.create(is_staff=True)
    asyncio.run(stop.finish_stops(stop_sessions.begin(staff.pk, None, None, "It hangs")))
    assert AuditEntry.objects.filter(kind=AuditEntry.Kind.SESSIONS_STOPPED, data__sessions=[str(session.pk)]).exists()


def by_closing_the_account(session: StreamingSession) -> None:
    asyncio.run(stop.finish_stops(closing._begin_stops(user_of(session).pk, is_own=True)))


def by_reconciling(session: StreamingSession) -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    StreamingSession.objects.filter(pk=session.pk).update(created_at=long_ago)
    account = ProviderAccount(pk=session.account_id, base_url="https://provider.test", api_key="key")
    asyncio.run(stop.reconcile(account))


@pytest.mark.parametrize("way", [by_user, by_page, by_staff, by_closing_the_account, by_reconciling])
@pytest.mark.parametrize("name", ["record", "account", "text", "trouble"])
def test_an_unreadable_session_can_be_stopped_in_every_way(
    provider: Mock, name: str, way: Callable[[StreamingSession], None]
) -> None:
    session = live_session(PersonaFactory.create(published=True), "their-session")
    damage(DAMAGES[name][0])
    way(session)
    assert columns(session, "status") == (Status.ENDED,)
    assert provider.stop_session.call_count == 1


@pytest.mark.parametrize("name", ["record", "account", "text"])
def test_a_closed_tab_ends_a_session_whose_record_takes_no_event(provider: Mock, name: str) -> None:
    session = live_session(PersonaFactory.create(published=True), "their-session")
    process = ServerProcess.objects.create(lease_ends_at=timezone.now() + timedelta(hours=9))
    tabs.enter(session.pk, process.pk, "channel")
    damage(DAMAGES[name][0])
    tabs.leave("channel")
    asyncio.run(stop.enforce_due(timezone.now() + timedelta(seconds=30)))
    assert columns(session, "status", "end_reason") == (Status.ENDED, EndReason.TAB_CLOSED)


@pytest.mark.parametrize("column", ["active_at", "abandoned_at", "stop_attempts", "stop_trouble"])
def test_a_value_of_another_type_is_named_in_columns_that_no_event_states(announced: object, column: str) -> None:
    session = live_session(PersonaFactory.create(published=True), "their-session")
    damage(f"UPDATE {SESSIONS} SET {column} = 'x'")
    named = verification.first_fault_of(session.pk)
    assert named
    assert (named.kind, named.table, named.column) == ("row_changed", "session", column)


def test_a_session_without_readable_limits_is_stopped_although_its_deadline_is_far(provider: Mock) -> None:
    session = live_session(PersonaFactory.create(published=True), "their-session")
    damage(f"UPDATE {SESSIONS} SET ends_at = 'x', deadline_at = '9999-12-31 00:00:00'")
    now = timezone.now()
    deadlines.repair_deadlines(now)
    asyncio.run(stop.enforce_due(now))
    assert columns(session, "status", "end_reason") == (Status.ENDED, EndReason.ORPHAN_FOUND)


def test_tabs_learn_of_the_end_of_a_session_whose_times_cannot_be_read(
    provider: Mock, announced: list[dict[str, Any]]
) -> None:
    due_session()
    damage(DAMAGES["times"][0])
    announced.clear()
    tick()
    assert [event["status"] for event in announced] == ["stopping", "ended"]
    assert {(event["created_at"], event["is_failure"]) for event in announced} == {(None, True)}


@pytest.mark.parametrize(("column", "value"), [("kind", "odd"), ("api_key", NO_KEY), ("kind", b"\xff")])
def test_a_stop_that_cannot_be_sent_is_shown_and_retried_until_the_account_is_repaired(
    provider: Mock, column: str, value: object
) -> None:
    session = due_session()
    whole = ProviderAccount.objects.get()
    execute_as_owner(f"UPDATE {ACCOUNTS} SET {column} = %s", value)
    for attempt in (1, 2):
        tick()
        trouble = columns(session, "status", "stop_attempts", "stop_trouble")
        assert trouble == (Status.STOPPING, attempt, {"code": "account_unreadable", "error": column})
    assert not provider.stop_session.called
    assert column in end_evidence.describe(trouble[2])
    whole.save()
    tick()
    assert columns(session, "status", "end_reason") == (Status.ENDED, EndReason.DURATION_LIMIT)
    assert provider.stop_session.call_count == 1


@pytest.mark.parametrize("changed", ["another-session", None])
def test_a_session_whose_provider_id_was_changed_is_stopped_under_the_recorded_one(
    provider: Mock, changed: str | None
) -> None:
    session = due_session()
    StreamingSession.objects.filter(pk=session.pk).update(provider_session_id=changed)
    stopped: list[str] = []

    async def stop_session(name: str, why: object = None) -> None:
        if name != "their-session" or stopped:
            raise SessionGone("unknown", code="10005", status=400)
        stopped.append(name)

    provider.stop_session.side_effect = stop_session
    tick()
    assert stopped == ["their-session"]
    assert columns(session, "status") == (Status.ENDED,)


def test_a_session_whose_provider_id_became_that_of_another_one_is_stopped_under_the_recorded_one(
    provider: Mock,
) -> None:
    session = due_session()
    StreamingSession.objects.filter(pk=session.pk).update(provider_session_id="a-session-that-runs")
    tick()
    assert "their-session" in [each.args[0] for each in provider.stop_session.call_args_list]
    assert columns(session, "status") == (Status.ENDED,)


def test_a_session_whose_own_id_is_no_uuid_is_stopped(provider: Mock) -> None:
    changed, other = due_session(), due_session("their-other-session")
    with connection.constraint_checks_disabled():
        execute_as_owner(f"UPDATE {SESSIONS} SET id = 'x' WHERE id = %s", changed.pk.hex)
    tick()
    assert {each.args[0] for each in provider.stop_session.call_args_list} == {"their-session", "their-other-session"}
    assert columns(other, "status") == (Status.ENDED,)
    [status] = StreamingSession.objects.exclude(pk=other.pk).values_list("status", flat=True)
    assert status == Status.ENDED
    assert str(changed.pk) in {fault.session for fault in verification.faults()}
    tick()
    assert provider.stop_session.call_count == 2


AVATAR = "Lucia_public_20260101"
ON_EACH = {
    "sqlite": {
        "head": f"UPDATE {HEADS} SET number = 9223372036854775807",
        "times": f"UPDATE {SESSIONS} SET ends_at = 'x', active_at = 'x'",
        "account": f"UPDATE {ACCOUNTS} SET slots_seen_at = 'x'",
    },
    "postgres": {
        "head": f"UPDATE {HEADS} SET number = 2147483647",
        "times": f"UPDATE {SESSIONS} SET ends_at = 'infinity', created_at = '-infinity'",
        "account": f"UPDATE {ACCOUNTS} SET slots_seen_at = 'infinity'",
    },
}
KEYS = {"head": "session_id", "times": "id", "account": "id"}


@pytest.mark.both_databases
@pytest.mark.parametrize("database", BOTH)
def test_the_provider_sees_the_stop_of_an_unreadable_session(
    request: pytest.FixtureRequest, fresh_emulator: servers.Emulator, announced: object, database: str
) -> None:
    if database == "postgres":
        request.getfixturevalue("postgres")
    headers = {"x-api-key": fresh_emulator.api_key}
    with httpx.Client(base_url=fresh_emulator.url, verify=TLS, headers=headers, trust_env=False) as emulator:
        for name, statement in ON_EACH[database].items():
            new = emulator.post("/v1/streaming.new", json={"version": "v2", "avatar_id": AVATAR}).raise_for_status()
            theirs = new.json()["data"]["session_id"]
            session = due_session(theirs, base_url=fresh_emulator.url, api_key=fresh_emulator.api_key)
            key = session.account_id if name == "account" else session.pk.hex
            execute_as_owner(f"{statement} WHERE {KEYS[name]} = %s", key)
        assert len(emulator.get("/v1/streaming.list").json()["data"]["sessions"]) == 3
        async_to_sync(stop.enforce_due)(timezone.now())
        assert emulator.get("/v1/streaming.list").json()["data"]["sessions"] == []
    assert set(StreamingSession.objects.values_list("status", flat=True)) == {Status.ENDED}
    assert {fault.table for fault in verification.faults()} >= {"head", "session"}
