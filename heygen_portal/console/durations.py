"""Durations as text for pages, lists and mail."""

from __future__ import annotations

from datetime import timedelta

from django.utils import formats
from django.utils.translation import gettext as _


def readable_duration(duration: timedelta | None) -> str:
    """Return a duration as "1 h 02 min", "3 min 05 s" or "12.4 s"; None as a dash."""
    if duration is None:
        return "–"
    seconds = duration.total_seconds()
    if seconds < 60:
        return _("%(seconds)s s") % {"seconds": formats.number_format(seconds, 1)}
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return _("%(minutes)d min %(seconds)02d s") % {"minutes": minutes, "seconds": rest}
    return _("%(hours)d h %(minutes)02d min") % {"hours": minutes // 60, "minutes": minutes % 60}


def rounded_duration(duration: timedelta | None) -> str:
    """Return a duration in whole seconds as "6 min 12 s"; None as an empty string."""
    if duration is None:
        return ""
    minutes, seconds = divmod(round(duration.total_seconds()), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def measured_duration(duration: timedelta | None) -> str:
    """Return a duration as "594 ms", "1.32 s" or "6 min 12 s"; None as a dash."""
    if duration is None:
        return "–"
    seconds = duration.total_seconds()
    if abs(seconds) < 1:
        return f"{round(seconds * 1000)} ms"
    return f"{formats.number_format(seconds, 2)} s" if seconds < 60 else rounded_duration(duration)
