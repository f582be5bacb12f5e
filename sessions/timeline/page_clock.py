"""Conversion of a page's clock to the portal's.

The offset is measured by the times at which reports are sent and arrive.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from heygen_portal.runtime import stored_json

PAGE_AT = "page_at"  # key in an event's data: its time on the page's own clock
# A page does not hold reports for longer. The time of an older report is replaced by the portal's.
MAX_REPORT_AGE = timedelta(seconds=30)
# Only the latest reports count, because a laptop that woke up may have set its clock.
REMEMBERED_REPORTS = 32


@dataclass
class PageClock:
    """The clock of one tab.

    Its offset is measured by the report with the shortest transfer time.

    That transfer time remains in every converted time, so that no time precedes what it reports.
    """

    lags: deque[timedelta] = field(default_factory=lambda: deque(maxlen=REMEMBERED_REPORTS))

    def read(self, at: Any, sent: Any, now: datetime) -> tuple[datetime, datetime | None]:
        """Return a report's time on the portal's clock and on the page's.

        The latter is None if it is invalid.
        """
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
    """Parse milliseconds since 1970; return None if they are not a valid time."""
    if not isinstance(milliseconds, int | float) or isinstance(milliseconds, bool):
        return None
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return moment if stored_json.EARLIEST <= moment <= stored_json.LATEST else None
