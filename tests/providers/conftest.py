from __future__ import annotations

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "service" in metafunc.fixturenames:
        metafunc.parametrize("service", ["emulator", "live"] if metafunc.config.getoption("--live") else ["emulator"])
