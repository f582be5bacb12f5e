from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from local import ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_a_free_default_port_is_used() -> None:
    usual = ports.free_port()
    assert ports.choose_port("PORT", usual, {}) == (usual, "")


def test_a_taken_default_port_is_replaced_with_a_note(taken: int) -> None:
    port, note = ports.choose_port("PORT", taken, {})
    assert port != taken
    assert ports.is_free(port)
    assert str(taken) in note
    assert str(port) in note


def test_a_taken_explicit_port_is_an_error_with_a_hint(taken: int) -> None:
    with pytest.raises(ports.PortTaken, match=rf"PORT is {taken}.*set PORT to another port"):
        ports.choose_port("PORT", ports.free_port(), {"PORT": str(taken)})


@pytest.mark.parametrize("nonsense", ["abc", "0", "65536", "-1", "80 80"])
def test_an_invalid_port_is_refused(nonsense: str) -> None:
    with pytest.raises(ports.PortTaken, match="not a port"):
        ports.choose_port("PORT", 8000, {"PORT": nonsense})
