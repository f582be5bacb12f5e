"""The prompt is bounded, and its version tells which rules were in force."""

from __future__ import annotations

from datetime import date

from avatars.documents.search import Passage
from heygen_portal.providers.openai.messages import Message
from sessions.brain import prompt
from sessions.brain.guardrails import Topic


def test_the_newest_lines_are_kept_within_the_bound() -> None:
    said = [Message("user", f"{number}" + "x" * 999) for number in range(9)]
    kept = prompt.messages(prompt.Persona("", "en"), "?", said, [], date(2026, 11, 30))[1:-1]
    assert kept == said[-6:]
    assert prompt.newest([Message("user", "hi")] * 50) == [Message("user", "hi")] * 20


def test_the_version_changes_with_instructions_and_topics_but_not_with_the_day() -> None:
    persona = prompt.Persona("Be kind.", "en")
    assert prompt.version(persona) == prompt.version(prompt.Persona("Be kind.", "en"))
    others = prompt.Persona("Be brief.", "en"), prompt.Persona("Be kind.", "en", [Topic("Politics", ("vote",))], "No.")
    assert len({prompt.version(each) for each in (persona, *others)}) == 3


def test_a_passage_is_titled_by_its_headings() -> None:
    passage = Passage(1, "Returns", None, "Returns › How long you have", "how", "Thirty days & no more.", 0.5, "abc")
    system = prompt.messages(prompt.Persona("", "en", has_documents=True), "?", [], [passage], date(2026, 11, 30))[0]
    assert '<passage number="1" title="Returns › How long you have">' in system.content
    assert "Thirty days &amp; no more." in system.content
