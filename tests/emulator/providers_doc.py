"""Tables of docs/providers.md as data for tests."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOC = Path(__file__).parents[2] / "docs" / "providers.md"


@dataclass(frozen=True)
class Case:
    state: str
    credential: str
    call: str
    body: str
    answer: str
    asked_of: str

    def __str__(self) -> str:
        return f"{self.state}, {self.credential}: {self.call} {self.body[:60]}"

    @property
    def status(self) -> int:
        return int(self.answer.split()[0])

    @property
    def code(self) -> int | None:
        """Code of the refusal, None for a success."""
        return int(self.answer.split()[1]) if self.status >= 400 else None

    @property
    def shape(self) -> str:
        """Shape of a LiveAvatar refusal."""
        return self.answer.split()[1]

    @property
    def fields(self) -> list[str]:
        return [] if self.status >= 400 else self.answer.split()[1:]

    def content(self, session_id: str) -> bytes:
        if not self.body:
            return b""
        return json.dumps(json.loads(self.body.replace("$session", session_id))).encode()


def tables() -> list[list[dict[str, str]]]:
    """Return all tables, each row as a dictionary by heading."""
    found: list[list[dict[str, str]]] = []
    for block in re.findall(r"(?:^\|.*\n)+", DOC.read_text(encoding="utf-8"), re.MULTILINE):
        heading, _, *rows = [
            [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")] for line in block.splitlines()
        ]
        found.append([dict(zip(heading, row, strict=True)) for row in rows])
    return found


def table(heading: str) -> list[dict[str, str]]:
    """Return the table whose first heading is `heading`."""
    (only,) = [rows for rows in tables() if next(iter(rows[0])) == heading]
    return only


def cases() -> list[Case]:
    """Return the cases of HeyGen's wire."""
    rows = [row for rows in tables() if "asked of" in rows[0] and "state" in rows[0] for row in rows]
    return [Case(**{name.replace(" ", "_"): value for name, value in row.items()}) for row in rows]


def live_cases() -> list[Case]:
    """Return the cases of LiveAvatar's wire."""
    rows = [row for rows in tables() if "asked of" in rows[0] and "session" in rows[0] for row in rows]
    return [Case(row["session"], *list(row.values())[1:]) for row in rows]


def look(answer: Any, path: str) -> Any:
    """Return the value at a path such as `data.list.0.id`.

    Raises KeyError or IndexError if it is missing.
    """
    for step in path.split("."):
        answer = answer[int(step)] if step.isdigit() else answer[step]
    return answer
