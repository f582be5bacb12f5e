"""A page's clock against the portal's, measured by when its reports are sent and when they arrive."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

PAGE_AT = "page_at"  # under this key an event has its moment on the page's own clock
MAX_REPORT_AGE = timedelta(seconds=30)
"""How long a page may have kept a report; an older moment cannot be true, and the portal's own is used instead."""
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""What a clock can say: beyond, a moment may have no name in another time zone."""
REMEMBERED_REPORTS = 32
"""Reports that count. Of the latest, not of all: a laptop that slept has set its clock."""


@dataclass
class PageClock:
    """The clock of one tab. Of its reports the one that was under way shortest knows best how far it is off.

    What that one took stays in every moment, so that none lies before what it reports.
    """

    lags: deque[timedelta] = field(default_factory=lambda: deque(maxlen=REMEMBERED_REPORTS))

    def read(self, at: Any, sent: Any, now: datetime) -> tuple[datetime, datetime | None]:
        """Return a report's moment on the portal's clock, and as the page has it: None where that is no moment."""
        page_at, sent_at = _moment(at), _moment(sent) or _moment(at)
        if page_at is None or sent_at is None:
            return now, None
        self.lags.append(now - sent_at)
        try:
            moment = page_at + min(self.lags)
        except OverflowError:
            return now, page_at
        return (moment if timedelta(0) <= now - moment <= MAX_REPORT_AGE else now), page_at


def _moment(milliseconds: Any) -> datetime | None:
    """Read milliseconds since 1970, as a browser counts them."""
    if not isinstance(milliseconds, int | float) or isinstance(milliseconds, bool):
        return None
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return moment if EARLIEST <= moment <= LATEST else None
