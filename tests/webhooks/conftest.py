"""A receiver on this machine, shared by the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings

from tests.webhooks.receiver import Receiver, receiver


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def crm(shared_receiver: Receiver) -> Receiver:
    """Return a receiver that accepts everything."""
    shared_receiver.clear()
    return shared_receiver


@pytest.fixture
def at_home() -> Iterator[None]:
    """Serve this machine only: messages may then go to it, also without TLS."""
    with override_settings(ALLOWED_HOSTS=["127.0.0.1"]):
        yield
