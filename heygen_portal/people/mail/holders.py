"""Mail addresses of all users who have a permission."""

from __future__ import annotations

from heygen_portal.models import holders_of


def addresses(permission: str) -> list[str]:
    """Return the addresses of active users with a permission.

    It may come from a role or be individual.
    """
    return sorted({user.email for user in holders_of(permission) if user.is_active and user.email})
