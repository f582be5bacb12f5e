from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import servers
from tests.emulator.live_wire import LiveWire
from tests.emulator.wire import Wire


@pytest.fixture(scope="session")
def bare_emulator() -> Iterator[servers.Emulator]:
    """Give an emulator without media, open to control: the wire is all there is."""
    with servers.emulator(media=False, args=["--control"]) as emulator:
        yield emulator


@pytest.fixture
def wire(bare_emulator: servers.Emulator) -> Iterator[Wire]:
    """Give a client of an emulator that is as freshly started."""
    with Wire(bare_emulator.url, bare_emulator.api_key) as wire:
        wire.control("reset")
        yield wire


@pytest.fixture
def live(bare_emulator: servers.Emulator) -> Iterator[LiveWire]:
    """Give a client of the same emulator's LiveAvatar side."""
    with LiveWire(bare_emulator.url, bare_emulator.api_key) as live:
        live.control("reset")
        yield live
