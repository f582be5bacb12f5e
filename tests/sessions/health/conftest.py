"""A served portal in which one conversation took place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support import conversation, servers
from tests.support.conversation import Conversation

SPOKEN = "How long may I keep the xylophone of Zacatecas?"


@dataclass(frozen=True)
class Observed:
    portal: servers.Portal
    conversation: Conversation


@pytest.fixture(scope="session")
def observed() -> Iterator[Observed]:
    """Yield a portal after one conversation, in which the user wrote `SPOKEN`."""
    env = {"METRICS_SECONDS": "1"}
    with servers.emulator(media=False) as emulator, servers.portal(emulator, env=env) as portal:
        yield Observed(portal, conversation.hold(portal, SPOKEN))
