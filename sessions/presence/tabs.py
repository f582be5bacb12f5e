"""Who is looking: tabs, and the web processes that hold them.

A web process renews one lease for all its tabs, so a session in which nobody does anything writes nothing. A process
that dies renews no more, and its tabs count as closed when the lease runs out.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from sessions.lifecycle import events, transitions
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import RUNNING, ServerProcess, Status, StreamingSession, Tab

LEASE = timedelta(seconds=20)
RENEWAL = timedelta(seconds=5)


def renew(process_id: UUID) -> bool:
    """Say that this web process is alive; return whether its lease had run out, and its tabs with it.

    One write, however many tabs it holds.
    """
    lease = {"lease_ends_at": timezone.now() + LEASE}
    _, is_new = ServerProcess.objects.update_or_create(pk=process_id, defaults=lease)
    return is_new


def is_held(process_id: UUID) -> bool:
    """Whether this web process counts as alive. Where it does not and lives, its next renewal finds out."""
    return ServerProcess.objects.filter(pk=process_id).exists()


def enter(session_id: UUID, process_id: UUID, channel: str) -> None:
    """A tab is on the session. Safe to repeat."""
    with transaction.atomic(savepoint=False):
        session = StreamingSession.objects.select_for_update().get(pk=session_id)
        note(session, process_id, channel)
        if _take_back(session):
            events.append(session.pk, Entry(EventKind.TAB_RETURNED))


def note(session: StreamingSession, process_id: UUID, channel: str) -> None:
    """Do what `enter` does, for a session that the caller has just made."""
    tab = Tab(session=session, process_id=process_id, channel=channel)
    moved = ["session", "process"]
    Tab.objects.bulk_create([tab], update_conflicts=True, unique_fields=["channel"], update_fields=moved)


def _take_back(session: StreamingSession) -> bool:
    """Somebody is there again: no grace runs any more. The caller holds the row locked."""
    if not session.abandoned_at or session.status not in RUNNING:
        return False
    session.abandoned_at = None
    session.deadline_at = transitions.next_check_at(session, is_live=session.status == Status.LIVE)
    session.save(update_fields=["abandoned_at", "deadline_at"])
    return True


def still_here(session_id: UUID) -> None:
    """A tab has said something, or its person is in the room again. Safe to repeat.

    Without a tab it changes nothing: what a tab had on its way when it left is no sign of life.
    """
    rows = StreamingSession.objects.filter(pk=session_id, abandoned_at__isnull=False)
    if rows.exists():
        with transaction.atomic():
            session = rows.select_for_update().first()
            if session and session.tabs.exists():
                _take_back(session)


def left_the_room(session: StreamingSession) -> None:
    """The person's browser is in the room no more: the grace begins, whatever a socket seems to say.

    It may be half open. A page that lives says something, or joins again. The caller holds the row locked.
    """
    if session.status in RUNNING and not session.abandoned_at:
        _give_grace(session, timezone.now())
        events.append(session.pk, Entry(EventKind.PERSON_LEFT_ROOM))


def leave(channel: str) -> None:
    """A tab's socket is closed. With the last one the session gets its grace. Safe to repeat."""
    _leave(Tab.objects.filter(channel=channel).first(), "socket")


def key_of(channel: str) -> str:
    """Return the name by which a page knows its own tab; it tells nothing of the channel."""
    return hashlib.sha256(channel.encode()).hexdigest()[:32]


def say_goodbye(user_id: int, session_id: UUID, key: str) -> bool:
    """A page says that it is closing; return whether it was there. Another person's tab, or one gone, is not."""
    tabs = Tab.objects.filter(session_id=session_id, session__user_id=user_id)
    leaving = next((tab for tab in tabs if key_of(tab.channel) == key), None)
    _leave(leaving, "page")
    return leaving is not None


def _leave(tab: Tab | None, sign: str) -> None:
    if tab:
        with transaction.atomic():
            rows = _lock({tab.session_id})
            tab.delete()
            _mark_abandoned(rows, sign)


def expire(now: datetime) -> None:
    """Count the tabs of web processes whose lease ran out as closed."""
    _count_out(ServerProcess.objects.filter(lease_ends_at__lt=now), "lease")


def release(process_id: UUID) -> None:
    """A web process ends and gives its lease back: its tabs have left."""
    _count_out(ServerProcess.objects.filter(pk=process_id), "shutdown")


def _count_out(dead: QuerySet[ServerProcess], sign: str) -> None:
    if not dead.exists():
        return
    with transaction.atomic():
        rows = _lock(set(Tab.objects.filter(process__in=dead).values_list("session_id", flat=True)))
        dead.delete()
        _mark_abandoned(rows, sign)


def _lock(session_ids: set[UUID]) -> list[StreamingSession]:
    """Hold the rows before their tabs are touched, as `enter` does: of two that leave at once, one sees the other."""
    rows = StreamingSession.objects.select_for_update().filter(pk__in=session_ids, abandoned_at=None)
    return list(rows.filter(status__in=RUNNING).order_by("pk"))


def _mark_abandoned(rows: list[StreamingSession], sign: str) -> None:
    """Give those that nobody watches any more their grace. `sign` is how we know: page, socket, lease, shutdown."""
    now = timezone.now()
    watched = set(Tab.objects.filter(session__in=rows).values_list("session_id", flat=True))
    for session in rows:
        if session.pk in watched:
            continue
        _give_grace(session, now)
        events.append(session.pk, Entry(EventKind.LAST_TAB_LEFT, {"sign": sign}))


def _give_grace(session: StreamingSession, now: datetime) -> None:
    session.abandoned_at = now
    assert session.deadline_at is not None  # held by a constraint while the session is open
    session.deadline_at = min(session.deadline_at, now + transitions.TAB_GRACE)
    session.save(update_fields=["abandoned_at", "deadline_at"])
