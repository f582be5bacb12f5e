"""What the provider's own list says of a session, for whoever asks: "is it live there?" """

from __future__ import annotations

from avatars.models import ProviderAccount
from heygen_portal import providers
from heygen_portal.providers.contract.provider import OpenSession
from sessions.capacity import provider_lookups


async def find_at_provider(account: ProviderAccount, provider_session_id: str | None) -> OpenSession | None:
    """Return the provider's row of a session, or None when nothing runs there. Raises ProviderError."""
    async with providers.opened(account) as provider:
        return provider_lookups.find(await provider.list_sessions(), provider_session_id)
