"""Who of the team watches a running session, so that the person's page can say so while it lasts.

A seat is one way into the room that the portal has handed out. It counts from that moment, until LiveKit tells that its
holder has left; one that was never used counts for as long as its token opens the room.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from heygen_portal import livekit
from sessions.lifecycle import broadcast, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry, Source
from sessions.models import SessionEvent

HANDED_OUT, FINISHED = EventKind.OBSERVED, EventKind.ROOM_FINISHED
JOINED, LEFT = EventKind.PARTICIPANT_JOINED, EventKind.PARTICIPANT_LEFT


def hand_out(session_id: UUID, user_id: int | None, address: str | None) -> str:
    """Record that one of the team is let in, tell the person's page, and return the seat."""
    seat = secrets.token_hex(8)
    with transaction.atomic():
        events.record(session_id, Entry(HANDED_OUT, {"by": user_id, "from": address, "seat": seat}))
        tell(session_id)
    return seat


def tell(session_id: UUID) -> None:
    """Tell every page on the session whether it is watched, once this is committed."""
    broadcast.publish(session_id, state(session_id, timezone.now()))


def state(session_id: UUID, now: datetime) -> broadcast.Observed:
    """Return whether somebody watches, as the record has it."""
    visits = Q(source=Source.LIVEKIT, kind__in=(JOINED, LEFT, FINISHED))
    rows = SessionEvent.objects.filter(Q(source=Source.PORTAL, kind=HANDED_OUT) | visits, session=session_id)
    open_until: dict[str, datetime] = {}
    begun: defaultdict[str, set[str]] = defaultdict(set)
    ended: set[str] = set()
    for kind, at, data in rows.order_by("number").values_list("kind", "at", "data"):
        seat, visit = data.get("seat", ""), data.get("sid", "")
        if kind == HANDED_OUT:
            open_until[seat] = at + livekit.PERSON_TOKEN
        elif kind == FINISHED:
            return broadcast.Observed(is_observed=False)
        elif data.get("who") == livekit.OBSERVER:
            # Webhooks come in any order: a visit that has ended never begins again.
            begun[seat].add(visit) if kind == JOINED else ended.add(visit)
    if any(visits - ended for visits in begun.values()):
        return broadcast.Observed(is_observed=True)
    used = {seat for seat, visits in begun.items() if visits}
    waiting = [until for seat, until in open_until.items() if seat not in used and until > now]
    return broadcast.Observed(is_observed=bool(waiting), until=max(waiting).isoformat() if waiting else "")
