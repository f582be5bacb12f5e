"""The queue for an account's slots: entries, offers and expected waits.

The rows are the truth. A message only wakes a waiting tab, which also polls, so the queue moves without a worker,
without beat and without Redis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, QuerySet

from avatars.models import Persona, ProviderAccount
from heygen_portal.postgresql import clock
from heygen_portal.runtime.jobs import each_row
from sessions import errors
from sessions.lifecycle import broadcast
from sessions.models import OwnerId, QueueEntry, Status, StreamingSession, owned_by, owner_columns

QUEUE_MAX_ENTRIES = 50  # people who wait for one account
# How long an offered slot is held; then the next person is offered it.
OFFER_TIMEOUT = timedelta(seconds=10)
# How long the provider's last refusal limits the slots. Then people who wait try again.
SLOTS_SEEN_TIMEOUT = timedelta(seconds=60)
PAST_SESSIONS_COUNTED = 50  # the newest, for the usual duration
PAST_SESSIONS_NEEDED = 5  # with fewer, the usual duration is unknown


@dataclass(frozen=True)
class TabAddress:
    """One browser tab: the web process that holds it, and its channel."""

    process_id: UUID
    channel: str


@dataclass(frozen=True)
class QueuePosition:
    """A person's position in the queue.

    `position` is 1 for the next person, and 0 once a slot is offered.
    """

    account_id: int
    position: int
    waiting: int
    is_offered: bool = False


def lock(account_id: int) -> ProviderAccount:
    """Lock an account until the transaction ends.

    Slots are taken and offered only under this lock.
    """
    return ProviderAccount.objects.select_for_update().get(pk=account_id)


def entries_of(account_id: int) -> list[QueueEntry]:
    return list(QueueEntry.objects.filter(account=account_id))


def slot_limit(account: ProviderAccount) -> int:
    """Return how many sessions may be open.

    It is the plan's limit, or fewer if the provider just refused one.
    """
    limit, seen_at = account.concurrency_limit, account.slots_seen_at
    if account.slots_seen is None or seen_at is None or seen_at + SLOTS_SEEN_TIMEOUT <= clock.now():
        return limit
    return min(limit, account.slots_seen)


def free_slots(account: ProviderAccount, open_sessions: int, entries: list[QueueEntry], *, is_staff: bool) -> int:
    """Return how many slots are free for a person outside this queue.

    Offered slots are not free.
    """
    offered = sum(entry.offer_expires_at is not None for entry in entries)
    return slot_limit(account) - open_sessions - offered - (0 if is_staff else account.staff_places)


def record_full(account_id: int) -> None:
    """Record that the provider has no slot beyond the sessions open now.

    This holds whatever the plan allows.
    """
    count = StreamingSession.objects.open().filter(account=account_id).count()
    ProviderAccount.objects.filter(pk=account_id).update(slots_seen=count, slots_seen_at=clock.now())


def join(owner: OwnerId, persona: Persona, tab: TabAddress) -> QueueEntry:
    """Join the end of the queue.

    A person who is in it already keeps the position and waits in this tab from now on. Raises QueueFull.
    """
    account_id = persona.avatar.account_id
    with transaction.atomic():
        lock(account_id)
        entries = entries_of(account_id)
        own = next((entry for entry in entries if entry.owner_id == owner), None)
        if own is None and len(entries) >= QUEUE_MAX_ENTRIES:
            raise errors.QueueFull
        broadcast.wake([entry.channel for entry in entries])
        return _save_entry(owner, persona, tab, own)


def rejoin(owner: OwnerId, persona: Persona, tab: TabAddress, since: datetime) -> QueueEntry:
    """Join the queue before everyone who came after `since`, even if it is full.

    The caller holds the account's lock.
    """
    account_id = persona.avatar.account_id
    own = QueueEntry.objects.filter(owned_by(owner), account=account_id).first()
    entry = _save_entry(owner, persona, tab, own)
    QueueEntry.objects.filter(pk=entry.pk).update(created_at=since)
    entry.created_at = since
    broadcast.wake(_channels(account_id))
    return entry


def restore(lost: QueueEntry) -> None:
    """Restore an entry that was removed because its lease was renewed too late.

    Does nothing if the person waits elsewhere by now, or was deactivated.
    """
    with transaction.atomic():
        lock(lost.account_id)
        is_active = lost.user_id is None or User.objects.filter(pk=lost.user_id, is_active=True).exists()
        if is_active and not QueueEntry.objects.filter(owned_by(lost.owner_id)).exists():
            lost.pk = None
            lost.save(force_insert=True)
            broadcast.wake(_channels(lost.account_id))


def hold_slot(
    owner: OwnerId, persona: Persona, tab: TabAddress, until: datetime, *, joins_at_end: bool = False
) -> QueueEntry:
    """Hold a slot for a person whose session is about to end.

    It goes to no other person meanwhile. With `joins_at_end`, people who wait come first: this person joins the end
    of the queue. Raises QueueFull then.
    """
    with transaction.atomic():
        lock(persona.avatar.account_id)
        entries = entries_of(persona.avatar.account_id)
        if joins_at_end and any(entry.owner_id != owner for entry in entries):
            return join(owner, persona, tab)
        own = next((entry for entry in entries if entry.owner_id == owner), None)
        return _save_entry(owner, persona, tab, own, offer_expires_at=until)


def _save_entry(
    owner: OwnerId, persona: Persona, tab: TabAddress, own: QueueEntry | None, offer_expires_at: datetime | None = None
) -> QueueEntry:
    where = {"persona": persona, "process_id": tab.process_id, "channel": tab.channel}
    if own:
        old_channel, own.offer_expires_at = own.channel, offer_expires_at or own.offer_expires_at
        for name, value in where.items():
            setattr(own, name, value)
        own.save()
        broadcast.wake({old_channel} - {tab.channel})
        return own
    QueueEntry.objects.filter(owned_by(owner)).delete()  # in another account's queue
    is_staff = isinstance(owner, int) and User.objects.filter(pk=owner, is_staff=True).exists()
    account_id = persona.avatar.account_id
    return QueueEntry.objects.create(
        **owner_columns(owner), account_id=account_id, is_staff=is_staff, offer_expires_at=offer_expires_at, **where
    )


def leave(channel: str) -> None:
    """Remove this tab's entry. Safe to repeat."""
    entry = QueueEntry.objects.filter(channel=channel).first()
    if entry:
        remove(entry)


