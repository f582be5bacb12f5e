"""A check that may hang takes one thread; callers share its answer."""

from __future__ import annotations

import asyncio
import threading

import pytest

from heygen_portal.health.probe import Probe


@pytest.mark.asyncio
async def test_simultaneous_callers_share_one_answer() -> None:
    calls, answer_now = [], threading.Event()

    def read() -> str:
        calls.append(1)
        answer_now.wait()
        return "ok"

    probe = Probe(read)
    with pytest.raises(TimeoutError):
        await probe.ask(0)
    callers = [asyncio.create_task(probe.ask(60)) for _ in range(3)]
    await asyncio.sleep(0)  # let all of them ask
    answer_now.set()
    assert await asyncio.gather(*callers) == ["ok"] * 3
    assert len(calls) == 1
    assert (await probe.ask(60), len(calls)) == ("ok", 2)


@pytest.mark.asyncio
async def test_every_caller_learns_of_a_failure() -> None:
    def read() -> str:
        raise OSError("gone")

    probe = Probe(read)
    for outcome in await asyncio.gather(probe.ask(60), probe.ask(60), return_exceptions=True):
        assert isinstance(outcome, OSError)
