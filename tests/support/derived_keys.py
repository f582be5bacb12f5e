"""The keys that encrypted fields derive from the settings."""

from __future__ import annotations

from avatars.models import ProviderAccount
from heygen_portal.people.sign_in.adapters import ENCRYPTION


def forget() -> None:
    """Make encrypted fields derive their keys again, as a new process does."""
    for field in (ProviderAccount._meta.get_field("api_key"), ENCRYPTION):
        for name in ("keys", "f"):
            vars(field).pop(name, None)