def remove(entry: QueueEntry) -> None:
    """Remove an entry; the entries behind it move up. Safe to repeat."""
    with transaction.atomic():
        QueueEntry.objects.filter(pk=entry.pk).delete()
        broadcast.wake([entry.channel, *_channels(entry.account_id)])


def return_offer(channel: str) -> None:
    """Withdraw an offer whose slot no longer exists.

    The person waits on, as the next one.
    """
    QueueEntry.objects.filter(channel=channel).update(offer_expires_at=None)


def position_of(channel: str) -> QueuePosition | None:
    """Return the queue position of this tab's owner; None if the tab has no entry."""
    entries = list(QueueEntry.objects.filter(account__queue_entries__channel=channel))
    own = next((entry for entry in entries if entry.channel == channel), None)
    if own is None:
        return None
    waiting = [entry for entry in entries if entry.offer_expires_at is None]
    if own.offer_expires_at:
        return QueuePosition(own.account_id, 0, len(waiting), is_offered=True)
    return QueuePosition(own.account_id, waiting.index(own) + 1, len(waiting))


def is_used() -> bool:
    """Whether any person waits or holds an offer."""
    return QueueEntry.objects.exists()


def offer_all_slots() -> None:
    """Offer the free slots of all accounts.

    With no queue at all this is one query and no write.
    """
    for account_id in QueueEntry.objects.order_by().values_list("account", flat=True).distinct():
        try_offer_slots(account_id)


def try_offer_slots(account_id: int) -> None:
    """Offer an account's free slots. A failure is only logged.

    An account whose row cannot be read must not keep other queues from moving, or sessions from ending.
    """
    with each_row.log_failure(f"account {account_id}: its free slots could not be offered"):
        offer_slots(account_id)


