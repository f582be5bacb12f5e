"""Sessions that programs started: a lease takes the place of a browser tab.

A program has no socket that breaks when it dies. It holds a lease of its own, as a web process does for its tabs, and
each request about the session renews it. A program that falls silent loses the lease, and the session ends as if its
last tab had been closed. The idle limit counts as for a page: a lease never extends it.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

from heygen_portal.postgresql import clock
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import RUNNING, ServerProcess, StreamingSession
from sessions.presence import tabs

# A program that sends nothing for so long counts as gone. The session ends after the grace period of a closed tab.
LEASE_DURATION = timedelta(seconds=60)
CHANNEL_PREFIX = "program."


def open_lease(duration: timedelta = LEASE_DURATION) -> UUID:
    """Return the ID of a new lease."""
    lease_id = uuid4()
    ServerProcess.objects.create(pk=lease_id, lease_ends_at=clock.now() + duration)
    return lease_id


def channel_of(lease_id: UUID) -> str:
    """Return what stands for the channel of a tab."""
    return f"{CHANNEL_PREFIX}{lease_id}"


def record_joined(session_id: UUID, key_prefix: str) -> None:
    """Record which key started the session."""
    events.record(session_id, Entry(EventKind.PROGRAM_JOINED, {"key": key_prefix}))


def record_ready(session_id: UUID, key_prefix: str) -> None:
    """Record that a program says its user can see or hear the avatar."""
    events.record(session_id, Entry(EventKind.PROGRAM_READY, {"key": key_prefix}))


def renew(session_id: UUID) -> bool:
    """Renew a program's lease on a running session. Return False if the session is not running.

    If the lease ran out and the session still waits for its tab to return, the program returns with a new lease.
    """
    if not StreamingSession.objects.filter(pk=session_id, status__in=RUNNING).exists():
        return False
    leases = ServerProcess.objects.filter(tabs__session=session_id, tabs__channel__startswith=CHANNEL_PREFIX)
    if not ServerProcess.objects.filter(pk__in=leases.values("pk")).update(lease_ends_at=clock.now() + LEASE_DURATION):
        lease_id = open_lease()
        tabs.enter(session_id, lease_id, channel_of(lease_id))
    return True


def close_lease(lease_id: UUID) -> None:
    """Remove the lease of a start that failed. A session that it holds all the same gets its grace period."""
    tabs.release_lease(lease_id)
