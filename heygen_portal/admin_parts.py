"""What the admin's pages share: evidence that nobody edits, rows that nobody deletes, durations one can read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _


class NeverDeleted:
    """Refuses delete: deleting is never the way something ends."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnly(NeverDeleted):
    """Refuses add, change and delete: history is evidence, and the catalogue is the provider's."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def readable(duration: timedelta | None) -> str:
    """Return a duration as people say it: "1 h 02 min", "3 min 05 s", "12.4 s"; a dash for none."""
    if duration is None:
        return "–"
    seconds = duration.total_seconds()
    if seconds < 60:
        return _("%(seconds).1f s") % {"seconds": seconds}
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return _("%(minutes)d min %(seconds)02d s") % {"minutes": minutes, "seconds": rest}
    return _("%(hours)d h %(minutes)02d min") % {"hours": minutes // 60, "minutes": minutes % 60}
