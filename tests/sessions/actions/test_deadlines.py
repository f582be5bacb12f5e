from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from sessions import errors
from sessions.actions import deadlines
from sessions.capacity import slots
from sessions.lifecycle import broadcast, transitions
from sessions.models import EndReason, LimitBy, SessionTask, Status, StreamingSession
from tests.sessions.tampering import execute_as_owner
from tests.support.factories import WHY, PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db

TALK = SessionTask.Kind.TALK
SECOND = timedelta(seconds=1)


def live(**fields: object) -> StreamingSession:
    now = timezone.now()
    session: StreamingSession = StreamingSessionFactory.create(
        **{"status": Status.LIVE, "live_at": now, "active_at": now, "ends_at": now + timedelta(hours=1)} | fields
    )
    return session


@pytest.mark.parametrize(
    ("text", "refusal"), [("", errors.TextEmpty), (" \n\t", errors.TextEmpty), ("x" * 10_000, errors.TextTooLong)]
)
def test_an_empty_or_too_long_text_is_refused_and_not_stored(text: str, refusal: type[Exception]) -> None:
    session = live()
    with pytest.raises(refusal):
        deadlines.accept_task(session.pk, text=text, kind=TALK, user_id=session.user_id)
    assert not session.tasks.exists()


@pytest.mark.parametrize("character", ["x", "é", "e\u0301", "👨‍👩‍👧", "🇪🇸", "क्षि", "한", "天"])
def test_the_length_limit_counts_characters_as_people_do(character: str) -> None:
    """The page counts in the same way, see tests/js/lib/characters.test.js."""
    session = live()
    deadlines.accept_task(session.pk, text=character * 2_000, kind=TALK, user_id=session.user_id)
    with pytest.raises(errors.TextTooLong):
        deadlines.accept_task(session.pk, text=character * 2_001, kind=TALK, user_id=session.user_id)


def test_a_character_with_thousands_of_marks_is_too_long() -> None:
    session = live()
    with pytest.raises(errors.TextTooLong):
        deadlines.accept_task(session.pk, text="e" + "\u0301" * 10_000, kind=TALK, user_id=session.user_id)


def test_a_text_is_stored_exactly_as_it_was_typed() -> None:
    session = live()
    deadlines.accept_task(session.pk, text="  Hola ¿cómo estás?\n", kind=TALK, user_id=session.user_id)
    assert session.tasks.get().text == "  Hola ¿cómo estás?\n"


@pytest.mark.parametrize("status", [status for status in Status if status != Status.LIVE])
def test_only_a_live_session_accepts_texts(status: Status) -> None:
    session = StreamingSessionFactory.create(status=status)
    with pytest.raises(errors.NotLive):
        deadlines.accept_task(session.pk, text="hola", kind=TALK, user_id=session.user_id)


def test_an_unknown_session_accepts_no_texts() -> None:
    """Requirement 32."""
    with pytest.raises(errors.NotLive):
        deadlines.accept_task(uuid4(), text="hola", kind=TALK, user_id=UserFactory.create().pk)


def test_a_text_restarts_the_idle_timeout() -> None:
    session = live(active_at=timezone.now() - timedelta(minutes=2))
    before = session.active_at
    deadlines.accept_task(session.pk, text="hola", kind=TALK, user_id=session.user_id)
    session.refresh_from_db()
    assert session.active_at > before
    assert session.deadline_at is not None


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"ends_at": timezone.now() - SECOND}, EndReason.DURATION_LIMIT),
        ({"active_at": timezone.now() - timedelta(hours=1)}, EndReason.IDLE),
        ({"abandoned_at": timezone.now() - timedelta(minutes=1)}, EndReason.TAB_CLOSED),
        ({"status": Status.CREATING, "created_at": timezone.now() - timedelta(minutes=2)}, EndReason.ORPHAN_FOUND),
        ({"status": Status.CONNECTING, "created_at": timezone.now() - timedelta(minutes=2)}, EndReason.NO_PICTURE),
    ],
)
def test_a_due_session_is_stopped_with_its_reason(fields: dict[str, object], reason: str) -> None:
    session = live(**fields, deadline_at=timezone.now() - SECOND)
    (due,) = deadlines.claim_due(timezone.now())
    assert (due.pk, due.status, due.end_reason) == (session.pk, Status.STOPPING, reason)


def test_a_session_that_is_not_due_is_left_alone() -> None:
    live(deadline_at=timezone.now() + SECOND)
    StreamingSessionFactory.create(status=Status.ENDED)
    assert deadlines.claim_due(timezone.now()) == []


def test_a_quiet_user_is_warned_before_the_session_is_stopped(announced: list[dict[str, object]]) -> None:
    session = live(active_at=timezone.now() - timedelta(seconds=125), deadline_at=timezone.now())
    assert deadlines.claim_due(timezone.now()) == []
    assert [(event["type"], event["why"]) for event in announced] == [("session.ending", "idle")]
    session.refresh_from_db()
    assert session.deadline_at is not None
    assert session.deadline_at > timezone.now()


def test_a_session_checked_long_before_its_limits_is_neither_warned_nor_stopped(
    announced: list[dict[str, object]],
) -> None:
    session = live(deadline_at=timezone.now())
    assert deadlines.claim_due(timezone.now()) == []
    assert announced == []
    session.refresh_from_db()
    assert session.deadline_at is not None
    assert session.deadline_at > timezone.now()


