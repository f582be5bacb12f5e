from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulator.liveavatar_wire import LiveAvatarWire
from tests.emulator.wire import Wire
from tests.support import servers


@pytest.fixture
def wire(fresh_emulator: servers.Emulator) -> Iterator[Wire]:
    """Give a client of an emulator that is as freshly started."""
    with Wire(fresh_emulator.url, fresh_emulator.api_key) as wire:
        yield wire


@pytest.fixture
def live(fresh_emulator: servers.Emulator) -> Iterator[LiveAvatarWire]:
    """Give a client of the same emulator's LiveAvatar side."""
    with LiveAvatarWire(fresh_emulator.url, fresh_emulator.api_key) as live:
        yield live
