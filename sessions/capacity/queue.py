"""The line for an account's places: who waits, whose turn it is, and how long it may take.

The rows are the truth. A message to a waiting tab only says "look"; a tab that hears none looks by itself, so that no
death of a worker, of beat or of Redis keeps anybody waiting.
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
from django.utils import timezone

from avatars.models import Persona, ProviderAccount
from sessions import errors
from sessions.lifecycle import broadcast
from sessions.models import QueuePlace, Status, StreamingSession

LONGEST_QUEUE = 50
"""People who may wait for one account."""
OFFER_TIMEOUT = timedelta(seconds=10)
"""How long a place is kept for the one whose turn it is; then it is the next one's."""
SLOTS_SEEN_TIMEOUT = timedelta(seconds=60)
"""How long it counts that the provider had no place for one more. Then those who wait try again."""
PAST_SESSIONS_COUNTED = 50
"""Past sessions that tell how long one lasts."""
PAST_SESSIONS_NEEDED = 5
"""Fewer tell nothing."""


@dataclass(frozen=True)
class TabAddress:
    """One browser tab: the web process that holds it, and its channel."""

    process_id: UUID
    channel: str


@dataclass(frozen=True)
class QueuePosition:
    """Where somebody stands in line. `position` is 1 for the next."""

    account_id: int
    position: int
    waiting: int
    is_offered: bool = False


def lock(account_id: int) -> ProviderAccount:
    """Hold an account: whoever gives or takes one of its places does so alone, until the transaction ends."""
    return ProviderAccount.objects.select_for_update().get(pk=account_id)


def entries_of(account_id: int) -> list[QueuePlace]:
    return list(QueuePlace.objects.filter(account=account_id))


def slots_of(account: ProviderAccount) -> int:
    """Return how many sessions may be open: what the plan allows, or fewer where the provider has just had fewer."""
    limit, seen_at = account.concurrency_limit, account.places_seen_at
    if account.places_seen is None or seen_at is None or seen_at + SLOTS_SEEN_TIMEOUT <= timezone.now():
        return limit
    return min(limit, account.places_seen)


def free_slots(account: ProviderAccount, open_sessions: int, entries: list[QueuePlace], *, is_staff: bool) -> int:
    """Return how many places somebody may have who is not in this line; those kept for a turn are not free."""
    kept = sum(entry.kept_until is not None for entry in entries)
    return slots_of(account) - open_sessions - kept - (0 if is_staff else account.staff_places)


def note_full(account_id: int) -> None:
    """The provider has no place for more than what is open of ours now, whatever the plan allows."""
    count = StreamingSession.objects.open().filter(account=account_id).count()
    ProviderAccount.objects.filter(pk=account_id).update(places_seen=count, places_seen_at=timezone.now())


def join(user_id: int, persona: Persona, tab: TabAddress) -> QueuePlace:
    """Take a place at the end of the line. Who stands in it already keeps the place, and waits in this tab from now on.

    Raises QueueFull.
    """
    account_id = persona.avatar.account_id
    with transaction.atomic():
        lock(account_id)
        entries = entries_of(account_id)
        own = next((entry for entry in entries if entry.user_id == user_id), None)
        if own is None and len(entries) >= LONGEST_QUEUE:
            raise errors.QueueFull
        broadcast.wake([entry.channel for entry in entries])
        return _save_entry(user_id, persona, tab, own)


def rejoin(user_id: int, persona: Persona, tab: TabAddress, since: datetime) -> QueuePlace:
    """Take a place before everybody who came later than this: a line may be too long only for those who are new.

    The caller holds the account.
    """
    account_id = persona.avatar.account_id
    own = QueuePlace.objects.filter(user=user_id, account=account_id).first()
    entry = _save_entry(user_id, persona, tab, own)
    QueuePlace.objects.filter(pk=entry.pk).update(created_at=since)
    entry.created_at = since
    broadcast.wake(_channels(account_id))
    return entry


def restore(lost: QueuePlace) -> None:
    """The web process that this person waits at was counted out, and lives: the place is theirs as it was.

    Not where they wait somewhere else meanwhile.
    """
    with transaction.atomic():
        lock(lost.account_id)
        if not QueuePlace.objects.filter(user=lost.user_id).exists():
            lost.pk = None
            lost.save(force_insert=True)
            broadcast.wake(_channels(lost.account_id))


def hold_slot(
    user_id: int, persona: Persona, tab: TabAddress, until: datetime, *, steps_back: bool = False
) -> QueuePlace:
    """Keep a slot for somebody whose session is about to end, so that the queue does not take it before the next opens.

    `steps_back`: where others wait, it is theirs, and this person joins the end of the queue. Raises QueueFull then.
    """
    with transaction.atomic():
        lock(persona.avatar.account_id)
        entries = entries_of(persona.avatar.account_id)
        if steps_back and any(entry.user_id != user_id for entry in entries):
            return join(user_id, persona, tab)
        own = next((entry for entry in entries if entry.user_id == user_id), None)
        return _save_entry(user_id, persona, tab, own, kept_until=until)


def _save_entry(
    user_id: int, persona: Persona, tab: TabAddress, own: QueuePlace | None, kept_until: datetime | None = None
) -> QueuePlace:
    where = {"persona": persona, "process_id": tab.process_id, "channel": tab.channel}
    if own:
        lost, own.kept_until = own.channel, kept_until or own.kept_until
        for name, value in where.items():
            setattr(own, name, value)
        own.save()
        broadcast.wake({lost} - {tab.channel})
        return own
    QueuePlace.objects.filter(user=user_id).delete()  # in another account's line
    is_staff = User.objects.filter(pk=user_id, is_staff=True).exists()
    account_id = persona.avatar.account_id
    return QueuePlace.objects.create(
        user_id=user_id, account_id=account_id, is_staff=is_staff, kept_until=kept_until, **where
    )


