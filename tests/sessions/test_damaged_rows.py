"""A damaged row does not keep a job from handling the other rows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from unittest.mock import AsyncMock, Mock

import pytest
from django.utils import timezone

from avatars import tasks as avatars_tasks
from avatars.catalogue import sync_runs
from avatars.models import PersonaCheck, ProviderAccount, Video
from avatars.videos import orders
from heygen_portal import providers
from heygen_portal.people.access.live_access import Loss
from heygen_portal.providers.contract.provider import SessionRecord
from sessions import tasks
from sessions.actions import deadlines
from sessions.costs import spend_alerts
from sessions.lifecycle import events, transitions
from sessions.models import EndReason, Erasure, SessionTask, SpendAlarm, Status, StreamingSession
from sessions.presence import observers
from sessions.staff import persona_checks
from tests.sessions.tampering import execute_as_owner, live_session, running_session
from tests.support.factories import (
    WHY,
    PersonaFactory,
    ProviderAccountFactory,
    StreamingSessionFactory,
    UserFactory,
    VideoFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT, SESSION = "avatars_provideraccount", "avatar_sessions_streamingsession"
AGO = timedelta(minutes=10)
# Looks like a time, but cannot be read as one.
NO_TIME = "2026-99-99 00:00:00"
Asked = list[int]


@pytest.fixture
def asked(provider: Mock, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Return the IDs of the accounts whose provider was asked."""
    accounts: Asked = []

    def for_account(account: ProviderAccount) -> Mock:
        providers.KINDS[account.kind]  # fails as it does for a kind that does not exist
        accounts.append(account.pk)
        return provider

    monkeypatch.setattr(providers, "for_account", for_account)
    return accounts


def damage_account(account_id: int, column: str = "kind", value: str = "x") -> None:
    execute_as_owner(f"UPDATE {ACCOUNT} SET {column} = %s WHERE id = %s", value, account_id)


@pytest.mark.parametrize(("column", "value"), [("kind", "x"), ("unknown_sessions", "[5]"), ("monthly_cap", "x")])
@pytest.mark.parametrize("job", [tasks.reconcile, tasks.read_provider_costs])
def test_a_damaged_account_does_not_keep_others_from_the_jobs_of_all_accounts(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, job: Callable[[], None], column: str, value: str
) -> None:
    bad, good = ProviderAccountFactory.create(), ProviderAccountFactory.create()
    damage_account(bad.pk, column, value)
    job()
    assert good.pk in asked


