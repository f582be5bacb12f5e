"""Memory limits of a verification, and counts of what it covered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from heygen_portal.runtime.stored_json import DamagedObject
from heygen_portal.trail.statements import Table

# Rows fetched from the database at once.
BATCH_ROWS = 5_000
# Rows whose statements are held in memory; more rows need several passes.
STATED_ROWS_IN_MEMORY = 20_000
# Faults reported per session, or per table outside sessions.
MAX_FAULTS = 20


def is_in_share(table: str, key: str, share: int, shares: int) -> bool:
    """Whether a row belongs to this one of so many shares.

    Crafted keys cannot crowd one share, because Python salts the hash of text in each process.
    """
    return hash((table, key)) % shares == share


@dataclass(frozen=True)
class MemoryLimits:
    """Rows held in memory at once. Smaller limits need less memory and more time."""

    batch_rows: int = BATCH_ROWS
    stated_rows: int = STATED_ROWS_IN_MEMORY


DEFAULT_LIMITS = MemoryLimits()


@dataclass
class CheckCounts:
    """Counts of the rows that a verification read, and of columns not covered."""

    sessions: int = 0
    events: int = 0
    entries: int = 0
    # Rows read, by table.
    rows: Counter[str] = field(default_factory=Counter)
    # Sessions whose record states only part of what auditors are shown.
    older: int = 0
    # By column: when an upgrade last stated an older row, in ISO 8601. Values are covered from then on.
    upgraded: dict[str, str] = field(default_factory=dict)
    # By column: rows that no event states.
    unstated: Counter[str] = field(default_factory=Counter)

    @property
    def all_rows(self) -> int:
        return self.rows.total()

    def note(self, table: Table, stated: Mapping[str, Any], skipped: Collection[str] = ()) -> None:
        """Count which columns of a row are stated, and since when.

        Columns in `skipped` need no statement.
        """
        since = stated.get("")
        for name in table.fields:
            if name not in stated:
                if name not in skipped:
                    self.unstated[f"{table.name}.{name}"] += 1
            elif isinstance(since, str) and since > self.upgraded.get(f"{table.name}.{name}", ""):
                self.upgraded[f"{table.name}.{name}"] = since

    def covered(self) -> dict[str, Any]:
        """Return the coverage as `HistoryCheck` stores it. `Coverage` reads it."""
        return {
            "rows": dict(self.rows),
            "older_sessions": self.older,
            "since": dict(sorted(self.upgraded.items())),
            "unstated": dict(sorted(self.unstated.items())),
        }


@dataclass(frozen=True)
class Coverage:
    """What a check covered, from `HistoryCheck.covered`. Checks of earlier versions say nothing about it."""

    rows: Mapping[str, int]
    older_sessions: int
    since: Mapping[str, str]
    unstated: Mapping[str, int]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self | None:
        """Read the form of `CheckCounts.covered`. Return None if it was changed in the database."""
        rows, since, unstated = (stored.get(name, {}) for name in ("rows", "since", "unstated"))
        older = stored.get("older_sessions", 0)
        is_readable = (
            _maps_to(int, rows) and _maps_to(int, unstated) and _maps_to(str, since) and isinstance(older, int)
        )
        return cls(rows, older, since, unstated) if is_readable and not isinstance(stored, DamagedObject) else None


def _maps_to(kind: type, value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, kind) for each in value.values())
