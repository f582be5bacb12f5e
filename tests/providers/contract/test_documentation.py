"""Comparison of the capability table in docs/providers.md with the code."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from heygen_portal.providers import KINDS
from heygen_portal.providers.contract.provider import Capabilities

DOC = Path(__file__).parents[3] / "docs/providers.md"


def written(value: Any) -> str:
    """Format a capability as the table does."""
    if isinstance(value, bool) or is_dataclass(value):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return f"{int(value.total_seconds())} s"
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value) or "none"
    return "no" if value in (None, "") else str(value)


def test_the_documented_capabilities_match_the_code() -> None:
    """Requirement 79."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in DOC.read_text().splitlines() if "|" in line]
    start = rows.index(["capability", *KINDS, "meaning"]) + 2
    table = {row[0]: row[1:-1] for row in rows[start : start + len(fields(Capabilities))]}
    assert table == {
        field.name: [written(getattr(kind.capabilities, field.name)) for kind in KINDS.values()]
        for field in fields(Capabilities)
    }
    assert not re.search(r"\| \? \|", DOC.read_text())
