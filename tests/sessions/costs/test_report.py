"""Totals of sessions and days, provider billing, and alerts at the monthly cap."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.core import mail
from django.test import Client
from django.utils import timezone, translation

from heygen_portal.console.credits import rounded_credits
from heygen_portal.people.access import roles
from heygen_portal.providers.contract.session_records import PastSession, PastSessions
from sessions.capacity import quotas
from sessions.costs import ledger, metrics, provider_costs, provider_record, report, spend_alerts
from sessions.lifecycle import events
from sessions.lifecycle.events import Entry, Source
from sessions.models import DayTotal, SessionTotal, Status, StreamingSession
from tests.sessions.costs.test_provider_record import RECORD
from tests.support.factories import PersonaFactory, ProviderAccountFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db

NOW = timezone.now()
MINUTE = timedelta(minutes=1)


def ended_session(minutes: float, **fields: Any) -> StreamingSession:
    """Return a session of today that lasted this many minutes."""
    began = timezone.localtime(NOW).replace(hour=0, minute=0, second=0, microsecond=0)
    moments = {"created_at": began, "ended_at": began + minutes * MINUTE}
    session: StreamingSession = StreamingSessionFactory.create(status=Status.ENDED, **moments, **fields)
    return session


def record_events(session: StreamingSession, *recorded: tuple[float, str, dict[str, Any]]) -> None:
    """Record events, each given as seconds after the start, kind and data."""
    moments = ((session.created_at + timedelta(seconds=after), kind, data) for after, kind, data in recorded)
    events.record(session.pk, *(Entry(kind, data, Source.BROWSER, at) for at, kind, data in moments))


def test_an_ended_session_is_booked_once_and_added_to_its_day() -> None:
    persona = PersonaFactory.create(published=True)
    sessions = [ended_session(minutes, persona=persona) for minutes in (5, 10)]
    StreamingSessionFactory.create(persona=persona)  # runs
    assert (ledger.book_all(), ledger.book_all()) == (2, 0)
    totals = SessionTotal.objects.filter(session__in=sessions).order_by("time")
    assert [total.estimated for total in totals] == [Decimal("1.0000"), Decimal("2.0000")]  # 0.2 credits a minute
    day = DayTotal.objects.get()
    assert (day.sessions, day.time, day.estimated) == (2, 15 * MINUTE, Decimal(3))


def test_unopened_and_sandbox_sessions_cost_nothing() -> None:
    sandbox = PersonaFactory.create(published=True, avatar__account__is_sandbox=True)
    ended_session(5, provider_session_id=None)
    ended_session(5, persona=sandbox)
    ledger.book_all()
    assert [total.estimated for total in SessionTotal.objects.all()] == [0, 0]


def test_unattended_time_is_counted_between_departures_and_returns() -> None:
    session = ended_session(2)
    record_events(
        session,
        (10, "room_connected", {}),
        (30, "last_tab_left", {}),
        (36, "tab_returned", {}),
        (60, "person_left_room", {}),
        (61, "last_tab_left", {}),
        (64, "room_connected", {}),
        (115, "last_tab_left", {}),
    )
    ledger.book_all()
    assert SessionTotal.objects.get().wasted == timedelta(seconds=6 + 4 + 5)


def test_response_times_are_stored_with_the_session() -> None:
    """Requirement 53."""
    session = ended_session(2)
    record_events(
        session,
        (20, "user_start", {}),
        (22, "user_stop", {}),
        (23.2, "avatar_start_talking", {"task_id": "a"}),
        (40, "user_start", {}),
        (41, "user_stop", {}),
        (41.8, "avatar_start_talking", {"task_id": "b"}),
        (41.9, "first_sound", {"after": "spoken", "ms": 950}),  # measured by the browser on the sound itself
    )
    ledger.book_all()
    assert SessionTotal.objects.get().answers_ms == [1200, 950]


@pytest.mark.parametrize("is_booked_first", [True, False])
def test_the_providers_cost_is_stored_before_or_after_booking(is_booked_first: bool) -> None:
    session = ended_session(10)
    if is_booked_first:
        ledger.book_all()
    provider_record.store(session, RECORD)
    if not is_booked_first:
        ledger.book_all()
    total = SessionTotal.objects.get()
    assert (total.provider_time, total.provider_credits) == (RECORD.duration, Decimal("2.03"))
    assert total.difference == Decimal("0.03")


@pytest.mark.django_db(transaction=True)
async def test_a_provider_without_session_records_is_asked_for_its_history(provider: Mock) -> None:
    session = await sync_to_async(ended_session)(10, provider_session_id="theirs")
    await sync_to_async(ledger.book_all)()
    others = PastSession("not-ours", NOW, 3 * MINUTE)
    pages = [PastSessions((others,), has_more=True), PastSessions((PastSession("theirs", NOW, 12 * MINUTE),))]
    provider.past_sessions = AsyncMock(side_effect=pages)
    account = await sync_to_async(lambda: session.account)()
    assert [await provider_costs.read(account, NOW) for _ in range(2)] == [1, 0]
    total = await SessionTotal.objects.aget()
    assert (total.provider_time, total.provider_credits) == (12 * MINUTE, Decimal("2.4000"))


@pytest.mark.django_db(transaction=True)
async def test_a_history_without_an_end_is_not_read_for_ever(provider: Mock) -> None:
    session = await sync_to_async(ended_session)(10)
    await sync_to_async(ledger.book_all)()
    others = PastSessions((PastSession("not-ours", NOW, 3 * MINUTE),), has_more=True)
    provider.past_sessions = AsyncMock(return_value=others)
    assert await provider_costs.read(await sync_to_async(lambda: session.account)(), NOW) == 0
    assert provider.past_sessions.call_count == 50


def test_more_sessions_than_one_batch_are_booked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SESSIONS_PER_BATCH", 2)
    for _ in range(3):
        ended_session(1)
    assert ledger.book_all() == 3


def test_booking_does_not_change_what_is_spent() -> None:
    persona = PersonaFactory.create(published=True, avatar__account__monthly_cap=10)
    ended_session(10, persona=persona)
    StreamingSessionFactory.create(persona=persona, created_at=NOW - 5 * MINUTE, ends_at=NOW + 5 * MINUTE)
    before = quotas.spending(persona.avatar.account, NOW)
    assert ledger.book_all() == 1
    after = quotas.spending(persona.avatar.account, NOW)
    assert (before.left, before.promised) == (after.left, after.promised)
    assert round(after.spent, 4) == round(before.spent, 4)


def account_keeper(email: str) -> User:
    roles.sync()
    user: User = UserFactory.create(is_staff=True, email=email)
    user.groups.add(Group.objects.get(name=roles.ADMINISTRATOR.group))
    return user


def test_staff_are_mailed_once_at_the_alarm_share_and_once_at_the_cap() -> None:
    account_keeper("keeper@example.org")
    account = ProviderAccountFactory.create(name="Main", monthly_cap=2, alarm_share=75)
    persona = PersonaFactory.create(published=True, avatar__account=account)
    subjects = []
    for minutes in (5, 3, 2):  # 1.0, then 1.6, then 2.0 of 2 credits
        ended_session(minutes, persona=persona)
        ledger.book_all()
        spend_alerts.raise_alerts(NOW)
        spend_alerts.raise_alerts(NOW)
        subjects.append([message.subject for message in mail.outbox])
    assert [len(sent) for sent in subjects] == [0, 1, 2]
    assert "80 %" in subjects[1][0]
    assert mail.outbox[0].to == ["keeper@example.org"]
    assert "UTC" in str(mail.outbox[0].body)  # in which the month is counted
    assert account.alarms.filter(mailed_at=None).count() == 0


def test_a_failed_mail_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    account_keeper("keeper@example.org")
    persona = PersonaFactory.create(published=True, avatar__account__monthly_cap=1)
    ended_session(10, persona=persona)
    with monkeypatch.context() as broken:
        broken.setattr(spend_alerts, "send_mail", Mock(side_effect=ConnectionRefusedError))
        spend_alerts.raise_alerts(NOW)
    spend_alerts.raise_alerts(NOW)
    assert len(mail.outbox) == 2  # at the alarm share and at the cap


def test_an_alert_without_a_recipient_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    account_keeper("")
    persona = PersonaFactory.create(published=True, avatar__account__monthly_cap=1)
    ended_session(10, persona=persona)
    spend_alerts.raise_alerts(NOW)
    assert mail.outbox == []
    assert f"account {persona.avatar.account_id} has spent 200 % of its cap" in caplog.text


PAGES = ("/admin/avatar_sessions/sessiontotal/costs/", "/admin/avatar_sessions/sessiontotal/reconciliation/")


def test_the_pages_show_costs_by_day_persona_group_and_account_and_provider_billing(admin_client: Client) -> None:
    persona = PersonaFactory.create(published=True)
    person = UserFactory.create()
    person.groups.add(Group.objects.create(name="Customers"))
    sessions = [ended_session(10, persona=persona, user=person), ended_session(5, persona=persona, user=person)]
    ledger.book_all()
    ledger.store_provider_cost(sessions[0].pk, 660, None)
    month: Any = admin_client.get(PAGES[0]).context["report"]
    today = next(day for day in month.days if day.sessions)
    for sums in (month.total, today, month.personas[0], month.accounts[0], month.groups[0]):
        assert (sums.sessions, sums.credits) == (2, 3)
    assert month.groups[0].name == "Customers"
    page = admin_client.get(PAGES[1])
    assert "no hay nada que comparar" not in page.content.decode()
    compared: Any = page.context["report"]
    account = compared.accounts[0]
    assert (account.sessions, account.reported, account.difference) == (2, 1, Decimal("0.2"))
    assert [total.session_id for total in compared.largest_differences] == [sessions[0].pk]
    assert admin_client.get(PAGES[0], {"month": "2001-02"}).context["report"].total.sessions == 0
    assert admin_client.get(PAGES[0], {"month": "nonsense"}).context["month"] == report.Month.parse("", NOW)


def test_a_comparison_without_any_report_says_so(admin_client: Client) -> None:
    ended_session(10)
    ledger.book_all()
    page = admin_client.get(PAGES[1]).content.decode()
    assert "no hay nada que comparar" in page
    assert "0,00" not in page


def test_half_a_hundredth_of_a_credit_is_rounded_up_on_every_page() -> None:
    """The board cut off what the page of costs rounded."""
    with translation.override("en"):
        assert [rounded_credits(Decimal(amount)) for amount in ("0.2349", "0.235", "0.004", "-0.235")] == [
            "0.23", "0.24", "0.00", "-0.24",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("role", "sees_sessions", "sees_costs"),
    [(roles.EDITOR, False, False), (roles.OPERATOR, True, True), (roles.AUDITOR, True, True)],
    ids=lambda value: getattr(value, "group", ""),
)
def test_the_dashboard_shows_each_role_what_it_may_see(
    client: Client, role: roles.Role, sees_sessions: bool, sees_costs: bool
) -> None:
    """Requirement 53."""
    roles.sync()
    user = UserFactory.create(is_staff=True)
    user.groups.add(Group.objects.get(name=role.group))
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    persona = PersonaFactory.create(published=True, avatar__account__monthly_cap=2)
    ended = ended_session(9, persona=persona, end_reason="no_picture")
    record_events(
        ended,
        (1.5, "first_frame", {}),
        (2, "first_sound", {"after": "start", "ms": 1900}),
        (20, "user_start", {}),
        (22, "user_stop", {}),
        (23.2, "avatar_start_talking", {"task_id": "a"}),
    )
    StreamingSession.objects.update(live_at=ended.created_at + timedelta(seconds=9))
    ledger.book_all()
    shown: Any = client.get("/admin/").context
    assert ("today" in shown, "capped" in shown) == (sees_sessions, sees_costs)
    if sees_sessions:
        today = shown["today"]
        assert (today.sessions, today.open, today.failures) == (1, 0, [("El vídeo no llegó", 1)])
        assert (today.first_frame.median, today.greeting.median, today.response_times.median) == (
            timedelta(seconds=1.5),
            timedelta(seconds=1.9),
            timedelta(seconds=1.2),
        )
    if sees_costs:
        assert [(row.percent, row.is_over_alarm_share) for row in shown["capped"]] == [(90, True)]


def test_first_frame_times_are_of_sessions_that_had_a_picture() -> None:
    """Sessions with sound or text only are excluded.

    They are live as well, and continue after a late verdict.
    """
    for seconds in (1, 2, 4):
        session = StreamingSessionFactory.create()
        record_events(session, (seconds, "first_frame", {}), (9, "first_frame", {}))
    for _number in range(3):
        sound_only = StreamingSessionFactory.create()
        StreamingSession.objects.filter(pk=sound_only.pk).update(live_at=sound_only.created_at + timedelta(seconds=20))
    measured = metrics.first_frame(timezone.now())
    assert (measured.count, measured.median) == (3, timedelta(seconds=2))
