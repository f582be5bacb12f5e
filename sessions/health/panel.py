"""The state of the work as a panel on the admin's start page."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import AnonymousUser, User

from sessions.health import texts, work
from sessions.health.readings import Reading, State
from sessions.models import Check

logger = logging.getLogger(__name__)

AnyUser = User | AnonymousUser
ICONS = {State.OK: "check_circle", State.STARTING: "hourglass_top", State.FAILING: "cancel"}


@dataclass(frozen=True)
class Part:
    """One check as a cell of the panel."""

    name: str
    state: State
    status: str
    limit: str

    @property
    def icon(self) -> str:
        return ICONS[self.state]


@dataclass(frozen=True)
class Fix:
    """What is wrong with one check, and what to do."""

    problem: str
    consequence: str
    remedy: str
    command: str
    page: str


@dataclass(frozen=True)
class Panel:
    parts: list[Part]
    fixes: list[Fix]


def panel(now: datetime, user: AnyUser) -> Panel | None:
    """Return the panel, with links to the pages that the user may see.

    Return None if the work could not be checked.
    """
    try:
        found = work.read(now)
    except Exception:
        logger.exception("the portal's work could not be checked")
        return None
    return of(found, user)


def of(found: Mapping[Check, Reading], user: AnyUser) -> Panel:
    """Return the panel of what a check of the work found."""
    parts = [
        Part(str(check.label), reading.state, texts.status(check, reading), texts.rounded(reading.limit))
        for check, reading in found.items()
    ]
    fixes = []
    for check, reading in found.items():
        if not reading.cause:
            continue
        advice = texts.advice(check, reading.cause)
        page = texts.page_path(check, reading) if user.has_perm(advice.permission) else ""
        values = texts.problem(check, reading), str(advice.consequence), str(advice.remedy), advice.command
        fixes.append(Fix(*values, page))
    return Panel(parts, fixes)
