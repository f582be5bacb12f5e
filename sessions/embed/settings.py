"""Change how a persona is embedded, and its links. Each change is in the audit log."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from avatars.models import Persona
from heygen_portal.trail import change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry
from sessions.embed import origins
from sessions.lifecycle.coverage import EMBED, GUEST_LINK
from sessions.models import GuestLink, PersonaEmbed

NOT_AUDITED = ("persona",)
LINK_COLUMNS = ("label", "expires_at", "max_uses", "is_kiosk")


def of_persona(persona: Persona) -> PersonaEmbed:
    """Return the persona's embed, or a new one that is off and not stored."""
    return PersonaEmbed.objects.filter(persona=persona).first() or PersonaEmbed(persona=persona)


def save(embed: PersonaEmbed, actor: Actor) -> None:
    """Store an embed. Open sockets of guests that it no longer admits are closed by the next access check."""
    with transaction.atomic():
        before = PersonaEmbed.objects.select_for_update().filter(persona=embed.persona_id).first()
        embed.save()
        stored = PersonaEmbed.objects.get(pk=embed.pk)
        names = change_log.editable_columns(PersonaEmbed, exclude=NOT_AUDITED)
        changes = change_log.diff(before, stored, names)
        if "origins" in changes:
            changes["origins"] = [", ".join(origins.shown(each or ())) for each in changes["origins"]]
        stated = statements.changed(EMBED, before, stored)
        change_log.record(actor, AuditEntry.Kind.EMBED_CHANGED, embed.persona, changes, stated)


def delete(persona: Persona, actor: Actor) -> None:
    """Delete the embed and the links of a persona about to be deleted, if it has any."""
    with transaction.atomic():
        embed = PersonaEmbed.objects.select_for_update().filter(persona=persona).first()
        if embed is None:
            return
        stated = statements.deleted((EMBED, embed), *((GUEST_LINK, link) for link in embed.links.all()))
        change_log.record(actor, AuditEntry.Kind.EMBED_CHANGED, persona, {}, stated)
        embed.delete()


def add_link(
    persona: Persona, actor: Actor, *, label: str, lifetime: timedelta, max_uses: int, is_kiosk: bool
) -> GuestLink:
    """Create a link to a persona, which need not be embedded on any site."""
    with transaction.atomic():
        embed, is_new = PersonaEmbed.objects.get_or_create(persona=persona)
        link = GuestLink.objects.create(
            embed=embed, label=label, expires_at=timezone.now() + lifetime, max_uses=max_uses, is_kiosk=is_kiosk
        )
        stated = statements.merged(statements.state(EMBED, embed) if is_new else {}, statements.state(GUEST_LINK, link))
        change_log.record(actor, AuditEntry.Kind.GUEST_LINK_CHANGED, persona, _link_changes(None, link), stated)
    return link


def revoke_link(embed: PersonaEmbed, link_id: int, actor: Actor) -> bool:
    """Withdraw a link. Return False if there is none that may be used. Idempotent."""
    with transaction.atomic():
        link = GuestLink.objects.select_for_update().filter(pk=link_id, embed=embed, revoked_at=None).first()
        if link is None:
            return False
        link.revoked_at = timezone.now()
        link.save(update_fields=["revoked_at"])
        changes: dict[str, Any] = {"label": [link.label, link.label], "revoked_at": [None, link.revoked_at.isoformat()]}
        stated = statements.state(GUEST_LINK, link, "revoked_at")
        change_log.record(actor, AuditEntry.Kind.GUEST_LINK_CHANGED, embed.persona, changes, stated)
    return True


def _link_changes(before: GuestLink | None, after: GuestLink) -> change_log.Changes:
    changes = change_log.diff(before, after, LINK_COLUMNS)
    return changes | {"expires_at": [None, after.expires_at.isoformat()]}
