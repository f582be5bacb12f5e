from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import servers


@pytest.fixture(scope="session")
def quiet_emulator() -> Iterator[servers.Emulator]:
    """Give an emulator whose rooms nobody enters: the wire is all there is."""
    with servers.emulator(media=False, args=["--control"]) as emulator:
        yield emulator


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "service" in metafunc.fixturenames:
        metafunc.parametrize("service", ["emulator", "live"] if metafunc.config.getoption("--live") else ["emulator"])
