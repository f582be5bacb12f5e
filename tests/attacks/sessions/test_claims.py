"""A browser's reports decide neither time, nor cost, nor the end reason."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from asgiref.sync import async_to_sync
from django.utils import timezone

from heygen_portal.providers.contract.provider import ProviderSession
from sessions import errors
from sessions.actions import deadlines
from sessions.capacity import quotas, slots
from sessions.costs import ledger
from sessions.lifecycle import transitions
from sessions.models import EndReason, Quota, SessionTotal, StreamingSession
from sessions.timeline.page_clock import PageClock
from tests.sessions import reports
from tests.support.factories import WHY, PersonaFactory, UserFactory

SECOND = timedelta(seconds=1)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def report(session: StreamingSession, kind: str, at: datetime | None = None, **data: Any) -> None:
    """Report something as a page does, with a time of its own clock."""
    at_ms = (at or timezone.now()).timestamp() * 1000
    message = {"kind": kind, "data": data, "at": at_ms, "sent": at_ms}
    async_to_sync(reports.handle)(session.pk, message, PageClock())


def reports_nothing(session: StreamingSession, clock: time_machine.Traveller) -> None:
    """Never report a first frame."""


def reports_late(session: StreamingSession, clock: time_machine.Traveller) -> None:
    clock.shift(50)
    report(session, "first_frame")


def back_dates_reports(session: StreamingSession, clock: time_machine.Traveller) -> None:
    report(session, "first_frame", timezone.now() - timedelta(hours=3))


def post_dates_reports(session: StreamingSession, clock: time_machine.Traveller) -> None:
    report(session, "first_frame", timezone.now() + timedelta(hours=3))


def continues_without_video(session: StreamingSession, clock: time_machine.Traveller) -> None:
    report(session, "ladder", step="text")


def reports_twice(session: StreamingSession, clock: time_machine.Traveller) -> None:
    report(session, "first_frame")
    clock.shift(30)
    report(session, "first_frame")


WAYS = [reports_nothing, reports_late, back_dates_reports, post_dates_reports, continues_without_video, reports_twice]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("way", WAYS)
def test_minutes_and_cost_do_not_depend_on_the_pages_reports(way: Any, clock: time_machine.Traveller) -> None:
    person = UserFactory.create()
    persona = PersonaFactory.create(
        published=True, greeting="", avatar__account__credits_per_minute=1, idle_timeout=timedelta(minutes=10)
    )
    Quota.objects.create(user=person, minutes_per_month=3)
    session = slots.open_session(person.pk, persona.slug)
    clock.shift(4)  # time until the provider has created it, which is not charged
    transitions.connect(session, ProviderSession("theirs", None))
    way(session, clock)
    clock.move_to(NOON + 171 * SECOND)
    session.refresh_from_db()
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    clock.shift(30)  # time until the provider has ended it, which is not charged
    transitions.end(session)
    assert quotas.used_by(person.pk, timezone.now()) == 167 * SECOND
    with pytest.raises(errors.QuotaUsed):
        slots.open_session(person.pk, persona.slug)
    ledger.book_all()
    total = SessionTotal.objects.get()
    assert total.time == 197 * SECOND
    assert float(total.estimated) == pytest.approx(197 / 60, abs=1e-4)
    assert session.duration == 197 * SECOND


@pytest.mark.django_db
def test_the_record_states_the_times_from_which_time_and_cost_count(clock: time_machine.Traveller) -> None:
    session = slots.open_session(UserFactory.create().pk, PersonaFactory.create(published=True).slug)
    clock.shift(4)
    transitions.connect(session, ProviderSession("theirs", None))
    clock.shift(70)
    (due,) = deadlines.claim_due(timezone.now())
    transitions.end_all([due.pk])
    session.refresh_from_db()
    opened_at, stop_requested_at = NOON + 4 * SECOND, NOON + 74 * SECOND
    assert (session.opened_at, session.stop_requested_at) == (opened_at, stop_requested_at)
    created = session.events.get(kind="provider_created")
    stopping, ended = session.events.filter(kind="status").order_by("number")[2:]
    assert created.data["opened_at"] == opened_at.isoformat()
    assert stopping.data["stop_requested_at"] == stop_requested_at.isoformat()
    assert ended.data["ended_at"] == (session.ended_at or NOON).isoformat()


@pytest.mark.django_db
def test_stopping_before_the_provider_answers_gains_no_time(clock: time_machine.Traveller) -> None:
    """Repeated often enough, this used to give minutes back."""
    person = UserFactory.create()
    session = slots.open_session(person.pk, PersonaFactory.create(published=True).slug)
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    clock.shift(20)
    transitions.connect(session, ProviderSession("theirs", None))
    session.refresh_from_db()
    transitions.end(session)
    assert quotas.used_by(person.pk, timezone.now()) == timedelta(0)
    assert session.duration == timedelta(0)
