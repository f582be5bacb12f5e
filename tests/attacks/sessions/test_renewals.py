"""A renewal gains no time, passes no queued user, and needs a seen cause."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
import time_machine
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone, translation

from avatars.models import Persona
from heygen_portal.providers.contract.provider import OpenSession, ProviderUnreachable
from sessions import errors
from sessions.capacity import claims, slots
from sessions.capacity.claims import Claim
from sessions.capacity.slots import StartRequest
from sessions.lifecycle import end_evidence, transitions
from sessions.models import EndReason, LimitBy, QueueEntry, Status, StreamingSession
from tests.sessions.tabs import a_person, a_persona, browser
from tests.support.factories import WHY, PersonaFactory, StreamingSessionFactory, UserFactory

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CLAIMS = ["no_picture", "user_stopped", "duration_limit", "provider_ended"]


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOON, tick=False) as clock:
        yield clock


def talk(
    person: User, persona: Persona, request: StartRequest, minutes: int, clock: time_machine.Traveller
) -> StreamingSession:
    """Run a session of this many minutes."""
    session = slots.open_session(person.pk, persona.slug, request)
    StreamingSession.objects.filter(pk=session.pk).update(provider_session_id=f"theirs-{session.pk}")
    clock.shift(minutes * MINUTE)
    session.refresh_from_db()
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)
    return session


def lasts(session: StreamingSession) -> timedelta:
    return session.ends_at - session.created_at


@pytest.mark.django_db
@pytest.mark.parametrize("because", CLAIMS)
def test_a_conversation_has_one_limit_for_every_renewal_reason(because: str, clock: time_machine.Traveller) -> None:
    person, persona = UserFactory.create(), PersonaFactory.create(published=True, duration_limit=20 * MINUTE)
    first = talk(person, persona, StartRequest(), 8, clock)
    clock.shift(60 * MINUTE)  # time without a session
    request = StartRequest(continues=first.pk, claimed_reason=EndReason(because))
    second = talk(person, persona, request, 7, clock)
    assert lasts(second) == 12 * MINUTE
    third = slots.open_session(
        person.pk, persona.slug, StartRequest(continues=second.pk, claimed_reason=EndReason(because))
    )
    assert lasts(third) == 5 * MINUTE


@pytest.mark.django_db
def test_continuing_an_early_session_repeatedly_gains_no_time(clock: time_machine.Traveller) -> None:
    person, persona = UserFactory.create(), PersonaFactory.create(published=True, duration_limit=20 * MINUTE)
    first = talk(person, persona, StartRequest(), 2, clock)
    for left in (18, 9):
        again = talk(person, persona, StartRequest(continues=first.pk), 9, clock)
        assert lasts(again) == left * MINUTE
    with pytest.raises(errors.TimeIsUp):
        slots.open_session(person.pk, persona.slug, StartRequest(continues=first.pk))
    assert not slots.may_continue(first)
    assert lasts(slots.open_session(person.pk, persona.slug)) == 20 * MINUTE  # another conversation, with its own limit


@pytest.mark.django_db
def test_a_session_that_was_never_created_uses_no_time(clock: time_machine.Traveller) -> None:
    person, persona = UserFactory.create(), PersonaFactory.create(published=True, duration_limit=20 * MINUTE)
    first = talk(person, persona, StartRequest(), 2, clock)
    refused = slots.open_session(person.pk, persona.slug, StartRequest(continues=first.pk))
    clock.shift(MINUTE)
    transitions.begin_stop(refused, EndReason.PROVIDER_REFUSED, WHY)
    transitions.end(refused)
    assert lasts(slots.open_session(person.pk, persona.slug, StartRequest(continues=refused.pk))) == 18 * MINUTE


# Why the previous session ended


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("because", ["provider_ended", "no_picture", "duration_limit"])
async def test_a_pages_claim_on_a_healthy_session_is_evidence_of_a_user_stop(
    provider_of_many: Mock, because: str
) -> None:
    provider_of_many.list_sessions.return_value = [OpenSession("their-session-0", "connected", None)]
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        session_id = await tab.go_live()
        await tab.say("session.start", continues=session_id, because=because)
        await tab.hear("session.room")
    session = await StreamingSession.objects.aget(pk=session_id)
    evidence = session.end_evidence
    assert (session.end_reason, evidence["code"], evidence["claim"]) == ("user_stopped", "continued", because)
    if because == "provider_ended":
        assert (evidence["listed_as"], provider_of_many.list_sessions.await_count) == ("connected", 1)
    with translation.override("en"):
        description = await sync_to_async(end_evidence.describe)(evidence)
    assert "Reason according to the browser only" in description


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("listed", "reason"), [([], "provider_ended"), (ProviderUnreachable("ReadTimeout"), "user_stopped")]
)
async def test_the_providers_list_decides_whether_it_ended_a_session(
    provider_of_many: Mock, listed: Any, reason: str
) -> None:
    provider_of_many.list_sessions.side_effect = [listed]
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        session_id = await tab.go_live()
        await tab.say("session.start", continues=session_id, because="provider_ended")
        await tab.hear("session.room")
    session = await StreamingSession.objects.aget(pk=session_id)
    assert session.end_reason == reason
    assert ("unlisted_at" in session.end_evidence) == (reason == "user_stopped")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("code", ["network", "provider_not_live", "no such verdict", 7])
async def test_a_final_verdict_on_a_healthy_session_is_a_user_stop(code: Any) -> None:
    async with browser(await a_person(), (await a_persona()).slug) as tab:
        session_id = await tab.go_live()
        await tab.say("event.report", kind="verdict", data={"code": code, "is_final": True})
        await tab.hear("session.status", status="ended", reason="user_stopped")
    session = await StreamingSession.objects.aget(pk=session_id)
    known = code if code in ("network", "provider_not_live") else "-"
    assert (session.end_evidence["code"], session.end_evidence["verdict"]) == ("gave_up", known)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("because", "fields", "is_confirmed"),
    [
        ("no_picture", {"status": Status.CONNECTING, "opened_at": -9}, True),
        ("no_picture", {"status": Status.CONNECTING, "opened_at": -5}, False),
        ("no_picture", {"opened_at": -50}, False),  # a frame was rendered
        ("duration_limit", {"limit_by": LimitBy.PROVIDER, "ends_at": 14}, True),
        ("duration_limit", {"limit_by": LimitBy.PROVIDER, "ends_at": 100}, False),
        ("duration_limit", {"limit_by": LimitBy.PERSONA, "ends_at": 14}, False),
        ("user_stopped", {}, False),
        ("provider_ended", {}, False),
    ],
)
def test_only_facts_seen_by_the_portal_give_a_reason_other_than_a_user_stop(
    because: str, fields: dict[str, Any], is_confirmed: bool
) -> None:
    now = timezone.now()
    moments = {
        name: now + timedelta(seconds=value) if isinstance(value, int) else value for name, value in fields.items()
    }
    session = StreamingSessionFactory.create(**moments)
    cause = claims.end_cause(session, Claim(session.owner_id, EndReason(because)), now)
    assert (cause.reason, cause.is_confirmed) == (because if is_confirmed else "user_stopped", is_confirmed)


# Who is served first

FULL = {"avatar__account__concurrency_limit": 1}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("because", CLAIMS)
async def test_an_unconfirmed_renewal_joins_the_end_of_the_queue(provider_of_many: Mock, because: str) -> None:
    provider_of_many.list_sessions.return_value = [OpenSession("their-session-0", "connected", None)]
    user, other, persona = await a_person(), await a_person(), await a_persona(**FULL)
    async with browser(user, persona.slug) as talks, browser(other, persona.slug) as waits:
        session_id = await talks.go_live()
        await waits.say("session.start")
        await waits.hear("queue.place", place=1)
        await talks.say("session.start", continues=session_id, because=because)
        await waits.hear("session.room")
        await talks.hear("queue.place", place=1)
        await waits.say("session.stop")
        await talks.hear("session.room")
    sessions = [session async for session in StreamingSession.objects.order_by("created_at")]
    assert [session.user_id for session in sessions] == [user.pk, other.pk, user.pk]
    assert lasts(sessions[2]) < 20 * MINUTE


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("how", ["no_picture", "duration_limit", "provider_ended", "provider_ended before"])
async def test_a_renewal_with_a_confirmed_cause_is_served_first(provider_of_many: Mock, how: str) -> None:
    user, other, persona = await a_person(), await a_person(), await a_persona(**FULL)
    because = how.removesuffix(" before")
    async with browser(user, persona.slug) as talks, browser(other, persona.slug) as waits:
        session_id = await talks.enter()
        rows = StreamingSession.objects.filter(pk=session_id)
        if because == "no_picture":
            await rows.aupdate(opened_at=timezone.now() - timedelta(seconds=9))
        elif because == "duration_limit":
            await rows.aupdate(limit_by=LimitBy.PROVIDER, ends_at=timezone.now() + timedelta(seconds=15))
        await waits.say("session.start")
        await waits.hear("queue.place", place=1)
        if how == "provider_ended before":  # the slot already belongs to the next user
            await talks.say("event.report", kind="session_stopped", data={"reason": "over"})
            await talks.hear("session.status", status="ended")
            await waits.hear("session.room")
            async with browser(await a_person(), persona.slug) as later:
                await later.say("session.start")
                await later.hear("queue.place", place=1)
                await talks.say("session.start", continues=session_id, because=because)
                await talks.hear("queue.place", place=1)
        else:
            await talks.say("session.start", continues=session_id, because=because)
            await talks.hear_each(
                {"type": "session.status", "status": "connecting", "continues": session_id}, {"type": "session.room"}
            )
            assert await QueueEntry.objects.filter(user=other, offer_expires_at=None).aexists()
    assert (await rows.aget()).end_reason == because


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider_of_many")
async def test_a_renewal_refused_by_a_full_queue_leaves_the_session_unchanged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    user, other, persona = await a_person(), await a_person(), await a_persona(**FULL)
    async with browser(user, persona.slug) as talks, browser(other, persona.slug) as waits:
        session_id = await talks.go_live()
        await waits.say("session.start")
        await waits.hear("queue.place", place=1)
        monkeypatch.setattr("sessions.capacity.queue.QUEUE_MAX_ENTRIES", 1)
        await talks.say("session.start", continues=session_id, because="user_stopped")
        await talks.hear("error", code="queue_full")
        assert (await StreamingSession.objects.aget(pk=session_id)).status == Status.LIVE


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider_of_many")
@pytest.mark.parametrize("is_named", [True, False])
async def test_a_take_over_keeps_the_conversations_remaining_time(is_named: bool) -> None:
    user, persona = await a_person(), await a_persona(**FULL)
    async with browser(user, persona.slug) as desk, browser(user, persona.slug) as phone:
        session_id = await desk.go_live()
        rows = StreamingSession.objects.filter(pk=session_id)
        await rows.aupdate(created_at=timezone.now() - 15 * MINUTE)
        request = {"continues": session_id} if is_named else {}
        await phone.say("session.start", take_over=True, **request)
        await phone.hear("session.room")
    new = await StreamingSession.objects.order_by("created_at").alast()
    assert new
    assert lasts(new) < 5 * MINUTE + timedelta(seconds=1)
    assert new.continues_id == UUID(session_id)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider_of_many")
@pytest.mark.parametrize("is_named", [True, False])
async def test_repeated_take_overs_gain_no_time(is_named: bool) -> None:
    user, persona = await a_person(), await a_persona(**FULL)
    async with browser(user, persona.slug) as desk, browser(user, persona.slug) as phone:
        first = session_id = await desk.go_live()
        for tab in (phone, desk, phone, desk):
            rows = StreamingSession.objects.filter(pk=session_id)
            await rows.aupdate(created_at=timezone.now() - 4 * MINUTE)
            await tab.say("session.start", take_over=True, **({"continues": first} if is_named else {}))
            await tab.hear("session.room")
            session_id = str((await StreamingSession.objects.order_by("pk").filter(ended_at=None).aget()).pk)
        new = await StreamingSession.objects.aget(pk=session_id)
        assert lasts(new) < 4 * MINUTE + timedelta(seconds=1)
        await StreamingSession.objects.filter(pk=session_id).aupdate(created_at=timezone.now() - 4 * MINUTE)
        await phone.say("session.start", take_over=True)
        await phone.hear("error", code="time_is_up")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider_of_many")
@pytest.mark.parametrize("how", ["unnamed", "named", "another persona", "another persona after no picture"])
async def test_a_take_over_passes_no_queued_user(how: str) -> None:
    user, other, persona = await a_person(), await a_person(), await a_persona(**FULL)
    wanted = await a_persona(avatar=persona.avatar) if "another" in how else persona
    async with (
        browser(user, persona.slug) as desk,
        browser(other, persona.slug) as waits,
        browser(user, wanted.slug) as phone,
    ):
        session_id = await desk.enter()
        if how.endswith("no picture"):
            long_ago = timezone.now() - timedelta(seconds=9)
            await StreamingSession.objects.filter(pk=session_id).aupdate(opened_at=long_ago)
        else:
            await desk.show_picture()
        await waits.say("session.start")
        await waits.hear("queue.place", place=1)
        request = {"continues": session_id} if how == "named" else {}
        await phone.say("session.start", take_over=True, **request)
        await waits.hear("session.room")
        await phone.hear("queue.place", place=1)
        await waits.say("session.stop")
        await phone.hear("session.room")
    order = [session.user_id async for session in StreamingSession.objects.order_by("created_at")]
    assert order == [user.pk, other.pk, user.pk]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("provider_of_many")
async def test_a_take_over_of_a_conversation_without_video_keeps_its_slot() -> None:
    user, other, persona = await a_person(), await a_person(), await a_persona(**FULL)
    async with (
        browser(user, persona.slug) as desk,
        browser(other, persona.slug) as waits,
        browser(user, persona.slug) as phone,
    ):
        session_id = await desk.enter()
        long_ago = timezone.now() - timedelta(seconds=9)
        await StreamingSession.objects.filter(pk=session_id).aupdate(opened_at=long_ago)
        await waits.say("session.start")
        await waits.hear("queue.place", place=1)
        await phone.say("session.start", take_over=True)
        await phone.hear("session.room")
        assert await QueueEntry.objects.filter(user=other, offer_expires_at=None).aexists()
