"""Let a guest's page in: from the page's request to a visit and a token for its socket."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core import signing
from django.db.models import Q

from avatars.models import Persona
from heygen_portal.postgresql import clock
from heygen_portal.runtime import budgets
from sessions import errors
from sessions.capacity import guests
from sessions.capacity.guests import GuestClaim, Visit
from sessions.embed import challenge, refusals, tokens
from sessions.models import Guest, GuestLink, PersonaEmbed

# How often the time is stored at which a site last showed the persona.
SEEN_INTERVAL = timedelta(minutes=1)
LINK_SALT = "sessions.embed.link"


@dataclass(frozen=True)
class Admission:
    """A guest who was let in. `token` opens one socket; `visit` gets further ones."""

    visit: Visit
    visit_token: str
    socket_token: str


def find_embed(public_id: str) -> PersonaEmbed | None:
    """Return the embed of a published persona, whether sites may show it or not."""
    rows = PersonaEmbed.objects.select_related("persona__avatar__account", "persona__organisation")
    embed = rows.filter(public_id=public_id, persona__in=Persona.objects.published()).first()
    return embed if embed and embed.persona.avatar.account.known_capabilities is not None else None


def signed_code(link: GuestLink) -> str:
    """Return what a link's address contains."""
    return _link_signer().sign(link.code)


def find_link(signed: str) -> GuestLink | None:
    """Return the link of an address, usable or not; None for a made-up one, without asking the database."""
    try:
        code = _link_signer().unsign(signed)
    except signing.BadSignature:
        return None
    rows = GuestLink.objects.select_related("embed__persona__avatar__account", "embed__persona__organisation")
    return rows.filter(code=code, embed__persona__in=Persona.objects.published()).first()


def _link_signer() -> signing.Signer:
    return signing.Signer(salt=LINK_SALT, sep=".")


def device_hash(cookie: str) -> str:
    """Return the keyed hash of a device's cookie; empty without one."""
    return guests.keyed_hash("device", cookie) if cookie else ""


def admit(embed: PersonaEmbed, request: Mapping[str, Any], *, device: str, address: str | None) -> Admission:
    """Let a page in, or back in.

    `request` is what the page says: the site around it or its link, its earlier visit, and the answer to a challenge.
    Raises TooManyRequests, GuestRefused, which is put on record, and ChallengeNeeded.
    """
    budgets.spend_sync("guest_visit", address=address)
    site = str(request.get("origin", ""))
    try:
        link_id = _link_id(embed, str(request["link"])) if request.get("link") else None
        if link_id is None:
            _require_site(embed, site)
        visit = _earlier_visit(embed, request, device)
    except errors.GuestRefused as exc:
        refusals.record(embed, exc, site, address)
        raise
    visit_token = str(request.get("visit"))  # never signed again: a visit ends after its lifetime
    if visit is None or (visit.origin, visit.link_id) != ("" if link_id else site, link_id):
        _require_answer(embed, request, address)
        visit = tokens.new_visit(embed.pk, "" if link_id else site, link_id, device or _new_device())
        visit_token = tokens.sign_visit(visit)
    if link_id is None:
        _note_seen(embed, site)
    return Admission(visit, visit_token, tokens.sign_socket_token(visit))


def _new_device() -> str:
    """Return a device for a browser that keeps no cookie: each visit is a device of its own."""
    return f"{guests.NO_COOKIE}{secrets.token_hex(16)}"


def _link_id(embed: PersonaEmbed, signed: str) -> int:
    link = find_link(signed)
    if link is None or link.embed_id != embed.pk:
        raise errors.LinkUnusable
    claim = GuestClaim(embed.pk, "", link.pk)
    if guests.losses({claim}):
        raise errors.LinkUnusable
    return link.pk


def _require_site(embed: PersonaEmbed, site: str) -> None:
    if not guests.admits(embed, GuestClaim(embed.pk, site, None), links=()):
        raise errors.OriginRefused


def _earlier_visit(embed: PersonaEmbed, request: Mapping[str, Any], device: str) -> Visit | None:
    token = request.get("visit")
    if not token:
        return None
    try:
        return tokens.read_visit(str(token), embed.pk, device)
    except errors.TokenExpired:
        return None  # the guest stayed away for long, and is a new one


def _require_answer(embed: PersonaEmbed, request: Mapping[str, Any], address: str | None) -> None:
    """Raise ChallengeNeeded unless the page has answered one, or needs none."""
    kind = PersonaEmbed.Challenge(embed.challenge)
    is_needed = kind == kind.ALWAYS or (kind == kind.BUSY and guests.is_busy(embed, address, clock.now()))
    about = f"{embed.pk} {guests.network_of(address)}"
    if is_needed and not challenge.is_answered(request.get("answer"), about):
        raise errors.ChallengeNeeded({"challenge": challenge.issue(about)})


def _note_seen(embed: PersonaEmbed, site: str) -> None:
    now = clock.now()
    is_recent = Q(seen_origin=site, seen_at__gt=now - SEEN_INTERVAL)
    PersonaEmbed.objects.filter(pk=embed.pk).exclude(is_recent).update(seen_origin=site, seen_at=now)


def own_visit(embed: PersonaEmbed, token: str, device: str) -> Visit:
    """Return the visit of a guest who leaves, or erases what they said.

    It is valid for a whole visit from their first Start: a kiosk's page may have waited for long before. Raises
    GuestRefused.
    """
    try:
        return tokens.read_visit(token, embed.pk, device)
    except errors.TokenExpired:
        visit = tokens.read_visit(token, embed.pk, device, lifetime=None)
        began = Q(pk=visit.guest_id, created_at__gt=clock.now() - guests.VISIT_LIFETIME)
        if not Guest.objects.filter(began).exists():
            raise
        return visit


def open_socket(embed: PersonaEmbed, token: str, *, device: str, address: str | None) -> Visit:
    """Return the visit of a socket's token, if it still may talk.

    Raises GuestRefused, which is put on record.
    """
    site = ""
    try:
        visit = tokens.redeem(token, embed.pk, device)
        site = visit.origin
        if guests.losses({GuestClaim.of(visit)}):
            raise errors.LinkUnusable if visit.link_id else errors.OriginRefused
    except errors.GuestRefused as exc:
        refusals.record(embed, exc, site, address)
        raise
    return visit
