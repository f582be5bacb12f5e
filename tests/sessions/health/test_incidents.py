"""Incidents are opened once, reported once, and closed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from heygen_portal.people.access import roles
from heygen_portal.people.mail import outgoing
from heygen_portal.people.preferences import languages
from heygen_portal.redis import marks
from heygen_portal.runtime.jobs import each_row
from sessions.health import incidents, watch, work
from sessions.health.readings import Cause, Reading
from sessions.models import Check, Incident, StreamingSession
from tests.sessions.tampering import execute_as_owner
from tests.support.factories import StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db

NOW = timezone.now()
DEAD_WORKER = {Check.LIMITS: Reading(timedelta(minutes=9), timedelta(seconds=30), Cause.LATE)}
ALL_WELL = {Check.LIMITS: Reading(timedelta(seconds=1), timedelta(seconds=30))}


@pytest.fixture(autouse=True)
def mail_server(settings: Any, redis_url: str) -> None:
    settings.EMAIL_HOST = "mail.example.org"
    settings.REDIS_URL = redis_url
    marks.client.cache_clear()
    marks.client().flushdb()


def staff(role: roles.Role, language: str = "en") -> User:
    user: User = UserFactory.create(is_staff=True)
    user.email = f"{user.username}@example.org"
    user.save()
    user.groups.add(Group.objects.get(name=role.group))
    languages.remember(user.pk, language)
    return user


def after(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


def judge_every_minute(found: Mapping[Check, Reading], first: int, last: int) -> None:
    for minute in range(first, last + 1):
        incidents.judge(found, after(minute))


def sent() -> list[tuple[str, str]]:
    return [(message.to[0], str(message.subject)) for message in mail.outbox]


def test_staff_are_mailed_once_when_a_check_has_failed_for_five_minutes_and_once_when_it_is_over() -> None:
    operator = staff(roles.OPERATOR)
    judge_every_minute(DEAD_WORKER, 0, 4)
    assert sent() == []
    judge_every_minute(DEAD_WORKER, 5, 8)
    assert sent() == [(operator.email, "HeyGen Portal · No worker has enforced the limits for 9 min.")]
    judge_every_minute(ALL_WELL, 9, 12)
    assert sent()[1:] == [(operator.email, "HeyGen Portal · Over: No worker has enforced the limits for 9 min.")]
    incident = Incident.objects.get()
    assert (incident.opened_at, incident.over_at) == (after(5), after(9))


def test_the_message_says_what_to_do_and_where(settings: Any) -> None:
    settings.PORTAL_URL = "https://portal.example.org"
    staff(roles.OPERATOR)
    judge_every_minute(DEAD_WORKER, 0, 5)
    body = str(mail.outbox[0].body)
    assert "The web processes enforce limits meanwhile" in body
    assert "Start the worker of the queue “limits” again." in body
    assert "docker compose restart limits" in body
    assert "https://portal.example.org/admin/" in body


def test_each_recipient_reads_it_in_their_language() -> None:
    staff(roles.OPERATOR, "es")
    staff(roles.ADMINISTRATOR, "en")
    judge_every_minute(DEAD_WORKER, 0, 5)
    assert sorted(subject.partition(" · ")[2] for _, subject in sent()) == [
        "Ningún proceso de trabajo (worker) aplica los límites desde hace 9 min.",
        "No worker has enforced the limits for 9 min.",
    ]


@pytest.mark.parametrize(
    ("check", "cause", "told"),
    [
        (Check.LIMITS, Cause.LATE, [roles.OPERATOR, roles.ADMINISTRATOR]),
        (Check.INTEGRITY_CHECK, Cause.FAULTS, [roles.AUDITOR, roles.ADMINISTRATOR]),
    ],
)
def test_only_those_who_hold_the_permission_are_told(check: Check, cause: Cause, told: list[roles.Role]) -> None:
    by_role = {role.group: staff(role).email for role in roles.ROLES}
    judge_every_minute({check: Reading(timedelta(hours=1), timedelta(hours=2), cause, faults=3)}, 0, 5)
    assert {address for address, _ in sent()} == {by_role[role.group] for role in told}


def test_a_short_failure_is_no_incident() -> None:
    staff(roles.OPERATOR)
    judge_every_minute(DEAD_WORKER, 0, 3)
    judge_every_minute(ALL_WELL, 4, 6)
    judge_every_minute(DEAD_WORKER, 7, 9)  # counted anew
    assert sent() == []
    assert [row.opened_at for row in Incident.objects.all()] == [None]


def test_time_without_a_judge_does_not_count_as_failing() -> None:
    staff(roles.OPERATOR)
    incidents.judge(DEAD_WORKER, after(0))
    incidents.judge(DEAD_WORKER, after(60))
    assert sent() == []
    judge_every_minute(DEAD_WORKER, 61, 65)
    assert len(sent()) == 1


def test_judges_who_disagree_do_not_close_an_incident() -> None:
    staff(roles.OPERATOR)
    judge_every_minute(DEAD_WORKER, 0, 5)
    for second in range(0, 180, 20):
        incidents.judge(DEAD_WORKER, after(5) + timedelta(seconds=second))
        incidents.judge(ALL_WELL, after(5) + timedelta(seconds=second + 10))
    assert len(sent()) == 1
    assert Incident.objects.get().over_at is None


def test_without_redis_a_dead_worker_is_unknown_and_stays_open() -> None:
    staff(roles.OPERATOR)
    judge_every_minute(DEAD_WORKER, 0, 5)
    judge_every_minute({Check.REDIS: Reading(None, timedelta(seconds=1), Cause.NO_ANSWER)}, 6, 20)
    assert [subject.partition(" · ")[2] for _, subject in sent()[1:]] == ["Redis does not answer."]
    assert Incident.objects.get(check_name="limits").over_at is None


def test_a_report_that_the_mail_server_refused_is_sent_later(monkeypatch: pytest.MonkeyPatch) -> None:
    staff(roles.OPERATOR)
    with monkeypatch.context() as broken:
        broken.setattr(outgoing, "send", lambda *letter: False)
        judge_every_minute(DEAD_WORKER, 0, 8)
    assert sent() == []
    judge_every_minute(DEAD_WORKER, 10, 12)
    assert len(sent()) == 1


def test_a_report_whose_sender_died_is_sent_by_another_process() -> None:
    staff(roles.OPERATOR)
    Incident.objects.create(
        check_name="limits",
        cause="late",
        age=timedelta(minutes=9),
        first_failed_at=after(0),
        last_failed_at=after(5),
        opened_at=after(5),
        report_claimed_until=after(15),
    )
    incidents.report(after(14))
    assert sent() == []
    incidents.report(after(16))
    assert len(sent()) == 1


def test_without_a_mail_server_the_incident_is_in_the_log(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    settings.EMAIL_HOST = ""
    staff(roles.OPERATOR)
    judge_every_minute(DEAD_WORKER, 0, 7)
    assert sent() == []
    assert caplog.text.count("EMAIL_HOST is not set") == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_judges_at_once_one_reports() -> None:
    staff(roles.OPERATOR)
    ready = Barrier(2)

    def judge() -> None:
        try:
            for minute in range(8):
                ready.wait()
                incidents.judge(DEAD_WORKER, after(minute))
        finally:
            connection.close()

    judges = [Thread(target=judge) for _ in range(2)]
    for thread in judges:
        thread.start()
    for thread in judges:
        thread.join()
    assert Incident.objects.count() == 1
    assert len(sent()) == 1


def test_a_row_that_a_job_cannot_read_is_a_problem() -> None:
    session = StreamingSessionFactory.create()
    assert each_row.readable(StreamingSession.objects.all()) == [session]
    assert work.read(NOW)[Check.ROWS].cause is None
    execute_as_owner("UPDATE avatar_sessions_streamingsession SET live_at = %s", "2026-13-45 00:00:00")
    assert each_row.readable(StreamingSession.objects.all()) == []
    assert work.read(NOW)[Check.ROWS].cause == Cause.UNREADABLE


def test_a_round_is_judged_by_one_process(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    judged: list[datetime] = []
    monkeypatch.setattr(incidents, "judge", lambda found, now: judged.append(now))
    watch.judge()
    watch.judge()
    assert len(judged) == 1
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    marks.client.cache_clear()
    watch.judge()  # without Redis each judges
    assert len(judged) == 2
    marks.client.cache_clear()


def test_the_admin_lists_incidents_and_not_suspicions() -> None:
    judge_every_minute(DEAD_WORKER, 0, 5)
    incidents.judge({Check.BACKUP: Reading(None, timedelta(hours=26), Cause.NEVER)}, after(5))
    client = Client(headers={"accept-language": "en"})
    client.force_login(staff(roles.OPERATOR))
    page = client.get("/admin/avatar_sessions/incident/").content.decode()
    assert page.count("field-check_name") == 1
    row = Incident.objects.get(check_name="limits")
    page = client.get(f"/admin/avatar_sessions/incident/{row.pk}/change/").content.decode()
    assert "No worker has enforced the limits for 9 min." in page


@pytest.mark.parametrize(
    ("hosts", "https", "expected"),
    [
        (["127.0.0.1", ".example.org", "portal.example.org"], True, "https://portal.example.org/admin/"),
        (["*"], False, "http://localhost/admin/"),
    ],
)
def test_links_in_mail_lead_to_the_portals_own_host(
    settings: Any, hosts: list[str], https: bool, expected: str
) -> None:
    settings.ALLOWED_HOSTS, settings.HTTPS, settings.PORTAL_URL = hosts, https, ""
    assert outgoing.link("/admin/") == expected