def test_a_text_whose_outcome_arrives_meanwhile_does_not_fail() -> None:
    session = live()
    task, _ = deadlines.accept_task(session.pk, text="hola", kind=TALK, user_id=session.user_id)
    SessionTask.objects.filter(pk=task.pk).update(status=SessionTask.Status.SENT)
    deadlines.fail_task(task)
    assert session.tasks.get().status == SessionTask.Status.SENT
    assert not session.events.filter(kind="task").exists()


def test_a_session_whose_limits_cannot_be_read_is_due_and_leaves_other_deadlines_as_they_are() -> None:
    soon = timezone.now() + SECOND
    far = soon + timedelta(days=9)
    damaged, late, good = live(deadline_at=far), live(deadline_at=far), live(deadline_at=soon)
    execute_as_owner("UPDATE avatar_sessions_streamingsession SET ends_at = 'x' WHERE id = %s", damaged.pk.hex)
    before = deadline_of(good)
    assert set(deadlines.late_deadlines(timezone.now())) == {damaged.pk, late.pk}
    assert deadlines.repair_deadlines(timezone.now()) == 2
    assert max(deadline_of(late), deadline_of(damaged)) <= timezone.now()
    assert deadline_of(good) == before
    assert not good.events.exists()


def deadline_of(session: StreamingSession) -> datetime:
    at = StreamingSession.objects.values_list("deadline_at", flat=True).get(pk=session.pk)
    assert at is not None
    return at


def test_two_workers_never_claim_the_same_session() -> None:
    live(ends_at=timezone.now() - SECOND, deadline_at=timezone.now() - SECOND)
    assert len(deadlines.claim_due(timezone.now())) == 1
    assert deadlines.claim_due(timezone.now()) == []


def test_an_unconfirmed_stop_is_retried_with_increasing_delays() -> None:
    session = StreamingSessionFactory.create(status=Status.STOPPING)
    waits = []
    for _ in range(8):
        session.refresh_from_db()
        deadlines.schedule_stop_retry(session, jitter=1.0)
        session.refresh_from_db()
        assert session.deadline_at is not None
        waits.append(round((session.deadline_at - timezone.now()).total_seconds()))
    assert waits == sorted(waits)
    assert waits[-1] == deadlines.MAX_RETRY_DELAY.total_seconds()


@pytest.mark.parametrize("attempts", [47, 1_000, 30_000])
def test_a_stop_is_retried_however_often_it_failed(attempts: int) -> None:
    session = StreamingSessionFactory.create(status=Status.STOPPING, stop_attempts=attempts)
    deadlines.schedule_stop_retry(session, jitter=1.0)
    session.refresh_from_db()
    assert session.deadline_at is not None
    assert session.deadline_at <= timezone.now() + deadlines.MAX_RETRY_DELAY


@pytest.mark.parametrize(
    ("limit_by", "quiet_s", "own_minutes", "goes_on"),
    [
        (LimitBy.PROVIDER, 1, 20, True),
        (LimitBy.PERSONA, 1, 20, False),
        (LimitBy.PROVIDER, 540, 20, False),  # the user was not active in it
        (LimitBy.PROVIDER, 1, 10, False),  # hardly any time is left
    ],
)
def test_a_conversation_may_continue_if_only_the_providers_limit_is_near(
    announced: list[dict[str, object]], limit_by: LimitBy, quiet_s: int, own_minutes: int, goes_on: bool
) -> None:
    """Complaint 7: for a provider that ends each session after some minutes."""
    now = timezone.now()
    began, quiet_since = now - timedelta(minutes=9, seconds=30), now - timedelta(seconds=quiet_s)
    persona = PersonaFactory.create(
        published=True, duration_limit=timedelta(minutes=own_minutes), idle_timeout=timedelta(minutes=15)
    )
    settings = persona.snapshot() | {"duration_limit_s": own_minutes * 60}
    session = live(
        persona=persona, persona_settings=settings, created_at=began, live_at=now - timedelta(seconds=540),
        active_at=quiet_since, ends_at=began + timedelta(minutes=10), limit_by=limit_by, deadline_at=now,
    )  # fmt: skip
    # The page's clock counts to this time; it does not restart with the next session.
    talks_on = limit_by == LimitBy.PROVIDER and own_minutes == 20
    status = broadcast.StatusChanged.of(session)
    assert status.conversation_ends_at == (session.own_limit_at if talks_on else session.ends_at).isoformat()
    deadlines.claim_due(now)
    assert [(event["why"], event["goes_on"]) for event in announced] == [("duration_limit", goes_on)]


def test_a_session_continued_at_the_providers_limit_gets_the_rest_of_our_own_limit() -> None:
    now = timezone.now()
    persona = PersonaFactory.create(published=True, duration_limit=timedelta(minutes=20))
    began = now - timedelta(minutes=12)
    before = live(persona=persona, status=Status.ENDED, created_at=began, ended_at=now)
    request = slots.StartRequest(continues=before.pk, claimed_reason=EndReason.DURATION_LIMIT)
    after = slots.open_session(before.owner_id, persona.slug, request)
    assert abs(after.ends_at - before.own_limit_at) < SECOND
    assert abs(after.own_limit_at - before.own_limit_at) < 2 * SECOND
    transitions.begin_stop(after, EndReason.USER_STOPPED, WHY)
    transitions.end(after)
    StreamingSession.objects.filter(pk=before.pk).update(created_at=now - timedelta(minutes=20))
    with pytest.raises(errors.TimeIsUp):
        slots.open_session(before.owner_id, persona.slug, request)
