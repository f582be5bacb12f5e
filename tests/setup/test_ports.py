from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from local import ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((ports.LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_the_usual_port_is_used_when_it_is_free() -> None:
    usual = ports.free_port()
    assert ports.choose_port("PORT", usual, {}) == (usual, "")


def test_a_taken_usual_port_is_replaced_by_a_free_one_and_said(taken: int) -> None:
    port, note = ports.choose_port("PORT", taken, {})
    assert port != taken
    assert ports.is_free(port)
    assert str(taken) in note
    assert str(port) in note


def test_a_taken_port_set_by_hand_is_an_error_with_its_name_and_the_cure(taken: int) -> None:
    with pytest.raises(ports.PortTaken, match=rf"PORT is {taken}.*set PORT to another port"):
        ports.choose_port("PORT", ports.free_port(), {"PORT": str(taken)})


@pytest.mark.parametrize("nonsense", ["abc", "0", "65536", "-1", "80 80"])
def test_what_is_no_port_is_refused(nonsense: str) -> None:
    with pytest.raises(ports.PortTaken, match="not a port"):
        ports.choose_port("PORT", 8000, {"PORT": nonsense})
