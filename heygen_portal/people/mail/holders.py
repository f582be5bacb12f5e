"""The mail addresses of everybody who has a permission."""

from __future__ import annotations

from heygen_portal.models import holders_of


def addresses(permission: str) -> list[str]:
    """Return the addresses of active users with a permission, by a role or of their own."""
    return sorted({user.email for user in holders_of(permission) if user.is_active and user.email})
