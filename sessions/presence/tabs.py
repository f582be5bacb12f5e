"""Open tabs, and the leases of the web processes that hold them.

A web process renews one lease for all its tabs, so an idle session writes nothing. A dead process stops renewing, and
its tabs count as closed when the lease runs out.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from heygen_portal.postgresql import clock
from heygen_portal.runtime.jobs import each_row
from sessions.lifecycle import events, transitions, unreadable
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import RUNNING, OwnerId, ServerProcess, Status, StreamingSession, Tab, owned_by

logger = logging.getLogger(__name__)

LEASE_DURATION = timedelta(seconds=20)
LEASE_RENEWAL_INTERVAL = timedelta(seconds=5)
HANDOVER_DURATION = timedelta(seconds=20)
"""How long the tabs of a web process that shuts down count as open. Their pages reconnect to another one meanwhile."""
# Younger sessions may still get their tab.
WITHOUT_TABS_FOR = timedelta(minutes=1)


def renew_lease(process_id: UUID) -> bool:
    """Renew the lease of a web process.

    Return True if it had run out, and the process's tabs were removed. One write, however many tabs the process
    holds.
    """
    clock.measure()
    lease = {"lease_ends_at": clock.now() + LEASE_DURATION}
    _, is_new = ServerProcess.objects.update_or_create(pk=process_id, defaults=lease)
    return is_new


def has_lease(process_id: UUID) -> bool:
    """Whether this web process holds a lease.

    If it lives without one, its next renewal notices.
    """
    return ServerProcess.objects.filter(pk=process_id).exists()


def enter(session_id: UUID, process_id: UUID, channel: str) -> None:
    """Register a tab on a session, and remove it from another that it was on. Safe to repeat."""
    _leave_other(channel, session_id)  # before the rows are locked: two tabs may change places
    with transaction.atomic(savepoint=False):
        session = StreamingSession.objects.select_for_update().get(pk=session_id)
        add(session, process_id, channel)
        if _cancel_grace(session):
            events.append(session.pk, Entry(EventKind.TAB_RETURNED))


def add(session: StreamingSession, process_id: UUID, channel: str) -> None:
    """Register a tab on a session that the caller has just created or locked, and remove it from another."""
    _leave_other(channel, session.pk)
    tab = Tab(session=session, process_id=process_id, channel=channel)
    moved = ["session", "process"]
    Tab.objects.bulk_create([tab], update_conflicts=True, unique_fields=["channel"], update_fields=moved)


def _leave_other(channel: str, session_id: UUID) -> None:
    """Remove a tab from the session that it leaves by moving to this one, which may be its last tab."""
    _leave(Tab.objects.filter(channel=channel).exclude(session_id=session_id).first(), "page")


def _cancel_grace(session: StreamingSession) -> bool:
    """Cancel a running grace period. Return True if there was one.

    The caller has locked the row.
    """
    if not session.abandoned_at or session.status not in RUNNING:
        return False
    session.abandoned_at = None
    session.deadline_at = transitions.next_check_at(session, is_live=session.status == Status.LIVE)
    session.save(update_fields=["abandoned_at", "deadline_at"])
    return True


def confirm_presence(session_id: UUID) -> None:
    """Cancel a grace period after a message from a tab or a return to the room.

    Safe to repeat. Changes nothing if the session has no tab: a message may have been in flight when the last tab
    left.
    """
    rows = StreamingSession.objects.filter(pk=session_id, abandoned_at__isnull=False)
    if rows.exists():
        with transaction.atomic():
            session = rows.select_for_update().first()
            if session and session.tabs.exists():
                _cancel_grace(session)


def record_left_room(session: StreamingSession) -> None:
    """Start the grace period because the user's browser has left the room.

    The socket may be half open. A live page sends something or joins again. The caller has locked the row.
    """
    if session.status in RUNNING and not session.abandoned_at:
        _start_grace(session, clock.now())
        events.append(session.pk, Entry(EventKind.PERSON_LEFT_ROOM))


def leave(channel: str) -> None:
    """Remove a tab whose socket is closed. The last one starts the grace period.

    Safe to repeat.
    """
    _leave(Tab.objects.filter(channel=channel).first(), "socket")


def tab_key(channel: str) -> str:
    """Return the key by which a page names its tab, without revealing the channel."""
    return hashlib.sha256(channel.encode()).hexdigest()[:32]


def close_tab(owner: OwnerId, session_id: UUID, key: str) -> bool:
    """Remove the tab of a page that is closing.

    Return False if the owner has no such tab on the session.
    """
    tabs = Tab.objects.filter(owned_by(owner, "session__"), session_id=session_id)
    leaving = next((tab for tab in tabs if tab_key(tab.channel) == key), None)
    _leave(leaving, "page")
    return leaving is not None


def _leave(tab: Tab | None, sign: str) -> None:
    """Remove a tab.

    A session whose row or record cannot be read gets its grace period, too, but no event.
    """
    if tab is None:
        return
    try:
        with transaction.atomic():
            rows = _lock({tab.session_id})
            Tab.objects.filter(channel=tab.channel).delete()
            _mark_abandoned(rows, sign)
    except Exception as exc:
        if each_row.is_outage(exc):
            raise
        logger.exception("session %s: the closing of its tab could not be recorded", tab.session_id)
        now = clock.now()
        with transaction.atomic():
            Tab.objects.filter(channel=tab.channel).delete()
            left = StreamingSession.objects.filter(pk=tab.session_id, status__in=RUNNING, abandoned_at=None)
            left.filter(tabs=None).update(abandoned_at=now, deadline_at=now + transitions.TAB_GRACE)


def abandon_without_tabs(now: datetime) -> None:
    """Start the grace period of running sessions that no tab is on.

    None should exist. If there is one all the same, nobody else would notice that its user has left.
    """
    running = StreamingSession.objects.filter(status__in=RUNNING, abandoned_at=None, tabs=None)
    for session_id in unreadable.ids(running.filter(created_at__lt=now - WITHOUT_TABS_FOR)):
        with each_row.log_failure(f"session {session_id} has no tab and could not be abandoned"), transaction.atomic():
            _mark_abandoned(_lock({session_id}), "missing")


def expire_leases(now: datetime) -> None:
    """Remove web processes whose lease ran out, with their tabs."""
    _remove_processes(_expired(now), "lease")


def has_expired_leases(now: datetime) -> bool:
    return _expired(now).exists()


def _expired(now: datetime) -> QuerySet[ServerProcess]:
    return ServerProcess.objects.filter(lease_ends_at__lt=now)


def release_lease(process_id: UUID) -> None:
    """Remove a process that ends and hands its tabs to no other, with its tabs."""
    _remove_processes(ServerProcess.objects.filter(pk=process_id), "shutdown")


def hand_over(process_id: UUID) -> None:
    """Let the lease of a web process that shuts down run out soon.

    Its tabs did not leave: their pages come back to another process, all at once.
    """
    ends_at = clock.now() + HANDOVER_DURATION
    ServerProcess.objects.filter(pk=process_id).update(lease_ends_at=ends_at)


def _remove_processes(dead: QuerySet[ServerProcess], sign: str) -> None:
    if not dead.exists():
        return
    try:
        with transaction.atomic():
            rows = _lock(set(Tab.objects.filter(process__in=dead).values_list("session_id", flat=True)))
            dead.delete()
            _mark_abandoned(rows, sign)
    except Exception as exc:
        if each_row.is_outage(exc):
            raise  # the next tick tries again
        logger.exception("tabs of ended web processes could not be removed together")
        _remove_one_by_one(dead, sign)


def _remove_one_by_one(dead: QuerySet[ServerProcess], sign: str) -> None:
    """Remove the tabs of web processes one by one, then the processes."""
    for tab in list(Tab.objects.filter(process__in=dead)):
        _leave(tab, sign)
    dead.filter(tabs=None).delete()


def _lock(session_ids: set[UUID]) -> list[StreamingSession]:
    """Lock the rows before their tabs change, as `enter` does.

    Of two tabs that leave at once, one sees the other.
    """
    rows = StreamingSession.objects.select_for_update().filter(pk__in=session_ids, abandoned_at=None)
    return list(rows.filter(status__in=RUNNING).order_by("pk"))


def _mark_abandoned(rows: list[StreamingSession], sign: str) -> None:
    """Start the grace period of sessions without tabs.

    `sign` is recorded: page, socket, lease, shutdown, or missing if it is not known when the last tab left.
    """
    now = clock.now()
    watched = set(Tab.objects.filter(session__in=rows).values_list("session_id", flat=True))
    for session in rows:
        if session.pk in watched:
            continue
        _start_grace(session, now)
        events.append(session.pk, Entry(EventKind.LAST_TAB_LEFT, {"sign": sign}))


def _start_grace(session: StreamingSession, now: datetime) -> None:
    session.abandoned_at = now
    assert session.deadline_at is not None  # held by a constraint while the session is open
    session.deadline_at = min(session.deadline_at, now + transitions.TAB_GRACE)
    session.save(update_fields=["abandoned_at", "deadline_at"])
