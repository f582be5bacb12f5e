"""Look up a session in the provider's own list."""

from __future__ import annotations

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.contract.provider import OpenSession
from sessions.capacity import provider_lookups


async def find_at_provider(account: ProviderAccount, provider_session_id: str | None) -> OpenSession | None:
    """Return the provider's entry for a session, or None if it is not running there.

    Raises ProviderError.
    """
    async with providers.opened(account) as provider:
        return provider_lookups.find(await provider.list_sessions(), provider_session_id)