def leave(channel: str) -> None:
    """This tab waits no more. Safe to repeat."""
    entry = QueuePlace.objects.filter(channel=channel).first()
    if entry:
        remove(entry)


def remove(entry: QueuePlace) -> None:
    """Take somebody out of the line; the others move up. Safe to repeat."""
    with transaction.atomic():
        QueuePlace.objects.filter(pk=entry.pk).delete()
        broadcast.wake([entry.channel, *_channels(entry.account_id)])


def return_offer(channel: str) -> None:
    """The place that was kept does not exist any more: wait on, as the next one."""
    QueuePlace.objects.filter(channel=channel).update(kept_until=None)


def position_of(channel: str) -> QueuePosition | None:
    """Return where the one who waits in this tab stands, or None when nobody does any more."""
    entries = list(QueuePlace.objects.filter(account__line__channel=channel))
    own = next((entry for entry in entries if entry.channel == channel), None)
    if own is None:
        return None
    waiting = [entry for entry in entries if entry.kept_until is None]
    if own.kept_until:
        return QueuePosition(own.account_id, 0, len(waiting), is_offered=True)
    return QueuePosition(own.account_id, waiting.index(own) + 1, len(waiting))


def offer_all_slots() -> None:
    """Give everybody their turn for whom there is a place. An empty line costs one look and no write."""
    for account_id in QueuePlace.objects.order_by().values_list("account", flat=True).distinct():
        offer_slots(account_id)


def offer_slots(account_id: int) -> None:
    """Give their turn to those who are next, as many as there are places; pass by who has not taken it in time.

    Safe to call at any time and by many at once: the account's lock lets one give a place, once.
    """
    account = ProviderAccount.objects.filter(pk=account_id, line__isnull=False).first()
    if account is None or not any(_lapsed_and_next(account)):
        return  # nothing to do: nothing is locked, and nothing is written
    with transaction.atomic():
        lapsed, called = _lapsed_and_next(lock(account_id))
        QueuePlace.objects.filter(pk__in=[entry.pk for entry in lapsed]).delete()
        kept = QueuePlace.objects.filter(pk__in=[entry.pk for entry in called])
        kept.update(kept_until=timezone.now() + OFFER_TIMEOUT)
        if lapsed or called:
            broadcast.wake([*(entry.channel for entry in lapsed), *_channels(account_id)])


def _lapsed_and_next(account: ProviderAccount) -> tuple[list[QueuePlace], list[QueuePlace]]:
    """Return who has let the turn pass, and whose turn it is now. Places kept for staff may pass people by."""
    now = timezone.now()
    entries = entries_of(account.pk)
    lapsed = [entry for entry in entries if entry.kept_until and entry.kept_until <= now]
    entries = [entry for entry in entries if entry not in lapsed]
    called: list[QueuePlace] = []
    if waiting := [entry for entry in entries if entry.kept_until is None]:
        open_sessions = StreamingSession.objects.open().filter(account=account).count()
        for entry in waiting:
            if free_slots(account, open_sessions, entries, is_staff=entry.is_staff) > len(called):
                called.append(entry)
    return lapsed, called


def _channels(account_id: int) -> list[str]:
    return list(QueuePlace.objects.filter(account=account_id).values_list("channel", flat=True))


def expected_wait(position: QueuePosition, now: datetime) -> timedelta | None:
    """Return how long until their turn, or None where nothing tells.

    A session ends when most do, and at the latest at its limit; each end is one person's turn. Where too few have ended
    to know how long one lasts, only the limits tell, and those only of the sessions that run.
    """
    return _wait_at(position.position, *_expected_ends(position.account_id, now))


def expected_waits(account_id: int, entries: Sequence[QueuePlace], now: datetime) -> list[timedelta | None]:
    """Return how long each of an account's line has to wait still. Two queries, however long it is."""
    ends, lasts = _expected_ends(account_id, now)
    return [_wait_at(position, ends, lasts) for position in range(1, len(entries) + 1)]


def _expected_ends(account_id: int, now: datetime) -> tuple[list[timedelta], timedelta | None]:
    """Return in how long the account's open sessions are likely to end, the first first, and how long one lasts."""
    rows = StreamingSession.objects.filter(account=account_id)
    lasts = _usual_duration(rows)
    ends = []
    for began, limit in rows.open().values_list("created_at", "ends_at"):
        is_usual = lasts is not None and began + lasts > now
        ends.append(max(now, min(limit, began + lasts)) if lasts and is_usual else max(now, limit))
    return [end - now for end in sorted(ends)], lasts


def _wait_at(position: int, ends: Sequence[timedelta], lasts: timedelta | None) -> timedelta | None:
    if not ends:
        return None
    rounds, n = divmod(position - 1, len(ends))
    if rounds and lasts is None:
        return None
    return ends[n] + rounds * (lasts or timedelta(0))


def _usual_duration(rows: QuerySet[StreamingSession]) -> timedelta | None:
    """Return how long a session that the provider opened lasts, as a rule."""
    past = rows.filter(status=Status.ENDED, provider_session_id__isnull=False).order_by("-created_at")
    times = past.annotate(time=F("ended_at") - F("created_at")).values_list("time", flat=True)[:PAST_SESSIONS_COUNTED]
    return median(times) if len(times) >= PAST_SESSIONS_NEEDED else None
