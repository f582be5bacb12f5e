"""A text that was damaged in the database, on every page and in every file."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone, translation

from sessions.actions import queries
from sessions.costs import provider_record
from sessions.exports import list_export, session_export
from sessions.lifecycle import broadcast
from sessions.models import Export, SessionTask, StreamingSession, Utterance
from sessions.personal_data import contents as personal_data
from tests.support.factories import StreamingSessionFactory, user_of

pytestmark = pytest.mark.django_db

UNREADABLE = "[This text could not be decrypted.]"


@pytest.fixture(
    params=[b"", b"short", bytes(40), "text in place of bytes"], ids=["stump", "short", "another's", "no bytes"]
)
def session(request: pytest.FixtureRequest) -> StreamingSession:
    """Return a session with a damaged and an intact text, and the same of lines."""
    session = StreamingSessionFactory.create()
    texts: list[Any] = []
    for text in ("Spoilt", "Whole"):
        about: Any = {"session": session, "text": text}
        texts += [
            SessionTask.objects.create(**about, kind="talk", ref=text, sent_by=session.user, status="sent"),
            Utterance.objects.create(**about, who="user", by="text", source="portal", at=timezone.now()),
        ]
    for row in texts[:2]:
        spoilt = request.param or bytes(row.sealed)[:-1]
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {row._meta.db_table} SET sealed = %s WHERE id = %s", [spoilt, row.pk])
    return session


@pytest.fixture(autouse=True)
def in_english(default_language: None) -> None:
    translation.activate("en")


def test_the_admin_page_marks_unreadable_texts(admin_client: Client, session: StreamingSession) -> None:
    page = admin_client.get(
        f"/admin/avatar_sessions/streamingsession/{session.pk}/change/", headers={"accept-language": "en"}
    )
    assert page.status_code == 200
    assert page.content.decode().count(UNREADABLE) == 2


def test_exports_mark_unreadable_texts_and_continue(admin_user: User, session: StreamingSession) -> None:
    by: Any = {"asked_by": admin_user, "reason": "asked"}
    listed = Export.objects.create(**by, what=Export.What.LINES, format="csv", state="sent")
    exported = b"".join(list_export.stream(listed)).decode()
    assert exported.index(UNREADABLE) < exported.index("Whole")
    record = Export.objects.create(**by, what=Export.What.RECORD, format="json", session=session)
    content = json.loads(b"".join(session_export.as_json(record, session)))
    for rows in (content["lines"], content["tasks"]):
        assert [row["text"] for row in rows] == [UNREADABLE, "Whole"]


def test_a_returning_tab_shows_unreadable_texts(session: StreamingSession) -> None:
    lines = Utterance.objects.filter(session=session).order_by("pk")
    assert [broadcast.UtteranceStored.of(line).text for line in lines] == [UNREADABLE, "Whole"]
    tasks = SessionTask.objects.filter(session=session).order_by("pk")
    assert [broadcast.TaskSent.of(task).text for task in tasks] == [UNREADABLE, "Whole"]


def test_unreadable_texts_stay_out_of_memory_and_comparisons(session: StreamingSession) -> None:
    _base, memory = queries.conversation_memory(session)
    assert "Whole" in memory
    assert UNREADABLE not in memory
    assert provider_record._confirmed(list(Utterance.objects.filter(session=session)), []) == {}


def test_a_persons_data_contains_the_lines_after_an_unreadable_one(session: StreamingSession) -> None:
    rows = Utterance.objects.filter(session=session).order_by("pk")
    assert [personal_data._text_row(row, user_of(session))["text"] for row in rows] == [None, "Whole"]
