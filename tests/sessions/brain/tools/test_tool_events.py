"""What the record keeps of a call."""

from __future__ import annotations

import pytest

from avatars.documents.search import Passage
from sessions.brain.tools import tool_events
from sessions.brain.tools.calls import Called
from sessions.models import Answer
from tests.support.factories import StreamingSessionFactory


@pytest.mark.django_db
def test_passages_that_a_call_found_are_named_without_their_text() -> None:
    """A document that was withdrawn stayed readable there."""
    session = StreamingSessionFactory.create()
    passage = Passage(3, "Rules", 2, "Pool", "", "The pool opens at nine.", 0.5, "f" * 64)
    called = Called("search_knowledge", '{"query": "pool"}', passage.text, passages=[passage])
    tool_events.record(Answer(pk=7, session=session), called)
    assert session.events.get(kind="tool_called").data["passages"] == [{"chunk": 3, "fingerprint": "f" * 64}]
    [[call]] = tool_events.calls_of(session, is_open=True).values()
    assert (call.arguments, call.content) == ('{"query": "pool"}', "")
