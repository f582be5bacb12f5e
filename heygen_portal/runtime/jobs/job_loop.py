"""The event loop in which a worker process runs all its asynchronous jobs.

A loop per job would open and close the connections to providers each time. It would also leak a context variable per
job: asgiref stores its thread-critical locals per thread, and `async_to_sync` copies them back into the caller's
context. The loop runs in its own thread, so connections stay alive between jobs, and a job whose loop hangs still ends
at its timeout.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context
from datetime import timedelta
from typing import Any, TypeVar

from heygen_portal.runtime import logs

logger = logging.getLogger(__name__)

T = TypeVar("T")
CleanupHook = Callable[[], Coroutine[Any, Any, None]]

EXECUTOR_THREADS = 8
"""Each thread may keep a database connection. Python's default grows with the machine."""
ANSWER_TIMEOUT_S = 2
CLEANUP_TIMEOUT_S = 3
CLOSE_TIMEOUT_S = 5
"""Supervisors send SIGKILL ten seconds after SIGTERM."""


class JobTimeout(Exception):
    """A job exceeded its timeout and was cancelled."""


class _LoopThread:
    """One event loop in one daemon thread."""

    def __init__(self) -> None:
        self._cleanup_hooks: tuple[CleanupHook, ...] = ()
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="jobs", daemon=True)
        self._thread.start()
        self.loop = started.result()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _serve(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner() as runner:  # cancels remaining tasks and closes the channel layer's connections
            try:
                loop = runner.get_loop()
                loop.set_default_executor(ThreadPoolExecutor(EXECUTOR_THREADS, thread_name_prefix="job"))
                self._ended = asyncio.Event()
            except BaseException as exc:
                started.set_exception(exc)
                raise
            started.set_result(loop)
            runner.run(self._wait_for_end())

    async def _wait_for_end(self) -> None:
        await self._ended.wait()
        for hook in self._cleanup_hooks:
            try:
                async with asyncio.timeout(CLEANUP_TIMEOUT_S):
                    await hook()
            except Exception:
                logger.exception("a cleanup hook of the worker failed")

    def end(self) -> None:
        """Ask the loop to end as soon as it can."""
        self.loop.call_soon_threadsafe(self._ended.set)

    def close(self, cleanup_hooks: tuple[CleanupHook, ...]) -> None:
        self._cleanup_hooks = cleanup_hooks
        self.end()
        self._thread.join(CLOSE_TIMEOUT_S)


_current: _LoopThread | None = None
_starting = threading.Lock()


def run(work: Coroutine[Any, Any, T], timeout: timedelta) -> T:
    """Run a coroutine in this process's loop and return its result.

    Do not call from an event loop.

    Raises JobTimeout after `timeout`. Any exception that interrupts the wait cancels the coroutine.
    """
    # A new Context: context variables leak neither from the job nor into it, except those of its log lines.
    current, context = _current_loop(), Context()
    context.run(logs.carried())
    running = context.run(asyncio.run_coroutine_threadsafe, work, current.loop)
    try:
        return running.result(timeout.total_seconds())
    except TimeoutError:
        if running.done():
            raise  # raised by the job itself
        name = getattr(work, "__qualname__", "a job")
        raise JobTimeout(f"{name} was cancelled after {timeout}") from None
    finally:
        if running.cancel():
            _replace_if_stuck(current)


def close(*cleanup_hooks: CleanupHook) -> None:
    """Await the hooks in the loop, then end it.

    Does nothing without a loop; a later `run` starts another.
    """
    global _current
    with _starting:
        ended, _current = _current, None
    if ended:
        ended.close(cleanup_hooks)


def _current_loop() -> _LoopThread:
    global _current
    with _starting:
        if _current is None or not _current.is_alive:
            _current = _LoopThread()
        return _current


def _replace_if_stuck(current: _LoopThread) -> None:
    """Abandon a loop that does not respond. The next job gets a new one."""
    global _current
    answered = threading.Event()
    current.loop.call_soon_threadsafe(answered.set)
    if not answered.wait(ANSWER_TIMEOUT_S):
        logger.error("the job event loop is blocked; the next job gets a new one")
        with _starting:
            if _current is current:
                _current = None
        current.end()


def _reset_after_fork() -> None:
    """Let a forked child start its own loop: a fork copies no threads."""
    global _current, _starting
    _current, _starting = None, threading.Lock()


os.register_at_fork(after_in_child=_reset_after_fork)
