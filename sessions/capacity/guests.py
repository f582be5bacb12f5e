"""Whether guests may talk, and how much. The portal's own rows decide."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet, Sum
from django.utils.crypto import salted_hmac

from avatars.models import Persona, ProviderAccount
from heygen_portal.people.access.live_access import Loss
from heygen_portal.runtime.client_address import client_network
from sessions import errors
from sessions.capacity import quotas
from sessions.lifecycle.transitions import SessionLimits
from sessions.models import (
    Conversation,
    Guest,
    GuestLink,
    LimitBy,
    OwnerId,
    PersonaEmbed,
    QueueEntry,
    Status,
    StreamingSession,
)

# How long a guest may come back to the same conversation without another link or another visit of the site.
VISIT_LIFETIME = timedelta(hours=12)
# Open sessions and queue entries of guests behind one network address, whatever the persona.
OPEN_PER_NETWORK = 10
# Guests of one network and day from which on the check against automated guests is made, where it is set to "busy".
BUSY_NETWORK_GUESTS = 10


NO_COOKIE = "visit:"


@dataclass(frozen=True)
class Visit:
    """Who a guest is, where they came from, and what they were let in by. Signed by the portal.

    `origin` is the site around the frame; it is empty for a link, whose ID is `link_id`. `device` is the keyed hash
    of a cookie, or begins with `NO_COOKIE` if the browser keeps none.
    """

    guest_id: UUID
    embed_id: int
    origin: str
    link_id: int | None
    device: str


@dataclass(frozen=True)
class GuestClaim:
    """What a guest's open socket depends on."""

    embed_id: int
    origin: str
    link_id: int | None

    @classmethod
    def of(cls, visit: Visit) -> GuestClaim:
        return cls(visit.embed_id, visit.origin, visit.link_id)


def keyed_hash(purpose: str, value: str) -> str:
    """Return a value's hash under the portal's key, which does not lead back to the value."""
    return salted_hmac(f"sessions.guests.{purpose}", value, algorithm="sha256").hexdigest()


def network_of(address: str | None) -> str:
    """Return the keyed hash of a network address: an IPv4 address or an IPv6 /64."""
    return keyed_hash("network", client_network(address or "unknown"))


def admits(embed: PersonaEmbed, claim: GuestClaim, links: Collection[int]) -> bool:
    """Whether the embed lets guests of this site or link in. `links` are the usable ones."""
    if claim.link_id is not None:
        return claim.link_id in links
    return embed.is_enabled and claim.origin in embed.origins


def losses(claims: Collection[GuestClaim]) -> dict[GuestClaim, Loss]:
    """Return the claims that no longer hold, in two queries for any number of claims."""
    rows = PersonaEmbed.objects.filter(pk__in={claim.embed_id for claim in claims})
    published = Persona.objects.published()
    embeds = rows.filter(persona__in=published).in_bulk()
    links = set(_usable_links({claim.link_id for claim in claims if claim.link_id is not None}))
    return {
        claim: Loss.PERSONA
        for claim in claims
        if claim.embed_id not in embeds or not admits(embeds[claim.embed_id], claim, links)
    }


def _usable_links(ids: Collection[int]) -> list[int]:
    return list(GuestLink.objects.usable().filter(pk__in=ids).values_list("pk", flat=True)) if ids else []


def find(owner: OwnerId) -> Guest | None:
    """Return the guest with the embed and link, or None if the owner is a user."""
    if isinstance(owner, int):
        return None
    return Guest.objects.select_related("embed", "link").get(pk=owner)


def personas_of(guest_id: UUID) -> QuerySet[Persona]:
    """Return the published persona that a guest was let in to."""
    return Persona.objects.published().filter(embed__guests=guest_id)


def loss(guest_id: UUID, persona: Persona) -> Loss | None:
    """Return why a guest may not start a session with this persona, or None."""
    guest = Guest.objects.filter(pk=guest_id, embed__persona=persona).first()
    if guest is None:
        return Loss.PERSONA
    claim = GuestClaim(guest.embed_id, guest.origin, guest.link_id)
    return losses({claim}).get(claim)


def admit(visit: Visit, address: str | None, *, has_guardian: bool) -> Guest:
    """Store a guest at their first Start. Idempotent.

    Raises AgeNeeded, NotFound.
    """
    known = Guest.objects.filter(pk=visit.guest_id).first()
    embed = PersonaEmbed.objects.filter(pk=visit.embed_id).first()
    if embed is None or (known and known.embed_id != embed.pk):
        raise errors.NotFound
    if embed.needs_guardian and not (has_guardian or (known and known.has_guardian)):
        raise errors.AgeNeeded
    if known:
        return known
    guest, _is_new = Guest.objects.get_or_create(
        pk=visit.guest_id,
        defaults={
            "embed": embed,
            "link_id": visit.link_id,
            "origin": visit.origin,
            "device": visit.device,
            "network": network_of(address),
            "has_guardian": embed.needs_guardian,
        },
    )
    return guest


