"""The report of a run: which expectations were not met, and what differs from the run before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext as _

from avatars.models import PersonaTestRun
from sessions.persona_tests import checks, conversation, model_failures


class Change(StrEnum):
    """What differs from the run before."""

    NONE = ""
    NEW = "new"
    MENDED = "mended"
    BROKEN = "broken"


@dataclass(frozen=True)
class TestReport:
    """The result of one test."""

    name: str
    is_passed: bool
    change: Change
    turns: list[dict[str, Any]]

    @property
    def change_words(self) -> str:
        words = {Change.NEW: _("new"), Change.MENDED: _("passes again"), Change.BROKEN: _("passed in the run before")}
        return words.get(self.change, "")


def of(run: PersonaTestRun) -> list[TestReport]:
    """Return the result of each test, those that fail first."""
    earlier = _before(run)
    known = dict(_outcomes(earlier)) if earlier else {}
    reports = [
        TestReport(name, passed, _change(known, name, passed), [_turn_shown(turn) for turn in _turns(result)])
        for (name, passed), result in zip(_outcomes(run), _results(run), strict=True)
    ]
    return sorted(reports, key=lambda report: report.is_passed)


def _before(run: PersonaTestRun) -> PersonaTestRun | None:
    """Return the persona's finished run before this one."""
    ended = (PersonaTestRun.State.PASSED, PersonaTestRun.State.FAILED)
    rows = PersonaTestRun.objects.filter(version__persona=run.version.persona_id, state__in=ended)
    return rows.filter(asked_at__lt=run.asked_at).first()


def failed_count(run: PersonaTestRun) -> int:
    return sum(not passed for _name, passed in _outcomes(run))


def _outcomes(run: PersonaTestRun) -> Iterator[tuple[str, bool]]:
    for result in _results(run):
        turns = _turns(result)
        yield str(result["name"]), bool(turns) and not any(any(_list(turn, "problems")) for turn in turns)


def _results(run: PersonaTestRun) -> list[Mapping[str, Any]]:
    """Return the results without those that SQL has damaged."""
    return [result for result in run.results if isinstance(result, dict) and "name" in result]


def _turns(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [turn for turn in _list(result, "turns") if isinstance(turn, dict)]


def _list(row: Mapping[str, Any], name: str) -> list[Any]:
    found = row.get(name)
    return found if isinstance(found, list) else []


def _change(known: Mapping[str, bool], name: str, is_passed: bool) -> Change:
    if not known or known.get(name) == is_passed:
        return Change.NONE
    if name not in known:
        return Change.NEW
    return Change.MENDED if is_passed else Change.BROKEN


def _turn_shown(turn: Mapping[str, Any]) -> dict[str, Any]:
    problems = [str(each) for each in _list(turn, "problems")]
    expected = [(_expectation(each), problem) for each, problem in zip(_list(turn, "expect"), problems, strict=False)]
    codes = problems[len(expected) :]
    return {
        "say": turn.get("say", ""),
        "answer": turn.get("answer", ""),
        "cited": ", ".join(map(str, _list(turn, "cited"))),
        "expected": [(words, _problem(problem), not problem) for words, problem in expected],
        "codes": codes,
        "failures": [_failure(each) for each in codes if each],
    }


def _expectation(data: Any) -> str:
    """Return an expectation in the words in which it was written."""
    if not isinstance(data, dict):
        return "–"
    named = [f"{name}: {value}" for name, value in data.items() if name != "with"]
    given = data.get("with")
    arguments = ", ".join(f"{name}={value}" for name, value in given.items()) if isinstance(given, dict) else ""
    return " ".join(named) + (f" ({arguments})" if arguments else "")


def _problem(problem: str) -> str:
    """Return why an expectation is not met: in the judge's words, or in ours for a code."""
    judged, _colon, code = problem.partition(": ")
    if judged == conversation.JUDGE_FAILED:
        return _("The model could not judge it: %(code)s") % {"code": model_failures.text_of(code)}
    texts = {
        "": "",
        checks.NOT_MET: _("Not met."),
        checks.SLOW_PATTERN: _("The regular expression took too long."),
        checks.BAD_PATTERN: _("The regular expression is not valid."),
    }
    return texts.get(problem, problem)


def _failure(code: str) -> str:
    if code == checks.NOT_READABLE:
        return _("The stored tests are damaged. Save them again.")
    return _("The model failed: %(failure)s") % {"failure": model_failures.text_of(code)}
