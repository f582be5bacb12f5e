"""How much of the record a verification holds in memory at once, and what it covered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sessions.lifecycle.coverage import Table

BATCH_ROWS = 5_000
"""Rows that the database hands over at once."""
STATED_ROWS_IN_MEMORY = 20_000
"""Rows whose statements are in memory at once; more are looked through in several passes."""
MAX_FAULTS = 20
"""Of one session, or of one table outside of sessions, that are named."""


def is_in_share(table: str, key: str, share: int, shares: int) -> bool:
    """Whether a pass over one of so many shares keeps a row.

    The shares are of about the same size whatever the keys: Python's hash of text is another in each process.
    """
    return hash((table, key)) % shares == share


@dataclass(frozen=True)
class MemoryLimits:
    """What is in memory at once: smaller numbers need less memory and more time."""

    batch_rows: int = BATCH_ROWS
    stated_rows: int = STATED_ROWS_IN_MEMORY


DEFAULT_LIMITS = MemoryLimits()


@dataclass
class CheckCounts:
    """How far a look has come, and what it covered."""

    sessions: int = 0
    events: int = 0
    entries: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    """Rows read, by table."""
    older: int = 0
    """Sessions of which not all that is shown is stated."""
    upgraded: dict[str, str] = field(default_factory=dict)
    """By column, when the last row from before was stated: from then on its value is covered."""
    unstated: Counter[str] = field(default_factory=Counter)
    """By column, the rows that no event states."""

    @property
    def all_rows(self) -> int:
        return self.rows.total()

    def note(self, table: Table, stated: Mapping[str, Any], skipped: Collection[str] = ()) -> None:
        """Count which columns of a row are stated, and since when. What is `skipped` need not be."""
        since = stated.get("")
        for name in table.fields:
            if name not in stated:
                if name not in skipped:
                    self.unstated[f"{table.name}.{name}"] += 1
            elif since and since > self.upgraded.get(f"{table.name}.{name}", ""):
                self.upgraded[f"{table.name}.{name}"] = since

    def covered(self) -> dict[str, Any]:
        """Return what the look covered, as `HistoryCheck` stores it."""
        return {
            "rows": dict(self.rows),
            "older_sessions": self.older,
            "since": dict(sorted(self.upgraded.items())),
            "unstated": dict(sorted(self.unstated.items())),
        }
