"""Infinite numbers and times, and NaN, in the database.

PostgreSQL stores them, and Python cannot represent all of them.

SQLite stores values of another type instead.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from unittest.mock import Mock

import pytest
from django.db import connection
from django.utils import timezone

from avatars.models import ProviderAccount
from heygen_portal.trail import audit_log
from sessions import errors, tasks
from sessions.actions import deadlines, stop
from sessions.capacity import quotas
from sessions.costs import ledger, metrics, spend_alerts
from sessions.integrity import nightly_check, verification
from sessions.lifecycle.transitions import SessionLimits
from sessions.models import DayTotal, HistoryCheck, Status, StreamingSession
from tests.sessions.tampering import ended_session, event_row, execute_as_owner, live_session, overwrite
from tests.support.databases import BOTH
from tests.support.factories import PersonaFactory, StreamingSessionFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("announced"), pytest.mark.both_databases]

ACCOUNTS, SESSIONS, TOTALS = "avatars_provideraccount", "avatar_sessions_streamingsession", DayTotal._meta.db_table
CHECKS = "avatar_sessions_historycheck"


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None) -> str:
    if request.param == "postgres":
        request.getfixturevalue("postgres")
        audit_log.lock_head()
    return str(request.param)


def never(sign: str = "") -> str:
    return f"{sign}infinity" if connection.vendor == "postgresql" else "x"


def is_stored(session: StreamingSession) -> str:
    """Return the session's key as the database stores it."""
    return str(session.pk) if connection.vendor == "postgresql" else session.pk.hex


def set_in_session(session: StreamingSession, column: str, value: str) -> None:
    execute_as_owner(f"UPDATE {SESSIONS} SET {column} = %s WHERE id = %s", value, is_stored(session))


@pytest.mark.parametrize("damage", ["cap", "total", "time"])
def test_an_account_whose_spending_cannot_be_computed_keeps_no_other_from_its_limits(damage: str) -> None:
    now = timezone.now()
    bad, good = (
        StreamingSessionFactory.create(
            status=Status.ENDED, created_at=now - timedelta(minutes=9), ended_at=now, persona__avatar__account=account
        )
        for account in (PersonaFactory.create().avatar.account for _ in range(2))
    )
    ProviderAccount.objects.update(monthly_cap=Decimal("0.1"), credits_per_minute=Decimal("0.2"))
    ledger.book_all()
    if damage == "cap":
        value: object = "NaN" if connection.vendor == "postgresql" else 9e999
        execute_as_owner(f"UPDATE {ACCOUNTS} SET monthly_cap = %s WHERE id = %s", value, bad.account_id)
    elif damage == "total":
        value = "NaN" if connection.vendor == "postgresql" else 9e999
        execute_as_owner(f"UPDATE {TOTALS} SET estimated = %s WHERE account_id = %s", value, bad.account_id)
    else:
        StreamingSession.objects.filter(pk=bad.pk).update(booked_at=None)
        set_in_session(bad, "created_at", never())
    accounts = [ProviderAccount(pk=row.account_id, monthly_cap=Decimal("0.1")) for row in (bad, good)]
    if damage == "cap":
        accounts[0].monthly_cap = Decimal("NaN")
    assert list(quotas.spendings(accounts, now)) == [good.account_id]
    assert [row.account.pk for row in spend_alerts.capped_accounts(now)] == [good.account_id]
    assert metrics.spent_today(accounts, now) > 1
    limits = SessionLimits.of(good.persona)
    for account in accounts:
        with pytest.raises(errors.SpendCap):
            quotas.within_cap(limits, account, now)


@pytest.mark.parametrize("column", ["created_at", "ends_at", "active_at", "abandoned_at", "live_at", "deadline_at"])
def test_a_session_with_an_infinite_time_is_named_and_keeps_no_other_from_ending(provider: Mock, column: str) -> None:
    past = timezone.now() - timedelta(seconds=1)
    bad, good = (live_session(PersonaFactory.create(published=True), name) for name in ("bad", "good"))
    StreamingSession.objects.update(ends_at=past, deadline_at=past)
    set_in_session(bad, column, never())
    named = {(fault.session.replace("-", ""), fault.column) for fault in verification.faults()}
    assert (bad.pk.hex, column) in named
    deadlines.repair_deadlines(timezone.now())
    asyncio.run(stop.enforce_due(timezone.now()))
    assert set(StreamingSession.objects.values_list("status", flat=True)) == {Status.ENDED}
    assert {each.args[0] for each in provider.stop_session.call_args_list} == {"bad", "good"}
    tasks.book_ended_sessions()
    assert StreamingSession.objects.values_list("booked_at", flat=True).get(pk=good.pk)


def test_a_check_that_ended_at_an_infinite_time_hides_nothing() -> None:
    session = ended_session()
    nightly_check.check_record(timezone.now())
    execute_as_owner(f"UPDATE {CHECKS} SET ended_at = %s, sessions = sessions + 1", never())
    overwrite(event_row(session, 3), 3, kind="forged")
    found = nightly_check.check_record(timezone.now())
    assert {("event", "kind"), ("check", "ended_at"), ("check", "sessions")} <= {
        (fault["table"], fault["column"]) for fault in found.faults
    }
    assert HistoryCheck.objects.count() == 2
