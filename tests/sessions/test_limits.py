from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from sessions import errors, lifecycle, limits, places
from sessions.models import EndReason, SessionTask, Status, StreamingSession
from tests.factories import WHY, PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db

TALK = SessionTask.Kind.TALK
SECOND = timedelta(seconds=1)


def live(**fields: object) -> StreamingSession:
    now = timezone.now()
    session: StreamingSession = StreamingSessionFactory.create(
        **{"status": Status.LIVE, "live_at": now, "active_at": now, "ends_at": now + timedelta(hours=1)} | fields
    )
    return session


def test_a_draft_is_nobody_s_to_talk_with() -> None:
    with pytest.raises(errors.NotFound):
        places.open_session(UserFactory.create().pk, PersonaFactory.create().slug)


def test_an_unknown_persona_is_not_found() -> None:
    with pytest.raises(errors.NotFound):
        places.open_session(UserFactory.create().pk, "nobody")


def test_a_person_who_talks_already_is_told_so() -> None:
    session = live()
    persona = PersonaFactory.create(published=True)
    with pytest.raises(errors.SessionRunning):
        places.open_session(session.user_id, persona.slug)


def test_an_account_gives_no_more_places_than_its_plan_has() -> None:
    persona = PersonaFactory.create(published=True, avatar__account__concurrency_limit=2)
    first = places.open_session(UserFactory.create().pk, persona.slug)
    places.open_session(UserFactory.create().pk, persona.slug)
    with pytest.raises(errors.ProviderLimit):
        places.open_session(UserFactory.create().pk, persona.slug)
    lifecycle.begin_stop(first, EndReason.USER_STOPPED, WHY)
    with pytest.raises(errors.ProviderLimit):  # the provider has not confirmed: the place is still taken there
        places.open_session(UserFactory.create().pk, persona.slug)
    lifecycle.end(first)
    assert places.open_session(UserFactory.create().pk, persona.slug)


@pytest.mark.parametrize(
    ("text", "refusal"), [("", errors.TextEmpty), (" \n\t", errors.TextEmpty), ("x" * 10_000, errors.TextTooLong)]
)
def test_a_text_that_cannot_be_said_is_refused_and_not_stored(text: str, refusal: type[Exception]) -> None:
    session = live()
    with pytest.raises(refusal):
        limits.accept_task(session.pk, text=text, kind=TALK, user_id=session.user_id)
    assert not session.tasks.exists()


def test_a_text_is_stored_exactly_as_it_was_typed() -> None:
    session = live()
    limits.accept_task(session.pk, text="  Hola ¿cómo estás?\n", kind=TALK, user_id=session.user_id)
    assert session.tasks.get().text == "  Hola ¿cómo estás?\n"


@pytest.mark.parametrize("status", [status for status in Status if status != Status.LIVE])
def test_only_a_live_session_takes_texts(status: Status) -> None:
    session = StreamingSessionFactory.create(status=status)
    with pytest.raises(errors.NotLive):
        limits.accept_task(session.pk, text="hola", kind=TALK, user_id=session.user_id)


def test_a_session_that_does_not_exist_takes_no_texts() -> None:
    """Demand 32."""
    with pytest.raises(errors.NotLive):
        limits.accept_task(uuid4(), text="hola", kind=TALK, user_id=UserFactory.create().pk)


def test_a_text_starts_the_idle_clock_anew() -> None:
    session = live(active_at=timezone.now() - timedelta(minutes=2))
    before = session.active_at
    limits.accept_task(session.pk, text="hola", kind=TALK, user_id=session.user_id)
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
def test_what_is_due_is_stopped_with_its_reason(fields: dict[str, object], reason: str) -> None:
    session = live(**fields, deadline_at=timezone.now() - SECOND)
    (due,) = limits.take_due(timezone.now())
    assert (due.pk, due.status, due.end_reason) == (session.pk, Status.STOPPING, reason)


def test_what_is_not_due_is_left_alone() -> None:
    live(deadline_at=timezone.now() + SECOND)
    StreamingSessionFactory.create(status=Status.ENDED)
    assert limits.take_due(timezone.now()) == []


def test_a_person_who_is_quiet_is_warned_and_not_yet_cut_off(announced: list[dict[str, object]]) -> None:
    session = live(active_at=timezone.now() - timedelta(seconds=125), deadline_at=timezone.now())
    assert limits.take_due(timezone.now()) == []
    assert [(event["type"], event["why"]) for event in announced] == [("session.ending", "idle")]
    session.refresh_from_db()
    assert session.deadline_at is not None
    assert session.deadline_at > timezone.now()


def test_two_workers_never_take_the_same_session() -> None:
    live(ends_at=timezone.now() - SECOND, deadline_at=timezone.now() - SECOND)
    assert len(limits.take_due(timezone.now())) == 1
    assert limits.take_due(timezone.now()) == []


def test_a_stop_that_was_not_confirmed_is_tried_again_a_little_later_each_time() -> None:
    session = StreamingSessionFactory.create(status=Status.STOPPING)
    waits = []
    for _ in range(8):
        session.refresh_from_db()
        limits.retry_stop(session, jitter=1.0)
        session.refresh_from_db()
        assert session.deadline_at is not None
        waits.append(round((session.deadline_at - timezone.now()).total_seconds()))
    assert waits == sorted(waits)
    assert waits[-1] == limits.LONGEST_RETRY.total_seconds()
