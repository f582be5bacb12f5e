"""The state of the portal's work for monitors, and who may read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from avatars.models import Persona, ProviderAccount
from heygen_portal.health import access
from heygen_portal.models import Webhook, WebhookDelivery
from heygen_portal.redis import marks
from heygen_portal.runtime.jobs import job_loop
from heygen_portal.trail.change_log import SERVER
from heygen_portal.webhooks import changes
from sessions import tasks
from sessions.health import texts, work
from sessions.models import Check, HistoryCheck
from tests.support import servers
from tests.support.factories import PersonaFactory, ProviderAccountFactory, StreamingSessionFactory

TOKEN = "a-token-of-more-than-thirty-two-characters"


@pytest.fixture
def account(db: None, settings: Any, redis_url: str) -> Iterator[ProviderAccount]:
    """Return an account with a published persona, for which everything is in time."""
    settings.REDIS_URL = redis_url
    marks.client.cache_clear()
    account = PersonaFactory.create(published=True).avatar.account
    account.synced_at = timezone.now()
    account.save()
    jobs = [marks.of_job(f"sessions.tasks.{name}") for name in ("enforce_limits", "keep_books")]
    for mark in (marks.WEB, marks.BEAT, *jobs, marks.of_account(account.pk)):
        marks.put(mark)
    HistoryCheck.objects.create(ended_at=timezone.now())
    yield account
    marks.client().flushdb()
    marks.client.cache_clear()


def problems() -> dict[str, str]:
    found = work.read(timezone.now())
    return {name: texts.problem(name, reading) for name, reading in found.items() if reading.cause}


def expect_since(key: str, age: timedelta) -> None:
    """Set since when a sign of life is looked for."""
    marks.client().set(f"{key}:expected", 1, px=timedelta(days=365) - age)


def test_work_in_time_has_no_problem(account: ProviderAccount) -> None:
    found = work.read(timezone.now())
    others = {"web", "rows", "provider", "deadlines", "integrity_check", "catalogue_sync"}
    assert set(found) == {"beat", "limits", "worker"} | others
    assert problems() == {}
    assert work.overall(found) == "ok"


@pytest.mark.parametrize(
    ("mark", "check"),
    [
        ("beat", "beat"),
        ("job:sessions.tasks.enforce_limits", "limits"),
        ("job:sessions.tasks.keep_books", "worker"),
        ("account", "provider"),
    ],
)
@pytest.mark.parametrize("minutes", [11, None])
def test_an_old_or_missing_sign_of_life_is_a_problem(
    account: ProviderAccount, mark: str, check: str, minutes: int | None
) -> None:
    key = f"portal-mark:{mark}" + (f":{account.pk}" if mark == "account" else "")
    assert marks.client().exists(key)
    if minutes is None:
        marks.client().delete(key)
        expect_since(key, timedelta(seconds=130))
    else:
        marks.client().pexpire(key, timedelta(days=7, minutes=-minutes))
    assert list(problems()) == [check]


@pytest.mark.parametrize(("seconds", "state"), [(110, "starting"), (130, "failing")])
def test_a_portal_that_has_just_started_is_starting_for_two_minutes(
    account: ProviderAccount, seconds: int, state: str
) -> None:
    """No mark was put yet: after a first start, or after Redis lost its data."""
    marks.client().flushdb()
    assert work.overall(work.read(timezone.now())) == "starting"
    for key in list(marks.client().scan_iter("*:expected")):
        expect_since(key.decode().removesuffix(":expected"), timedelta(seconds=seconds))
    assert work.overall(work.read(timezone.now())) == state


def test_a_dead_worker_is_no_starting_one(account: ProviderAccount) -> None:
    """A web process that starts again finds the old mark."""
    marks.client().pexpire("portal-mark:job:sessions.tasks.enforce_limits", timedelta(days=7, minutes=-1))
    marks.client().delete("portal-mark:job:sessions.tasks.enforce_limits:expected")
    assert list(problems()) == ["limits"]


def test_every_check_says_what_to_do() -> None:
    for check, cause in texts.PROBLEMS:
        advice = texts.advice(check, cause)
        assert advice.consequence
        assert advice.remedy
        assert bool(advice.page) == bool(advice.permission)


def test_an_overdue_deadline_is_a_problem(account: ProviderAccount) -> None:
    persona = Persona.objects.get()
    StreamingSessionFactory.create(persona=persona, deadline_at=timezone.now() - timedelta(minutes=1))
    assert list(problems()) == ["deadlines"]


@pytest.mark.parametrize(("hours", "fault_count"), [(49, 0), (1, 2)])
def test_an_old_integrity_check_or_its_faults_are_a_problem(
    account: ProviderAccount, hours: int, fault_count: int
) -> None:
    at = timezone.now() - timedelta(hours=hours)
    HistoryCheck.objects.update(started_at=at, ended_at=at, fault_count=fault_count)
    assert list(problems()) == ["integrity_check"]


@pytest.mark.parametrize(("hours", "expected"), [(47, []), (49, ["integrity_check"])])
def test_a_record_that_was_never_verified_is_a_problem_once_it_is_old(
    account: ProviderAccount, hours: int, expected: list[str]
) -> None:
    """A check that did not finish verified nothing."""
    HistoryCheck.objects.update(ended_at=None)
    created_at = timezone.now() - timedelta(hours=hours)
    StreamingSessionFactory.create(persona=Persona.objects.get(), status="ended", created_at=created_at)
    assert list(problems()) == expected


@pytest.mark.parametrize("hours", [49, None])
def test_an_old_or_missing_sync_is_a_problem(account: ProviderAccount, hours: int | None) -> None:
    account.synced_at = None if hours is None else timezone.now() - timedelta(hours=hours)
    account.save()
    assert list(problems()) == ["catalogue_sync"]


def test_a_backup_is_checked_if_it_leaves_a_file(account: ProviderAccount, settings: Any, tmp_path: Path) -> None:
    settings.BACKUP_STAMP_FILE = str(tmp_path / "backup")
    assert list(problems()) == ["backup"]
    (tmp_path / "backup").touch()
    assert problems() == {}
    old = timezone.now().timestamp() - 27 * 3600
    os.utime(tmp_path / "backup", (old, old))
    assert list(problems()) == ["backup"]


def test_messages_for_webhooks_that_nobody_sends_are_a_problem(account: ProviderAccount) -> None:
    assert "webhooks" not in work.read(timezone.now())
    webhook = Webhook(name="CRM", url="https://crm.example.com/", events=["session.ended"])
    changes.create(SERVER, webhook)
    changes.send_test(webhook)
    assert problems() == {}
    assert texts.status(Check.WEBHOOKS, work.read(timezone.now())[Check.WEBHOOKS])
    WebhookDelivery.objects.update(due_at=timezone.now() - timedelta(minutes=4))
    assert problems() == {}
    WebhookDelivery.objects.update(due_at=timezone.now() - timedelta(minutes=6))
    assert list(problems()) == ["webhooks"]
    changes.pause(SERVER, webhook.pk)
    assert problems() == {}


def test_a_missing_redis_is_a_problem(account: ProviderAccount, settings: Any, redis_url: str) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    marks.client.cache_clear()
    assert list(problems()) == ["redis"]
    settings.REDIS_URL = redis_url
    marks.client.cache_clear()


LOCAL = {b"host": b"127.0.0.1:8000"}


@pytest.mark.parametrize(
    ("peer", "headers", "is_allowed"),
    [
        ("127.0.0.1", LOCAL, True),
        ("::1", {b"host": b"[::1]:8000"}, True),
        ("192.0.2.1", LOCAL, False),
        ("", LOCAL, False),
        ("127.0.0.1", {b"host": b"portal.example.org"}, False),
        ("127.0.0.1", {**LOCAL, b"x-forwarded-for": b"127.0.0.1"}, False),
        ("192.0.2.1", {b"authorization": f"Bearer {TOKEN}".encode()}, True),
        ("192.0.2.1", {b"authorization": f"Bearer {TOKEN}x".encode()}, False),
        ("192.0.2.1", {b"authorization": b"Bearer "}, False),
    ],
)
def test_only_a_token_or_this_machine_may_ask(
    settings: Any, peer: str, headers: dict[bytes, bytes], is_allowed: bool
) -> None:
    settings.HEALTH_TOKEN = TOKEN
    assert access.is_allowed({"client": (peer, 1234), "headers": list(headers.items())}) is is_allowed


@pytest.mark.parametrize("token", ["", "short"])
def test_a_missing_or_short_token_opens_nothing(settings: Any, token: str) -> None:
    settings.HEALTH_TOKEN = token
    sent = [(b"authorization", f"Bearer {token}".encode())]
    assert not access.is_allowed({"client": ("192.0.2.1", 1234), "headers": sent})


@pytest.mark.django_db(transaction=True)
def test_only_a_provider_that_listed_its_sessions_is_marked(
    settings: Any, redis_url: str, fresh_emulator: servers.Emulator
) -> None:
    settings.REDIS_URL = redis_url
    marks.client.cache_clear()
    key = fresh_emulator.api_key
    listed = ProviderAccountFactory.create(base_url=fresh_emulator.url, api_key=key)
    refused = ProviderAccountFactory.create(base_url=fresh_emulator.url, api_key="wrong")
    marks.client().flushdb()  # accounts of earlier tests had the same keys
    try:
        tasks.reconcile()
        ages = marks.ages([marks.of_account(account.pk) for account in (listed, refused)])
        assert [age is None for age in ages.values()] == [False, True]
    finally:
        job_loop.close()
        marks.client().flushdb()
        marks.client.cache_clear()
