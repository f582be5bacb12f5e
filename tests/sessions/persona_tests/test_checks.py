"""Each kind of expectation, met and not met."""

from __future__ import annotations

import pytest

from sessions.brain.answering import Outcome
from sessions.persona_tests.checks import BAD_PATTERN, NOT_MET, SLOW_PATTERN, Call, Heard, problem
from sessions.persona_tests.script import Expectation, Kind

HEARD = Heard(
    "A ticket costs\n12.50 euros.",
    Outcome.ANSWERED,
    cited=("Visits and tickets",),
    calls=(Call("leave_message", {"contact": "ana@example.com", "copies": 2}),),
)


async def never(rubric: str, heard: Heard) -> str:
    raise AssertionError(rubric)


@pytest.mark.parametrize(
    ("kind", "met", "not_met"),
    [
        (Kind.CONTAINS, "COSTS 12.50", "13 euros"),
        (Kind.LACKS, "free", "costs 12.50"),
        (Kind.MATCHES, r"\d+\.\d{2} euros", r"^\d"),
        (Kind.CITES, "visits", "Cafeteria"),
        (Kind.REFUSED, False, True),
    ],
)
async def test_an_expectation_is_met_or_not(kind: Kind, met: str | bool, not_met: str | bool) -> None:
    assert await problem(Expectation(kind, met), HEARD, never) == ""
    assert await problem(Expectation(kind, not_met), HEARD, never) == NOT_MET


async def test_a_call_needs_its_arguments() -> None:
    for given, expected in (({}, ""), ({"copies": 2}, ""), ({"copies": 3}, NOT_MET), ({"other": 2}, NOT_MET)):
        assert await problem(Expectation(Kind.CALLS, "leave_message", given), HEARD, never) == expected
    assert await problem(Expectation(Kind.CALLS, "end_conversation"), HEARD, never) == NOT_MET


async def test_withheld_words_count_as_refused() -> None:
    for outcome in (Outcome.REFUSED, Outcome.WITHHELD):
        assert await problem(Expectation(Kind.REFUSED, True), Heard("No.", outcome), never) == ""


async def test_an_endless_pattern_ends() -> None:
    heard = Heard("a" * 60 + "!", Outcome.ANSWERED)
    assert await problem(Expectation(Kind.MATCHES, "(a|aa)+$"), heard, never) == SLOW_PATTERN
    assert await problem(Expectation(Kind.MATCHES, "("), heard, never) == BAD_PATTERN


async def test_a_rubric_is_the_judges_matter() -> None:
    async def judge(rubric: str, heard: Heard) -> str:
        return f"{rubric}?"

    assert await problem(Expectation(Kind.JUDGED, "Polite"), HEARD, judge) == "Polite?"
