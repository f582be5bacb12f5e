"""The portal's services, advanced one step at a time by a test.

A step is one short database function, or one call of the provider's. Between any two of them anything may happen:
other work, a crash of the process that does it, minutes of time. Nothing runs on its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from heygen_portal.providers.contract.provider import (
    Delivered,
    LimitReached,
    OpenSession,
    ProviderRejected,
    ProviderSession,
    ProviderUnreachable,
    RoomAccess,
    SessionGone,
    StopReason,
)

LONGEST_CALL = timedelta(seconds=35)
"""Our clients give up on a call after this time."""
DEPTH = 25
"""Turns of the event loop after which all work waits for a step: no await here is nested deeper."""


@dataclass(eq=False)
class Process:
    """A web or worker process: its work ends when it is killed."""

    name: str
    is_alive: bool = True


_process: ContextVar[Process] = ContextVar("process")
working_for: ContextVar[UUID | None] = ContextVar("working_for", default=None)
"""The session that is being created: a session that the provider creates meanwhile belongs to it."""


@dataclass(eq=False)
class Step:
    """A database function that is about to run."""

    process: Process
    run: Callable[[], Any]
    answer: asyncio.Future[Any]


@dataclass(eq=False)
class Call:
    """A request on its way to the provider, or its response on the way back.

    The provider may already have acted on the request.
    """

    process: Process
    path: str
    provider_session_id: str
    effect: Callable[[], Any]
    answer: asyncio.Future[Any]
    sent_at: datetime = field(default_factory=timezone.now)
    outcome: Any = None
    is_taken: bool = False

    def take(self) -> None:
        """Let the provider act on it, once; its result is kept for the response."""
        if not self.is_taken:
            self.is_taken = True
            try:
                self.outcome = self.effect()
            except ProviderRejected as refusal:
                self.outcome = refusal


class Simulation:
    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.steps: list[Step] = []
        self.calls: list[Call] = []
        self.tasks: set[asyncio.Task[None]] = set()

    # The services' view

    def in_thread(self, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """Replace `in_thread`: the function runs when its step is taken."""

        def wait(*args: Any, **kwargs: Any) -> Awaitable[Any]:
            step = Step(_process.get(), lambda: function(*args, **kwargs), self.loop.create_future())
            if step.process.is_alive:
                self.steps.append(step)
            return step.answer

        return wait

    def call(self, path: str, effect: Callable[[], Any], provider_session_id: str = "") -> Awaitable[Any]:
        call = Call(_process.get(), path, provider_session_id, effect, self.loop.create_future())
        if call.process.is_alive:
            self.calls.append(call)
        return call.answer

    # The owner's view

    def spawn(self, process: Process, work: Coroutine[Any, Any, None]) -> None:
        """Let a process start some work; it waits at its first step."""

        async def begin() -> None:
            _process.set(process)
            await work

        task = self.loop.create_task(begin())
        self.tasks.add(task)
        self._settle()

    def take_step(self, step: Step) -> None:
        self.steps.remove(step)
        try:
            step.answer.set_result(step.run())
        except Exception as exc:  # noqa: BLE001 - raised where the step is awaited
            step.answer.set_exception(exc)
        self._settle()

    def answer(self, call: Call, *, is_lost: bool = False) -> None:
        """Deliver the provider's response, or lose it.

        The provider acts on the call unless the request was lost.
        """
        self.calls.remove(call)
        if not is_lost:
            call.take()
        if call.process.is_alive:
            outcome = ProviderUnreachable("ReadTimeout") if is_lost else call.outcome
            if isinstance(outcome, Exception):
                call.answer.set_exception(outcome)
            else:
                call.answer.set_result(outcome)
        self._settle()

    def refuse(self, call: Call) -> None:
        """Refuse the call without effect."""
        self.calls.remove(call)
        if call.process.is_alive:
            call.answer.set_exception(LimitReached("too many", code="10007", status=429))
        self._settle()

    def kill(self, process: Process) -> None:
        """End a process between two steps.

        Its requests to the provider are on their way all the same.
        """
        process.is_alive = False
        self.steps = [step for step in self.steps if step.process.is_alive]

    def close(self) -> None:
        """End the remaining work; raise the failure of any process that was not killed."""
        for step in self.steps:
            step.process.is_alive = False
        while unfinished := asyncio.all_tasks(self.loop):  # repeated, because some clean up and wait for that in turn
            for task in unfinished:
                task.cancel()
            self._settle()
        self.loop.close()

    def _settle(self) -> None:
        """Let all work advance to its next step. Raises failures."""
        for _ in range(DEPTH):
            self.loop.run_until_complete(asyncio.sleep(0))
        done = {task for task in self.tasks if task.done()}
        self.tasks -= done
        for task in done:
            if not task.cancelled() and (wrong := task.exception()):
                raise wrong


class RememberingProvider:
    """A provider account that remembers open sessions and requested stops."""

    def __init__(self, simulation: Simulation, prefix: str, *, places: int) -> None:
        self._simulation = simulation
        self._prefix = prefix
        self._places = places
        self._count = 0
        self.open: dict[str, datetime] = {}
        self.asked_to_stop: list[str] = []
        self.made_for: dict[str, UUID | None] = {}

    def order(self, name: str = "session") -> str:
        """Create a session; return its ID. Raises LimitReached."""
        if len(self.open) >= self._places:
            raise LimitReached("full", code="10007", status=429)
        self._count += 1
        provider_session_id = f"{self._prefix}-{name}-{self._count}"
        self.open[provider_session_id] = timezone.now()
        return provider_session_id

    async def new_session(self, request: Any) -> ProviderSession:
        whose = working_for.get()
        answer: ProviderSession = await self._simulation.call("new", lambda: self._new(whose))
        return answer

    def _new(self, whose: UUID | None) -> ProviderSession:
        name = self.order()
        self.made_for[name] = whose
        return ProviderSession(name, RoomAccess("ws://rooms.test", "t"), timedelta(minutes=10), credential="t")

    async def start_session(self, session: ProviderSession) -> ProviderSession:
        await self._on(session.provider_session_id, "start", lambda: None)
        return session

    async def send_task(self, provider_session_id: str, **task: Any) -> Delivered:
        await self._on(provider_session_id, "task", lambda: None)
        return Delivered("their-task")

    async def keep_alive(self, provider_session_id: str) -> None:
        await self._on(provider_session_id, "keep_alive", lambda: None)

    async def stop_session(self, provider_session_id: str, why: StopReason = StopReason.CLOSED) -> None:
        self.asked_to_stop.append(provider_session_id)
        await self._on(provider_session_id, "stop", lambda: self.open.pop(provider_session_id))

    async def list_sessions(self) -> list[OpenSession]:
        listed: list[OpenSession] = await self._simulation.call("list", self._list)
        return listed

    def _list(self) -> list[OpenSession]:
        return [OpenSession(provider_session_id, "connected", at) for provider_session_id, at in self.open.items()]

    async def _on(self, provider_session_id: str, path: str, effect: Callable[[], Any]) -> None:
        def on_open() -> None:
            if provider_session_id not in self.open:
                raise SessionGone("closed", code="10005", status=400)
            effect()

        await self._simulation.call(path, on_open, provider_session_id)
