"""Spans of time and search words, as pages show them."""

from __future__ import annotations

import re
from datetime import timedelta

from django import template
from django.utils import formats
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from avatars.models.languages import direction
from heygen_portal.console import durations
from heygen_portal.console.credits import rounded_credits
from heygen_portal.people.preferences import time_zones
from heygen_portal.runtime.text import graphemes
from sessions.labels import event_labels, readable_data
from sessions.lifecycle import end_evidence
from sessions.models import SessionEvent
from sessions.timeline.moments import Moment

register = template.Library()

register.filter("own_reason", end_evidence.own_label)
register.filter("characters", graphemes.count)
register.filter("direction", direction)

BEFORE = 40
"""Characters of a line that are kept before the word that was searched for."""


@register.filter
def event_title(event: SessionEvent) -> str:
    """What an event of the record is called."""
    return event_labels.title(Moment(event.at, event.source, event.kind, event.data))


@register.filter
def event_data(event: SessionEvent) -> SafeString:
    """All that an event of the record says, as a list."""
    return readable_data.of_event(event.kind, event.data)


register.filter(rounded_credits)
register.filter(durations.rounded_duration)
register.filter(durations.measured_duration)


@register.filter
def on_clock(since: timedelta) -> str:
    """Return the seconds since the beginning, in days for much later events.

    Seconds have three decimals. They are negative for what a page did before it asked for the session.
    """
    if days := int(since / timedelta(days=1)):
        return f"{days} d"
    return formats.number_format(since.total_seconds(), 3, use_l10n=True, force_grouping=False)


@register.filter
def marked(text: str, query: str) -> str | SafeString:
    """The text from shortly before the searched words on, with each of them marked."""
    if not query or not (found := re.search(re.escape(query), text, re.IGNORECASE)):
        return text
    start = max(0, found.start() - BEFORE)
    pieces = re.split(f"({re.escape(query)})", text[start:], flags=re.IGNORECASE)
    shown = format_html_join("", "{}", ((_mark(piece, place),) for place, piece in enumerate(pieces)))
    return format_html("{}{}", "…" if start else "", shown)


def _mark(piece: str, place: int) -> str | SafeString:
    return format_html("<mark>{}</mark>", piece) if place % 2 else piece


@register.simple_tag
def portal_zone() -> str:
    """Return the name of the time zone in which days, months and quotas are counted."""
    return time_zones.portal_label()
