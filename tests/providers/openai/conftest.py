from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from heygen_portal.providers.openai.client import ModelClient
from tests.emulator.wire import Wire
from tests.support import servers


@pytest.fixture
def wire(fresh_emulator: servers.Emulator) -> Iterator[Wire]:
    with Wire(fresh_emulator.url, fresh_emulator.api_key) as wire:
        yield wire


@pytest.fixture
async def client(wire: Wire) -> AsyncIterator[ModelClient]:
    client = ModelClient(f"{wire.url}/v1", wire.api_key, first_token_timeout_s=30, total_timeout_s=30)
    yield client
    await client.aclose()


@pytest.fixture
async def hasty(wire: Wire) -> AsyncIterator[ModelClient]:
    """Give a client that waits at most a second for a token."""
    client = ModelClient(f"{wire.url}/v1", wire.api_key, first_token_timeout_s=1, total_timeout_s=30)
    yield client
    await client.aclose()
