from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from threading import Barrier, Thread
from unittest.mock import Mock

import pytest
from django.db import connection

from heygen_portal.trail import db_triggers
from sessions import errors
from sessions.lifecycle import broadcast, event_sql, events
from sessions.lifecycle.events import Entry
from sessions.models import SessionEvent, Status
from sessions.web import page_reports
from sessions.web.session_consumer import SessionConsumer
from tests.support.factories import StreamingSessionFactory
from tests.timeouts import WAIT_TIMEOUT_S

PROTOCOL = Path(__file__).parents[3] / "docs" / "websocket-protocol.md"


@pytest.mark.django_db
def test_each_event_is_chained_to_its_predecessor() -> None:
    session = StreamingSessionFactory.create()
    for number in range(3):
        events.record(session.pk, Entry("thing", {"n": number, "word": "¿qué?"}))
    first, second, third = session.events.order_by("number")
    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert (first.previous_hash, second.previous_hash, third.previous_hash) == ("", first.hash, second.hash)
    assert all(events.digest(event) == event.hash for event in (first, second, third))


@pytest.mark.django_db
def test_a_changed_row_no_longer_matches_its_hash() -> None:
    session = StreamingSessionFactory.create()
    events.record(session.pk, Entry("thing", {"n": 1}))
    with db_triggers.disabled(connection):
        SessionEvent.objects.update(data={"n": 2})
    event = session.events.get()
    assert events.digest(event) != event.hash


@pytest.mark.django_db(transaction=True)
def test_events_recorded_at_the_same_time_are_numbered_in_sequence() -> None:
    session = StreamingSessionFactory.create()
    together = Barrier(4)

    def append() -> None:
        together.wait(timeout=WAIT_TIMEOUT_S)
        for _ in range(5):
            events.record(session.pk, Entry("thing"))
        connection.close()

    threads = [Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=WAIT_TIMEOUT_S)
    rows = list(session.events.order_by("number"))
    assert [row.number for row in rows] == list(range(1, 21))
    assert all(row.previous_hash == before.hash for before, row in pairwise(rows))


def documented(title: str) -> set[str]:
    """Return the names in the first column of the table after a line."""
    section = PROTOCOL.read_text(encoding="utf-8").split(title, 1)[1]
    table = re.search(r"^\|.*?(?=\n\n|\Z)", section, re.DOTALL | re.MULTILINE)
    assert table
    cells = [line.split("|")[1] for line in table.group().splitlines()[2:]]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_protocol_page_names_every_message_and_error_code() -> None:
    assert documented("## Up") == set(SessionConsumer.HANDLERS)
    assert documented("What a page may report") == set(page_reports.EFFECTS)
    sent = {event.type for event in broadcast.Event.__subclasses__()}
    to_one_tab = {"session.room", "room.publish", "queue.place", "queue.left", "person.asked", "message.left", "error"}
    assert documented("## Down") == sent | to_one_tab
    codes = {error.code for error in vars(errors).values() if "code" in getattr(error, "__dict__", {})}
    assert documented("## Error codes") == codes


def test_events_for_browsers_are_plain_json() -> None:
    event = broadcast.Ending(why="idle", at="2026-01-01T00:00:00+00:00", seconds=60, goes_on=False)
    assert json.loads(json.dumps(event.envelope()))["event"]["type"] == "session.ending"


@pytest.fixture(params=["sqlite", "postgres"])
def either(request: pytest.FixtureRequest) -> None:
    """Run a test on both databases."""
    request.getfixturevalue("postgres" if request.param == "postgres" else "transactional_db")


@pytest.mark.usefixtures("either")
def test_an_event_whose_number_was_taken_meanwhile_takes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    session = StreamingSessionFactory.create()
    events.record(session.pk, Entry("first"))
    stale = event_sql.record_end(session.pk)
    events.record(session.pk, Entry("second"))
    monkeypatch.setattr(event_sql, "record_end", Mock(side_effect=[stale, event_sql.record_end(session.pk)]))
    monkeypatch.setitem(events._last_appended, session.pk, stale[:2])  # another process appended the second
    events.record(session.pk, Entry("third"))
    rows = list(session.events.order_by("number"))
    assert [row.kind for row in rows] == ["first", "second", "third"]
    assert all(row.previous_hash == before.hash for before, row in pairwise(rows))
    assert all(events.digest(row) == row.hash for row in rows)


@pytest.mark.usefixtures("either")
def test_the_single_statement_append_is_refused_after_the_end() -> None:
    session = StreamingSessionFactory.create(status=Status.ENDED)
    row = SessionEvent(session=session, number=1, source="portal", kind="late", previous_hash="", hash="")
    assert not event_sql.insert_next(row, "")
    assert not session.events.exists()


@pytest.mark.django_db
def test_few_last_events_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_GUESSES", 2)
    sessions = [StreamingSessionFactory.create() for _ in range(4)]
    for session in sessions:
        events.record(session.pk, Entry("first"))  # takes the lock
    for _ in range(2):
        for session in sessions:
            events.record(session.pk, Entry("next"))
            assert len(events._last_appended) <= 2
    assert [session.events.count() for session in sessions] == [3, 3, 3, 3]
