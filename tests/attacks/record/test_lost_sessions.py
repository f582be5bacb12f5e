"""A session that the owner of the database deletes with all its rows."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from heygen_portal.trail import db_triggers
from sessions.integrity import nightly_check, verification
from sessions.models import Conversation, SessionEvent, SessionHead, SessionSeal, StreamingSession
from tests.sessions.tampering import ended_session, running_session
from tests.support.databases import BOTH


@pytest.fixture(autouse=True, params=BOTH)
def database(request: pytest.FixtureRequest, transactional_db: None) -> None:
    if request.param == "postgres":
        request.getfixturevalue("postgres")


def delete_session(session_id: UUID) -> None:
    with db_triggers.disabled(connection):
        for model in (SessionSeal, SessionHead, SessionEvent):
            model.objects.filter(session=session_id).delete()
        StreamingSession.objects.filter(pk=session_id).delete()
        Conversation.objects.filter(pk=session_id).delete()


def fault_kinds() -> list[str]:
    return [fault["how"] for fault in nightly_check.check_record(timezone.now()).faults]


@pytest.mark.parametrize("make", [ended_session, running_session])
def test_missing_sessions_are_reported_despite_new_ones(make: object) -> None:
    one = ended_session() if make is ended_session else running_session()
    ended_session()
    assert fault_kinds() == []
    delete_session(one.pk)
    assert list(verification.faults()) == []  # no trace is left
    StreamingSession.objects.update(created_at=timezone.now() - timedelta(days=1))
    later = timezone.now() + timedelta(days=1)
    for _ in range(2):
        StreamingSession.objects.filter(pk=ended_session().pk).update(created_at=later)
    assert fault_kinds()[-1:] == ["sessions_lost"]
    assert fault_kinds()[-1:] == ["sessions_lost"]  # as long as it is missing


def test_new_sessions_are_no_fault() -> None:
    for _ in range(3):
        ended_session()
        assert fault_kinds() == []