def test_a_damaged_account_does_not_keep_the_personas_of_others_from_their_check(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = PersonaFactory.create(published=True), PersonaFactory.create(published=True)

    async def refresh(account: ProviderAccount) -> None:
        providers.for_account(account)

    monkeypatch.setattr(persona_checks, "refresh_catalogue", refresh)
    damage_account(bad.avatar.account_id)
    tasks.check_personas()
    assert PersonaCheck.objects.get().persona == good


def test_a_damaged_account_does_not_keep_other_catalogues_from_their_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    queued: list[int] = []
    monkeypatch.setattr(sync_runs.sync_account, "delay", queued.append)
    bad, _good = ProviderAccountFactory.create(), ProviderAccountFactory.create()
    damage_account(bad.pk, "monthly_cap", "x")
    avatars_tasks.sync_catalogues()
    assert len(queued) == 1


def test_a_damaged_account_does_not_keep_other_videos_from_their_order(asked: Asked, provider: Mock) -> None:
    provider.make_video = AsyncMock(return_value="their-video")
    now = timezone.now()
    bad, good = VideoFactory.create(due_at=now - AGO), VideoFactory.create(due_at=now - AGO)
    damage_account(bad.avatar.account_id)
    asyncio.run(orders.process_due(now))
    assert Video.objects.get(pk=good.pk).status == Video.Status.MAKING


@pytest.mark.parametrize("cap", ["x", "1e999"])
def test_a_damaged_cap_does_not_keep_other_accounts_from_their_alert(cap: str) -> None:
    bad = ProviderAccountFactory.create(monthly_cap=10)
    good = ProviderAccountFactory.create(monthly_cap=0)
    damage_account(bad.pk, "monthly_cap", cap)
    tasks.send_spend_alerts()
    assert good.pk in SpendAlarm.objects.values_list("account", flat=True)
    assert good.pk in [row.account.pk for row in spend_alerts.capped_accounts(timezone.now())]


@pytest.mark.parametrize("damage", ["kind", "time"])
def test_a_damaged_session_does_not_keep_others_from_reading_their_record(
    asked: Asked, provider: Mock, damage: str
) -> None:
    due_at = timezone.now() - AGO
    bad, good = (StreamingSessionFactory.create(status=Status.ENDED, record_due_at=due_at) for _ in range(2))
    provider.read_record = AsyncMock(return_value=SessionRecord())
    if damage == "kind":
        damage_account(bad.account_id)
    else:
        execute_as_owner(f"UPDATE {SESSION} SET live_at = %s WHERE id = %s", NO_TIME, bad.pk.hex)
    tasks.read_records()
    assert due_of(good) is None


def due_of(session: StreamingSession) -> object:
    return StreamingSession.objects.values_list("record_due_at", flat=True).get(pk=session.pk)


def test_a_damaged_event_does_not_keep_observers_of_other_sessions(announced: object) -> None:
    bad, good = running_session(), running_session()
    for session in (bad, good):
        StreamingSession.objects.filter(pk=session.pk).update(room=f"room-{session.pk}")
        observers.issue_seat(session.pk, UserFactory.create(is_staff=True).pk, None, "no-login")
    for column, value in (("data", "[]"), ("at", NO_TIME)):
        execute_as_owner(
            f"UPDATE avatar_sessions_sessionevent SET {column} = %s WHERE session_id = %s AND kind = %s",
            value, bad.pk.hex, str(observers.SEAT_ISSUED),
        )  # fmt: skip
        found = observers._seats_without_access(None)
        assert [(seat.session_id, loss) for seat, loss in found] == [(good.pk, Loss.SIGNED_OUT)]


@pytest.mark.parametrize("damage", ["kind", "head", "sealed"])
def test_a_damaged_session_does_not_keep_the_speech_of_others(announced: object, damage: str) -> None:
    bad, good = (ended_with_speech(days_ago) for days_ago in (5, 4))
    match damage:
        case "kind":
            damage_account(bad.account_id)
        case "head":
            damage_head(bad)
        case _:
            execute_as_owner("UPDATE avatar_sessions_utterance SET sealed = 'text' WHERE session_id = %s", bad.pk.hex)
    tasks.erase_old_speech()
    assert Erasure.objects.get().session == good


def ended_with_speech(days_ago: int) -> StreamingSession:
    session = live_session(PersonaFactory.create(published=True, speech_days=1), f"user-{days_ago}")
    session.utterances.create(who="user", by="text", text="hola", source=events.Source.PORTAL)
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)
    StreamingSession.objects.filter(pk=session.pk).update(ended_at=timezone.now() - timedelta(days=days_ago))
    return session


def damage_head(session: StreamingSession) -> None:
    execute_as_owner(
        "UPDATE avatar_sessions_sessionhead SET number = 9223372036854775806 WHERE session_id = %s", session.pk.hex
    )


def test_a_damaged_session_does_not_keep_others_from_failing_their_texts_and_being_booked(announced: object) -> None:
    bad, good = running_session(), running_session()
    ended = StreamingSessionFactory.create(status=Status.ENDED)
    for session, age in ((bad, 2 * AGO), (good, AGO)):
        SessionTask.objects.create(
            session=session, sealed=b"\x01", status=SessionTask.Status.SENDING, created_at=timezone.now() - age
        )
    damage_head(bad)
    tasks.book_ended_sessions()
    assert good.tasks.get().status == SessionTask.Status.FAILED
    assert not deadlines._stale_tasks(timezone.now()).exclude(session=bad).exists()
    assert StreamingSession.objects.get(pk=ended.pk).booked_at
