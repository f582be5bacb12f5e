"""Durations for people: one module for all that pages, lists and mails show."""

from __future__ import annotations

from datetime import timedelta

from django.utils import formats
from django.utils.translation import gettext as _


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


def how_long(duration: timedelta | None) -> str:
    """A span as people in both languages write it: 6 min 12 s. Empty for none."""
    if duration is None:
        return ""
    minutes, seconds = divmod(round(duration.total_seconds()), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def measured(duration: timedelta | None) -> str:
    """A span that was measured: 594 ms, 1.32 s, 6 min 12 s. A dash for none."""
    if duration is None:
        return "–"
    seconds = duration.total_seconds()
    if abs(seconds) < 1:
        return f"{round(seconds * 1000)} ms"
    return f"{formats.number_format(seconds, 2)} s" if seconds < 60 else how_long(duration)
