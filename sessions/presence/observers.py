"""Staff who observe running sessions.

The user's page is informed, and observers who lose access are removed. A seat is one access to the room that the
portal has issued. It is taken from then until LiveKit reports that its holder has left; an unused one is taken
until its token expires.
"""

from __future__ import annotations

import logging
import secrets
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.crypto import salted_hmac

from heygen_portal import livekit
from heygen_portal.livekit import LiveKitAway
from heygen_portal.people.access import live_access, roles
from heygen_portal.people.access.live_access import Claim, Loss
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.jobs import each_row
from sessions.lifecycle import broadcast, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry, Source
from sessions.models import SessionEvent, Status, StreamingSession

logger = logging.getLogger(__name__)

SEAT_ISSUED, REMOVED, FINISHED = EventKind.OBSERVED, EventKind.OBSERVER_REMOVED, EventKind.ROOM_FINISHED
JOINED, LEFT = EventKind.PARTICIPANT_JOINED, EventKind.PARTICIPANT_LEFT


def issue_seat(session_id: UUID, user_id: int | None, address: str | None, login_key: str) -> str:
    """Record a new seat, inform the user's page, and return the seat's name.

    `login_key` is the key of the login session that the seat depends on. The record has a keyed hash of it.
    """
    seat = secrets.token_hex(8)
    data = {"by": user_id, "from": address, "seat": seat, "login": _login_mark(seat, login_key)}
    with transaction.atomic():
        events.record(session_id, Entry(SEAT_ISSUED, data))
        publish_state(session_id)
    return seat


def publish_state(session_id: UUID) -> None:
    """Inform every page of the session after commit whether it is observed."""
    broadcast.publish(session_id, state(session_id, timezone.now()))


def state(session_id: UUID, now: datetime) -> broadcast.Observed:
    """Return whether the session is observed, according to its record."""
    visits = Q(source=Source.LIVEKIT, kind__in=(JOINED, LEFT, FINISHED))
    rows = SessionEvent.objects.filter(
        Q(source=Source.PORTAL, kind__in=(SEAT_ISSUED, REMOVED)) | visits, session=session_id
    )
    open_until: dict[str, datetime] = {}
    begun: defaultdict[str, set[str]] = defaultdict(set)
    ended: set[str] = set()
    for kind, at, data in rows.order_by("number").values_list("kind", "at", "data"):
        seat, visit = stored_json.text(data, "seat"), stored_json.text(data, "sid")
        if kind == SEAT_ISSUED:
            open_until[seat] = at + livekit.OBSERVER_TOKEN_LIFETIME
        elif kind == REMOVED:
            open_until.pop(seat, None)
        elif kind == FINISHED:
            return broadcast.Observed(is_observed=False)
        elif data.get("who") == livekit.OBSERVER_IDENTITY:
            # Webhooks arrive in any order: a visit that has ended never begins again.
            begun[seat].add(visit) if kind == JOINED else ended.add(visit)
    if any(visits - ended for visits in begun.values()):
        return broadcast.Observed(is_observed=True)
    used = {seat for seat, visits in begun.items() if visits}
    waiting = [until for seat, until in open_until.items() if seat not in used and until > now]
    return broadcast.Observed(is_observed=bool(waiting), until=max(waiting).isoformat() if waiting else "")


# Access checks while observers are in the room


@dataclass
class _Seat:
    session_id: UUID
    room: str
    name: str
    user_id: int
    login: str
    until: datetime  # expiry of the issued token
    renewed_until: datetime  # expiry of tokens that LiveKit renewed
    is_removed: bool = False
    visits: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def is_taken(self, now: datetime) -> bool:
        """Whether its holder is in the room, or may still enter for the first time."""
        return now < self.until or bool(self.visits - self.ended)

    def is_open(self, now: datetime) -> bool:
        return now < self.renewed_until or self.is_taken(now)


