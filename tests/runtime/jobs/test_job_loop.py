"""A worker process uses one event loop for all its jobs."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import timedelta

import pytest

from heygen_portal.runtime.jobs import job_loop
from heygen_portal.runtime.jobs.job_loop import JobTimeout
from local.paths import ROOT

LONG = timedelta(minutes=1)
mark: ContextVar[str] = ContextVar("mark")


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    job_loop.close()


async def the_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_jobs_share_one_loop() -> None:
    assert job_loop.run(the_loop(), LONG) is job_loop.run(the_loop(), LONG)


def test_a_job_and_its_caller_share_no_context_variables() -> None:
    async def job() -> str:
        seen = mark.get("nothing")
        mark.set("of the job")
        return seen

    def call() -> tuple[str, str, str]:
        mark.set("of the caller")
        return job_loop.run(job(), LONG), job_loop.run(job(), LONG), mark.get()

    assert contextvars.copy_context().run(call) == ("nothing", "nothing", "of the caller")


def test_a_job_that_fails_raises_at_its_caller_and_the_next_one_runs() -> None:
    async def job() -> None:
        raise LookupError("the job's own")

    with pytest.raises(LookupError, match="the job's own"):
        job_loop.run(job(), LONG)
    assert job_loop.run(the_loop(), LONG).is_running()


def test_a_jobs_own_timeout_error_is_passed_on() -> None:
    async def job() -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        job_loop.run(job(), LONG)


def test_a_job_that_takes_too_long_is_cancelled() -> None:
    cancelled = threading.Event()

    async def job() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(JobTimeout, match="job"):
        job_loop.run(job(), timedelta(0))
    assert cancelled.wait(5)


def test_a_blocked_loop_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_loop, "ANSWER_TIMEOUT_S", 0.01)
    stuck = job_loop.run(the_loop(), LONG)
    released = threading.Event()

    async def job() -> None:
        released.wait()

    try:
        with pytest.raises(JobTimeout):
            job_loop.run(job(), timedelta(seconds=0.01))
        assert job_loop.run(the_loop(), LONG) is not stuck
    finally:
        released.set()


def test_closing_awaits_cleanup_hooks_and_cancels_remaining_tasks() -> None:
    happened: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            happened.append("cancelled")

    async def begin() -> asyncio.Task[None]:
        return asyncio.create_task(endless())

    async def fails() -> None:
        happened.append("failed")
        raise OSError

    async def farewell() -> None:
        happened.append("closed")

    task = job_loop.run(begin(), LONG)  # keep a reference, because the loop holds none
    before = job_loop.run(the_loop(), LONG)
    job_loop.close(fails, farewell)
    assert (happened, before.is_closed(), task.cancelled()) == (["failed", "closed", "cancelled"], True, True)
    assert job_loop.run(the_loop(), LONG) is not before


FORK = """
import asyncio, os
from datetime import timedelta
from heygen_portal.runtime.jobs import job_loop

async def number():
    return os.getpid()

assert job_loop.run(number(), timedelta(seconds=20)) == os.getpid()
child = os.fork()
if child == 0:
    os._exit(0 if job_loop.run(number(), timedelta(seconds=20)) == os.getpid() else 1)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_process_has_a_loop_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", FORK], check=True, cwd=ROOT)
