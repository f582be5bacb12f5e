"""Event kinds: recorded by Python, reported by the page, and with a label."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from sessions.labels import event_labels, remedy_texts
from sessions.lifecycle import end_evidence, event_kinds
from sessions.lifecycle.end_evidence import EvidenceCode
from sessions.lifecycle.event_kinds import EventKind
from sessions.web import livekit_events, page_reports

SESSIONS = Path(event_kinds.__file__).parents[1]
SCRIPTS = SESSIONS / "static" / "sessions"
VERDICTS = {"playback_blocked"}  # also a verdict of the page about missing video


def test_every_event_kind_has_a_label() -> None:
    """A change of status is named by the new status."""
    assert set(event_labels.TITLES) == set(EventKind) - {EventKind.STATUS}


def test_every_kind_reported_from_outside_is_in_the_enum() -> None:
    assert {*page_reports.EFFECTS, *livekit_events.KINDS} <= set(EventKind)


def test_no_python_code_spells_an_event_kind_as_a_string() -> None:
    """Check only names with an underscore.

    "task" and "held" have other meanings, too.
    """
    names = {kind for kind in EventKind if "_" in kind} - VERDICTS
    retyped = [
        f"{path.relative_to(SESSIONS)}: {node.value}"
        for path in SESSIONS.rglob("*.py")
        if "migrations" not in path.parts and path != Path(event_kinds.__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in names
    ]
    assert retyped == []


def test_the_page_reports_exactly_the_kinds_that_the_portal_accepts() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPTS.rglob("*.js") if "vendor" not in path.parts)
    reported = set(re.findall(r'(?:conversation|this)\.report\(\s*"(\w+)"', code))
    assert reported == set(page_reports.EFFECTS)


def test_every_evidence_code_has_a_text_and_remedies_use_no_other_code() -> None:
    assert set(end_evidence.EVIDENCE_TEXTS) == set(EvidenceCode)
    assert set(remedy_texts.BY_EVIDENCE) <= set(EvidenceCode)