def offer_slots(account_id: int) -> None:
    """Offer an account's free slots to the next entries, and remove expired offers.

    Safe to call at any time and from several processes: under the account's lock a slot is offered once.
    """
    account = ProviderAccount.objects.filter(pk=account_id, queue_entries__isnull=False).first()
    if account is None or not any(_expired_and_next(account)):
        return  # a queue that does not move locks nothing and writes nothing
    with transaction.atomic():
        expired, next_entries = _expired_and_next(lock(account_id))
        QueueEntry.objects.filter(pk__in=[entry.pk for entry in expired]).delete()
        offered = QueueEntry.objects.filter(pk__in=[entry.pk for entry in next_entries])
        offered.update(offer_expires_at=clock.now() + OFFER_TIMEOUT)
        if expired or next_entries:
            broadcast.wake([*(entry.channel for entry in expired), *_channels(account_id)])


def _expired_and_next(account: ProviderAccount) -> tuple[list[QueueEntry], list[QueueEntry]]:
    """Return the entries whose offer expired, and those to offer a slot.

    Staff may pass others.
    """
    now = clock.now()
    entries = entries_of(account.pk)
    expired = [entry for entry in entries if entry.offer_expires_at and entry.offer_expires_at <= now]
    entries = [entry for entry in entries if entry not in expired]
    next_entries: list[QueueEntry] = []
    if waiting := [entry for entry in entries if entry.offer_expires_at is None]:
        open_sessions = StreamingSession.objects.open().filter(account=account).count()
        for entry in waiting:
            if free_slots(account, open_sessions, entries, is_staff=entry.is_staff) > len(next_entries):
                next_entries.append(entry)
    return expired, next_entries


def _channels(account_id: int) -> list[str]:
    return list(QueueEntry.objects.filter(account=account_id).values_list("channel", flat=True))


def expected_wait(position: QueuePosition, now: datetime) -> timedelta | None:
    """Return the expected wait, or None if it is unknown.

    A session is expected to last as long as most, and to end at its limit at the latest; each end frees one slot. While
    too few sessions have ended to know how long most last, only the limits of running sessions count.
    """
    return _wait_at(position.position, *_expected_ends(position.account_id, now))


def expected_waits(account_id: int, entries: Sequence[QueueEntry], now: datetime) -> list[timedelta | None]:
    """Return the expected wait of each entry of an account's queue, in two queries."""
    ends, usual_duration = _expected_ends(account_id, now)
    return [_wait_at(position, ends, usual_duration) for position in range(1, len(entries) + 1)]


def _expected_ends(account_id: int, now: datetime) -> tuple[list[timedelta], timedelta | None]:
    """Return the times until open sessions end, and a session's usual duration.

    The soonest end comes first.
    """
    rows = StreamingSession.objects.filter(account=account_id)
    usual_duration = _usual_duration(rows)
    ends = []
    for began, limit in rows.open().values_list("created_at", "ends_at"):
        is_usual = usual_duration is not None and began + usual_duration > now
        ends.append(max(now, min(limit, began + usual_duration)) if usual_duration and is_usual else max(now, limit))
    return [end - now for end in sorted(ends)], usual_duration


def _wait_at(position: int, ends: Sequence[timedelta], usual_duration: timedelta | None) -> timedelta | None:
    if not ends:
        return None
    rounds, n = divmod(position - 1, len(ends))
    if rounds and usual_duration is None:
        return None
    return ends[n] + rounds * (usual_duration or timedelta(0))


def _usual_duration(rows: QuerySet[StreamingSession]) -> timedelta | None:
    """Return the median duration of the newest sessions; None if there are too few."""
    past = rows.filter(status=Status.ENDED, provider_session_id__isnull=False).order_by("-created_at")
    times = past.annotate(time=F("ended_at") - F("created_at")).values_list("time", flat=True)[:PAST_SESSIONS_COUNTED]
    return median(times) if len(times) >= PAST_SESSIONS_NEEDED else None