async def check_access(session_id: UUID | None = None) -> None:
    """Remove observers without access from one session or from all. Safe to repeat.

    An observer who was removed and returns with a token that LiveKit renewed is removed again.
    """
    for seat, loss in await in_thread(_seats_without_access)(session_id):
        with each_row.log_failure(f"session {seat.session_id}: an observer's removal could not be recorded"):
            await in_thread(_record_removal)(seat, loss)
        try:
            await livekit.remove_participant(seat.room, f"{livekit.OBSERVER_IDENTITY}-{seat.name}")
        except LiveKitAway as exc:  # the next check tries again
            logger.warning("session %s: an observer without access could not be removed: %s", seat.session_id, exc)


def _seats_without_access(session_id: UUID | None) -> list[tuple[_Seat, Loss]]:
    now = timezone.now()
    seats = [seat for seat in _seats(session_id) if seat.is_open(now)]
    if not seats:
        return []
    keys = _login_keys(seats)
    claims = {
        seat.name: Claim(keys.get(seat.name, ""), seat.user_id, roles.OBSERVE_SESSION, is_for_staff=True)
        for seat in seats
    }
    lost = live_access.losses(set(claims.values()))
    return [(seat, lost[claims[seat.name]]) for seat in seats if claims[seat.name] in lost]


def _seats(session_id: UUID | None) -> Collection[_Seat]:
    """Return the seats of running sessions with their visits, as recorded."""
    running = StreamingSession.objects.filter(status__in=(Status.CONNECTING, Status.LIVE)).exclude(room="")
    rooms = dict(running.filter(**({"pk": session_id} if session_id else {})).values_list("pk", "room"))
    issued = SessionEvent.objects.filter(session__in=rooms, source=Source.PORTAL, kind=SEAT_ISSUED)
    seats: dict[str, _Seat] = {}
    for event in each_row.readable(issued.only("session_id", "at", "data")):
        with each_row.log_failure(f"event {event.pk}: its observer's access could not be checked"):
            seat = _issued_seat(event, rooms[event.session_id])
            seats[seat.name] = seat
    watched = {seat.session_id for seat in seats.values()}
    relevant = Q(source=Source.LIVEKIT, kind__in=(JOINED, LEFT)) | Q(source=Source.PORTAL, kind=REMOVED)
    rows = SessionEvent.objects.filter(relevant, session__in=watched).order_by("number")
    for event in each_row.readable(rows.only("kind", "at", "data")):
        with each_row.log_failure(f"event {event.pk}: an observer's visit could not be read"):
            if known := seats.get(stored_json.text(event.data, "seat")):
                _apply(known, event.kind, event.at, event.data)
    return seats.values()


def _issued_seat(event: SessionEvent, room: str) -> _Seat:
    data, until = event.data, event.at + livekit.OBSERVER_TOKEN_LIFETIME
    seat, by = stored_json.text(data, "seat"), stored_json.row_key(data, "by")
    if not seat or not by:
        raise ValueError("The event was damaged.")
    return _Seat(event.session_id, room, seat, by, stored_json.text(data, "login"), until, until)


def _apply(seat: _Seat, kind: str, at: datetime, data: Mapping[str, Any]) -> None:
    if kind == REMOVED:
        seat.is_removed = True
    else:
        (seat.visits if kind == JOINED else seat.ended).add(stored_json.text(data, "sid"))
        seat.renewed_until = max(seat.renewed_until, at + livekit.RENEWED_TOKEN_LIFETIME)


def _login_keys(seats: Collection[_Seat]) -> Mapping[str, str]:
    """Return the login session's key by seat name, where the login still exists."""
    wanted = {(seat.name, seat.login) for seat in seats}
    return {
        name: key
        for key in Session.objects.filter(expire_date__gt=timezone.now())
        .values_list("session_key", flat=True)
        .iterator()
        for name, login in wanted
        if login == _login_mark(name, key)
    }


def _login_mark(seat: str, login_key: str) -> str:
    return salted_hmac(f"sessions.observers.{seat}", login_key, algorithm="sha256").hexdigest()[:32]


def _record_removal(seat: _Seat, loss: Loss) -> None:
    """Record the removal of a seat once. LiveKit reports when its holder has left."""
    if seat.is_removed or not seat.is_taken(timezone.now()):
        return
    with transaction.atomic():
        events.record(seat.session_id, Entry(REMOVED, {"by": seat.user_id, "seat": seat.name, "loss": str(loss)}))
        publish_state(seat.session_id)
