"""Refused guests, on record."""

from __future__ import annotations

from heygen_portal.runtime import budgets
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions import errors
from sessions.models import PersonaEmbed

MAX_SITE_CHARACTERS = 255


def record(embed: PersonaEmbed, error: errors.GuestRefused, site: str, address: str | None) -> None:
    """Append an audit entry, as long as there are not too many of them.

    The log is permanent, and anybody can cause an entry. Beyond the budget, the metrics count the refusals.
    """
    try:
        budgets.spend_sync("guest_refusal", embed=embed.pk, address=address)
    except TooManyRequests:
        return
    details = {"reason": error.code, "site": site[:MAX_SITE_CHARACTERS]}
    audit_log.record_by(None, address, AuditEntry.Kind.GUEST_REFUSED, embed.persona, **details)
