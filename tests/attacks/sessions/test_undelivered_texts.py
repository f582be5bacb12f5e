"""Undelivered texts are marked everywhere, and are part of no prompt."""

from __future__ import annotations

import json
from typing import Any

import pytest

from heygen_portal.providers.contract.provider import SessionRecord, Speaker, SpokenLine
from sessions.actions import deadlines, queries
from sessions.costs import provider_record
from sessions.exports import list_export, session_export
from sessions.lifecycle import broadcast, line_standing, transitions
from sessions.models import EndReason, Export, SessionTask, StreamingSession, Utterance
from sessions.personal_data import contents
from tests.attacks.sessions.test_reported_lines import remembered, shown
from tests.support.factories import WHY, StreamingSessionFactory, user_of

REFUSED, ACCEPTED = "The bank promised me 10,000 euros.", "What are your opening hours?"
MARK = "Delivery to the avatar not confirmed"

pytestmark = pytest.mark.django_db(transaction=True)


def typed(session: StreamingSession, text: str, status: str) -> None:
    task, _ = deadlines.accept_task(session.pk, text=text, kind=SessionTask.Kind.TALK, user_id=session.user_id)
    if status == "failed":
        deadlines.fail_task(task)
    else:
        SessionTask.objects.filter(pk=task.pk).update(status=status)


@pytest.fixture(params=["failed", "sending"])
def over(request: pytest.FixtureRequest) -> StreamingSession:
    """A session in which the provider accepted one text and not the other."""
    session: StreamingSession = StreamingSessionFactory.create(user__username="ana")
    typed(session, REFUSED, request.param)
    typed(session, ACCEPTED, "sent")
    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)
    return session


@pytest.mark.parametrize("where", ["page", "text", "captions", "printed", "audit"])
def test_an_undelivered_text_is_marked_everywhere(over: StreamingSession, where: str) -> None:
    assert shown(over, where).count(MARK) == 1


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_an_export_names_undelivered_texts(over: StreamingSession, format: str) -> None:
    export = list_export.request_export(user_of(over).pk, None, Export.What.LINES, format, reason="A check")
    exported = b"".join(list_export.stream(export)).decode()
    (refused,) = [line for line in exported.splitlines() if REFUSED in line]
    (accepted,) = [line for line in exported.splitlines() if ACCEPTED in line]
    assert "not_delivered" in refused
    assert "sent" in accepted
    assert "not_delivered" not in accepted


def standings(lines: list[dict[str, Any]]) -> dict[str, str]:
    return {line["text"]: line["standing"] for line in lines}


def test_the_record_and_the_users_own_data_mark_undelivered_texts(over: StreamingSession) -> None:
    expected = {REFUSED: "not_delivered", ACCEPTED: "sent"}
    export = list_export.request_export(
        user_of(over).pk, None, Export.What.RECORD, "json", reason="A check", session=over
    )
    assert standings(json.loads(b"".join(session_export.as_json(export, over)))["lines"]) == expected
    (mine,) = json.loads(b"".join(contents.as_json(user_of(over))))["sessions"]
    assert standings(mine["lines"]) == expected


def test_a_page_that_rejoins_is_informed_of_undelivered_texts(over: StreamingSession) -> None:
    shown = {
        line.text: broadcast.UtteranceStored.of(line).is_delivered
        for line in queries.lines_for_page(queries.newest_line_ids(over.pk))
    }
    assert shown == {REFUSED: False, ACCEPTED: True}


def test_an_undelivered_text_is_not_in_the_next_prompt(over: StreamingSession) -> None:
    memory = remembered(over)
    assert ACCEPTED in memory
    assert REFUSED not in memory


def test_an_undelivered_text_suppresses_no_line_of_the_provider(over: StreamingSession) -> None:
    provider_record.store(over, SessionRecord(lines=(SpokenLine(Speaker.USER, REFUSED, over.created_at),)))
    lines = line_standing.set_standing(list(Utterance.objects.filter(session=over, source="provider")))
    assert [(line.text, line.standing) for line in lines] == [(REFUSED, "provider")]
