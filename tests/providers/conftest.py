from __future__ import annotations

import httpx
import pytest

from heygen_portal.providers.heygen.provider import HeyGen
from tests.providers.heygen_wire import KEY, Wire


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "service" in metafunc.fixturenames:
        metafunc.parametrize("service", ["emulator", "live"] if metafunc.config.getoption("--live") else ["emulator"])


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def heygen(wire: Wire) -> HeyGen:
    return HeyGen("https://api.test", KEY, transport=httpx.MockTransport(wire))


@pytest.fixture
def bearer(wire: Wire) -> HeyGen:
    return HeyGen("https://api.test", KEY, is_bearer=True, transport=httpx.MockTransport(wire))
