"""Check whether users of open sockets may still talk with their personas."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from django.contrib.auth.models import User
from django.db import connection

from avatars.models import Persona
from heygen_portal.people.access import live_access
from heygen_portal.people.access.live_access import Claim, Condition, Loss
from sessions.capacity import guests
from sessions.capacity.guests import GuestClaim


def loss(claim: Claim | GuestClaim) -> Loss | None:
    """Return why one claim no longer holds, as `losses` does, or None if it holds.

    One query for a user: each text pays for it.
    """
    if isinstance(claim, GuestClaim):
        return guests.losses({claim}).get(claim)
    ids = sorted(claim.persona_ids)
    published = Persona.Status.PUBLISHED.value
    more = Condition(_may_talk(len(ids)), [published, *ids, len(ids)], Loss.PERSONA) if ids else None
    return live_access.loss(claim, more)


def losses(claims: Collection[Claim | GuestClaim]) -> dict[Claim | GuestClaim, Loss]:
    """Return the claims that no longer hold, including withdrawn personas.

    Other losses are those of `live_access.losses`.
    """
    of_users = [claim for claim in claims if isinstance(claim, Claim)]
    of_guests = {claim for claim in claims if isinstance(claim, GuestClaim)}
    lost = (_losses_of_users(of_users) if of_users else {}, guests.losses(of_guests) if of_guests else {})
    return {claim: loss for found in lost for claim, loss in found.items()}


def _losses_of_users(claims: Collection[Claim]) -> dict[Claim, Loss]:
    lost = live_access.losses(claims)
    personas = frozenset().union(*(claim.persona_ids for claim in claims))
    limited = personas - _without_group_limit(sorted(personas))
    if limited:
        asking = [claim for claim in claims if claim.persona_ids & limited]
        groups = Persona.groups.through.objects.filter(persona__in=limited, persona__status=Persona.Status.PUBLISHED)
        people = {claim.user_id for claim in asking}
        rows = groups.filter(group__user__in=people).values_list("group__user", "persona_id")
        may = set(rows)
        for claim in asking:
            if any((claim.user_id, persona) not in may for persona in claim.persona_ids & limited):
                lost.setdefault(claim, Loss.PERSONA)
    return lost


def _without_group_limit(ids: list[int]) -> set[int]:
    """Return the published personas without a group limit."""
    if not ids:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(_select(len(ids)), [Persona.Status.PUBLISHED.value, *ids])
        return {pk for (pk,) in cursor.fetchall()}


PERSONA_TABLE, PERSONA_GROUP_TABLE = Persona._meta.db_table, Persona.groups.through._meta.db_table
USER_GROUP_TABLE = User.groups.through._meta.db_table


@lru_cache(maxsize=64)
def _select(personas: int) -> str:
    return f"""
        SELECT p.id FROM {_published(personas)}
        AND NOT EXISTS (SELECT 1 FROM {PERSONA_GROUP_TABLE} AS held WHERE held.persona_id = p.id)
    """


@lru_cache(maxsize=8)
def _may_talk(personas: int) -> str:
    """Return the condition that the user `u` may talk with all of so many personas."""
    return f"""
        (SELECT COUNT(*) FROM {_published(personas)} AND (
            NOT EXISTS (SELECT 1 FROM {PERSONA_GROUP_TABLE} AS held WHERE held.persona_id = p.id)
            OR EXISTS (
                SELECT 1 FROM {PERSONA_GROUP_TABLE} AS held JOIN {USER_GROUP_TABLE} AS m ON m.group_id = held.group_id
                WHERE held.persona_id = p.id AND m.user_id = u.id
            )
        )) = %s
    """


def _published(personas: int) -> str:
    return f"{PERSONA_TABLE} AS p WHERE p.status = %s AND p.id IN ({', '.join(['%s'] * personas)})"