def origin(guest: Guest) -> dict[str, Any]:
    """Return where a guest comes from, for the first event of a session."""
    details: dict[str, Any] = {"guest": str(guest.pk)}
    details |= {"site": guest.origin} if guest.origin else {}
    details |= {"link": guest.link.label} if guest.link else {}
    return details | ({"age_confirmed": True} if guest.has_guardian else {})


def within_limits(
    guest: Guest, bound: SessionLimits, account: ProviderAccount, now: datetime, *, is_new: bool
) -> SessionLimits:
    """Return the limits of a guest's session, reduced to what the daily cap for guests leaves.

    With `is_new`, a conversation begins, which counts for device, network, persona and link. The caller has locked the
    account's row, so no two starts take the last one. Raises VisitOver, GuestLimit, GuestsPaused.
    """
    is_kiosk = guest.link is not None and guest.link.is_kiosk  # one device for many guests
    if not is_kiosk and _open_in(guest.network) >= OPEN_PER_NETWORK:
        raise errors.GuestLimit
    if is_new:
        _require_conversation(guest, now, counts_device=not is_kiosk)
    bound = _within_cap(guest.embed, bound, account, now)
    if is_new and guest.link_id and not _use_link(guest.link_id):
        raise errors.GuestsPaused
    return bound


def _open_in(network: str) -> int:
    return StreamingSession.objects.open().filter(guest__network=network).count()


def _require_conversation(guest: Guest, now: datetime, *, counts_device: bool) -> None:
    embed, day = guest.embed, quotas.day_of(now)
    if guest.created_at + VISIT_LIFETIME <= now:  # the page was left open for long
        raise errors.VisitOver
    # Indexed by the guest's time, which is at most a visit before the conversation's.
    begun = Conversation.objects.filter(started_at__gte=day, guest__created_at__gte=day - VISIT_LIFETIME)
    here = begun.filter(guest__embed=embed)
    if counts_device:
        if here.filter(guest__device=guest.device).count() >= embed.conversations_per_device:
            raise errors.GuestLimit
        if here.filter(guest__network=guest.network).count() >= embed.conversations_per_network:
            raise errors.GuestLimit
    if here.count() >= embed.conversations_per_day:
        raise errors.GuestsPaused


def _within_cap(embed: PersonaEmbed, bound: SessionLimits, account: ProviderAccount, now: datetime) -> SessionLimits:
    rate = quotas.credits_per_minute(account)
    if embed.credits_per_day is None or not rate:
        return bound
    left = timedelta(minutes=float((embed.credits_per_day - spent_today(embed, account, now)) / rate))
    if left < quotas.MIN_SESSION_TIME:
        raise errors.GuestsPaused
    return replace(bound, duration=left, limit_by=LimitBy.GUEST_CAP) if left < bound.duration else bound


def spent_today(embed: PersonaEmbed, account: ProviderAccount, now: datetime) -> Decimal:
    """Return the credits of today's guests. Running sessions count as if they ran to their limits."""
    day = quotas.day_of(now)
    rows = StreamingSession.objects.filter(
        guest__embed=embed, guest__created_at__gte=day - VISIT_LIFETIME, created_at__gte=day
    )
    rows = rows.exclude(status=Status.ENDED, provider_session_id=None).exclude(ended_at__lt=F("opened_at"))
    time: timedelta | None = rows.aggregate(time=Sum(quotas.span_until(F("ends_at"))))["time"]
    return quotas.credits_for(account, time or timedelta(0))


def _use_link(link_id: int) -> bool:
    """Count a conversation against its link. Return False if the link is used up."""
    rows = GuestLink.objects.usable().filter(pk=link_id, uses__lt=F("max_uses"))
    return bool(rows.update(uses=F("uses") + 1))


def require_queue_room(guest_id: UUID) -> None:
    """Raise QueueFull if too many guests of this guest's network wait already."""
    network = Guest.objects.filter(pk=guest_id).values("network")[:1]
    others = QueueEntry.objects.filter(guest__network__in=network).exclude(guest=guest_id)
    if others.count() >= OPEN_PER_NETWORK:
        raise errors.QueueFull


def is_busy(embed: PersonaEmbed, address: str | None, now: datetime) -> bool:
    """Whether so many guests came from one network today that they may be automated."""
    today = Q(embed=embed, network=network_of(address), created_at__gte=quotas.day_of(now))
    return Guest.objects.filter(today).count() >= BUSY_NETWORK_GUESTS
