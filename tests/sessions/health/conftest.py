"""A served portal in which one conversation took place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support import conversation, servers, trace_receiver
from tests.support.conversation import Conversation
from tests.support.trace_receiver import Receiver

SPOKEN = "How long may I keep the xylophone of Zacatecas?"


@dataclass(frozen=True)
class Observed:
    portal: servers.Portal
    conversation: Conversation
    receiver: Receiver


@pytest.fixture(scope="session")
def observed() -> Iterator[Observed]:
    """Yield a portal after one conversation, in which the user wrote `SPOKEN`."""
    with ExitStack() as stack:
        receiver = stack.enter_context(trace_receiver.run())
        env = {
            "METRICS_SECONDS": "1",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "DEBUG",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        emulator = stack.enter_context(servers.emulator(media=False))
        portal = stack.enter_context(servers.portal(emulator, env=env))
        yield Observed(portal, conversation.hold(portal, SPOKEN), receiver)
