"""Uploads that are announced and never sent take few places, and give them back."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from heygen_portal.server import limits
from tests.attacks.raw import answer, connected, exchange, head
from tests.servers import Web

PATH = "/admin/avatars/knowledgebase/import/"
MOST_AT_ONCE = 8
MIB = 1024 * 1024


@pytest.mark.parametrize(
    "announced",
    [f"Content-Length: {15 * MIB}", f"Content-Length: {MIB + 1}", "Transfer-Encoding: chunked"],
)
def test_strangers_hold_few_large_uploads_open(web: Web, announced: str) -> None:
    asked = head("POST", PATH, [announced])
    with ExitStack() as held:
        for _ in range(MOST_AT_ONCE):
            held.enter_context(connected(web)).sendall(asked)
        assert exchange(web, asked).startswith("HTTP/1.1 503 ")
        small = exchange(web, head("POST", PATH, ["Content-Length: 1"]), b"x")
        assert small.startswith(("HTTP/1.1 302 ", "HTTP/1.1 403 "))
    with connected(web) as later:  # those places are free again
        later.sendall(head("POST", PATH, [f"Content-Length: {MIB + 1}"]))
        later.sendall(b"x" * (MIB + 1))
        assert answer(later).startswith(("HTTP/1.1 302 ", "HTTP/1.1 403 "))


def test_a_large_upload_may_not_take_longer_than_its_size_explains() -> None:
    assert limits.seconds_to_send(16 * MIB) <= 90
    assert limits.seconds_to_send(MIB) == limits.seconds(MIB)
