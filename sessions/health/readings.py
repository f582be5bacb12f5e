"""What a check of the portal's work finds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    STARTING = "starting"
    FAILING = "failing"


class Cause(StrEnum):
    """Why a check fails."""

    LATE = "late"
    NEVER = "never"
    NO_ANSWER = "no answer"
    FAULTS = "faults"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Reading:
    """Age of what was last done, or of what waits longest, and the limit of that age.

    `account_id` is the account concerned, `faults` the number of problems found.
    """

    age: timedelta | None
    limit: timedelta
    cause: Cause | None = None
    is_starting: bool = False
    account_id: int | None = None
    faults: int = 0

    @property
    def state(self) -> State:
        if self.cause:
            return State.FAILING
        return State.STARTING if self.is_starting else State.OK
