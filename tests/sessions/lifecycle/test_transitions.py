from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from heygen_portal.providers.contract.provider import ProviderSession
from sessions.lifecycle import transitions
from sessions.models import EndReason, Status, StreamingSession
from tests.support.factories import WHY, PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = pytest.mark.django_db


def answer(limit: timedelta | None = None) -> ProviderSession:
    return ProviderSession("their-session", room=None, duration_limit=limit)


def test_only_one_of_two_callers_stops_a_session() -> None:
    session = StreamingSessionFactory.create(status=Status.LIVE)
    same = StreamingSession.objects.get(pk=session.pk)
    assert transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    assert not transitions.begin_stop(same, EndReason.IDLE, WHY)
    assert same.end_reason == EndReason.USER_STOPPED
    assert [event.data["reason"] for event in session.events.all()] == ["user_stopped"]


@pytest.mark.parametrize("status", [s for s in Status if s not in (Status.STOPPING, Status.ENDED)])
def test_a_session_can_be_stopped_in_every_open_status(status: Status) -> None:
    session = StreamingSessionFactory.create(status=status)
    assert transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    assert transitions.end(session)
    assert session.ended_at is not None
    assert session.deadline_at is None


def test_no_transition_leaves_ended() -> None:
    session = StreamingSessionFactory.create(status=Status.ENDED)
    assert not transitions.begin_stop(session, EndReason.IDLE, WHY)
    assert not transitions.end(session)
    with pytest.raises(transitions.IllegalTransition):
        transitions.transition(session, Status.LIVE)


@given(st.sampled_from(Status), st.sampled_from(Status))
def test_only_transitions_in_the_table_are_allowed(one: Status, other: Status) -> None:
    session = StreamingSession(status=one)
    if other in transitions.TRANSITIONS[one]:
        return
    with pytest.raises(transitions.IllegalTransition):
        transitions.transition(session, other)


def test_the_table_leads_from_every_status_to_ended() -> None:
    for status in Status:
        reached, frontier = {status}, {status}
        while frontier:
            frontier = {to for one in frontier for to in map(Status, transitions.TRANSITIONS[one])} - reached
            reached |= frontier
        assert Status.ENDED in reached


def test_the_row_is_stored_before_the_provider_is_called() -> None:
    persona = PersonaFactory.create(published=True)
    session = transitions.request(persona, UserFactory.create().pk)
    assert session.status == Status.CREATING
    assert session.persona_settings["avatar_id"] == persona.avatar.provider_avatar_id
    assert [event.kind for event in session.events.all()] == ["requested", "status"]


def test_the_lower_of_our_limit_and_the_providers_applies() -> None:
    """Requirements 22 and 23."""
    for ours, theirs, binding in ((20, 10, 10), (5, 10, 5), (5, None, 5)):
        persona = PersonaFactory.create(published=True, duration_limit=timedelta(minutes=ours))
        session = transitions.request(persona, UserFactory.create().pk)
        limit = timedelta(minutes=theirs) if theirs else None
        assert transitions.connect(session, ProviderSession(f"s-{ours}-{theirs}", None, limit))
        session.refresh_from_db()
        assert session.provider_duration_limit == limit
        assert session.ends_at - session.created_at == timedelta(minutes=binding)


def test_an_answer_after_the_stop_is_stored_so_that_it_can_be_closed() -> None:
    session = transitions.request(PersonaFactory.create(published=True), UserFactory.create().pk)
    same = StreamingSession.objects.get(pk=session.pk)
    assert transitions.begin_stop(same, EndReason.USER_STOPPED, WHY)
    assert not transitions.connect(session, answer())
    same.refresh_from_db()
    assert (same.status, same.provider_session_id) == (Status.STOPPING, "their-session")


def test_a_live_session_is_due_for_warnings_limits_and_lost_tabs() -> None:
    now = timezone.now()
    session = StreamingSessionFactory.create(status=Status.LIVE, active_at=now, ends_at=now + timedelta(hours=1))
    session.persona_settings["idle_timeout_s"] = 180
    assert transitions.next_check_at(session, is_live=True) == now + timedelta(seconds=120)
    session.abandoned_at = now
    assert transitions.next_check_at(session, is_live=True) == now + transitions.TAB_GRACE


def test_a_person_has_one_running_session() -> None:
    user = UserFactory.create()
    StreamingSessionFactory.create(user=user, status=Status.LIVE)
    StreamingSessionFactory.create(user=user, status=Status.STOPPING)
    with pytest.raises(IntegrityError), transaction.atomic():
        StreamingSessionFactory.create(user=user, status=Status.CONNECTING)


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": Status.LIVE, "deadline_at": None},
        {"status": Status.ENDED, "end_reason": ""},
        {"status": Status.ENDED, "ended_at": None},
        {"status": Status.LIVE, "end_reason": EndReason.IDLE},
    ],
)
def test_the_database_rejects_an_impossible_row(wrong: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        StreamingSessionFactory.create(**wrong)


def test_each_status_change_is_recorded() -> None:
    session = transitions.request(PersonaFactory.create(published=True), UserFactory.create().pk)
    transitions.connect(session, answer())
    transitions.go_live(session)
    transitions.begin_stop(session, EndReason.IDLE, WHY)
    transitions.end(session)
    moves = [event.data for event in session.events.filter(kind="status")]
    assert [move["to"] for move in moves] == ["creating", "connecting", "live", "stopping", "ended"]
    assert all(one["to"] == other["from"] for one, other in pairwise(moves))


def test_many_sessions_cannot_leave_ended_either() -> None:
    sessions = [StreamingSessionFactory.create(status=status) for status in (Status.LIVE, Status.ENDED)]
    with pytest.raises(transitions.IllegalTransition):
        transitions.transition_all(sessions, Status.STOPPING)
    assert StreamingSession.objects.get(pk=sessions[0].pk).status == Status.LIVE


def test_only_stopping_sessions_are_marked_ended_together() -> None:
    live, stopping = (StreamingSessionFactory.create(status=status) for status in (Status.LIVE, Status.STOPPING))
    transitions.end_all([live.pk])
    transitions.end_all([live.pk, stopping.pk])
    assert [StreamingSession.objects.get(pk=each.pk).status for each in (live, stopping)] == ["live", "ended"]


def test_an_id_stored_before_a_failure_is_kept_and_a_session_that_stops_goes_on_stopping() -> None:
    session = StreamingSessionFactory.create(status=Status.STOPPING, provider_session_id="their-session")
    assert not transitions.store_after_failure(session, answer(), WHY)
    session.refresh_from_db()
    assert (session.status, session.provider_session_id) == (Status.STOPPING, "their-session")
    assert not session.events.exists()
