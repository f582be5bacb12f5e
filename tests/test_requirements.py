"""Tests cite requirements and complaints by the numbers of docs/requirements.md."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

TESTS = Path(settings.BASE_DIR) / "tests"
PAGE = Path(settings.BASE_DIR) / "docs" / "requirements.md"
CITATION = re.compile(r"\b(requirement|complaint)s? (\d\d?\b(?:(?:, | and |, and |-|–| to )\d\d?\b)*)", re.IGNORECASE)


def numbers(text: str) -> set[int]:
    """Expand "3, 5-7 and 9" to its numbers."""
    found: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:(?:-|–| to )(\d+))?", text):
        found.update(range(int(first), int(last or first) + 1))
    return found


def cited(kind: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for path in (*TESTS.rglob("*.py"), *TESTS.rglob("*.js")):
        for named, what in CITATION.findall(path.read_text()):
            if named.lower() == kind:
                found.update(dict.fromkeys(numbers(what), path.name))
    return found


def listed(part: str) -> set[int]:
    return {number for row in re.findall(r"(?m)^\| (\d+(?:–\d+)?) \|", part) for number in numbers(row)}


def test_every_citation_is_listed_and_every_requirement_is_cited() -> None:
    requirements, complaints = PAGE.read_text().split("\n## Complaints")
    assert listed(requirements) == set(range(1, 81))
    unknown = {number: name for number, name in cited("requirement").items() if number not in listed(requirements)}
    unknown |= {number: name for number, name in cited("complaint").items() if number not in listed(complaints)}
    assert unknown == {}
    assert set(range(1, 81)) - set(cited("requirement")) == set()
