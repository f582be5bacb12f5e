"""A session that is taken away whole, by whoever owns the database."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from heygen_portal.trail import db_triggers
from sessions.integrity import nightly_check, verification
from sessions.models import Conversation, SessionEvent, SessionHead, SessionSeal, StreamingSession
from tests.sessions.tampering import ended, running


@pytest.fixture(autouse=True, params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


def take_away(session_id: UUID) -> None:
    with db_triggers.disabled(connection):
        for model in (SessionSeal, SessionHead, SessionEvent):
            model.objects.filter(session=session_id).delete()
        StreamingSession.objects.filter(pk=session_id).delete()
        Conversation.objects.filter(pk=session_id).delete()


def how() -> list[str]:
    return [fault["how"] for fault in nightly_check.look(timezone.now()).faults]


@pytest.mark.parametrize("make", [ended, running])
def test_fewer_sessions_than_before_are_reported_however_many_are_new(make: object) -> None:
    one = ended() if make is ended else running()
    ended()
    assert how() == []
    take_away(one.pk)
    assert list(verification.faults()) == []  # nothing that is left tells of it
    StreamingSession.objects.update(created_at=timezone.now() - timedelta(days=1))
    later = timezone.now() + timedelta(days=1)
    for _ in range(2):
        StreamingSession.objects.filter(pk=ended().pk).update(created_at=later)
    assert how()[-1:] == ["sessions_lost"]
    assert how()[-1:] == ["sessions_lost"]  # until it is back


def test_more_sessions_are_no_fault() -> None:
    for _ in range(3):
        ended()
        assert how() == []
