"""What goes wrong while users talk: processes die or stand still, networks deliver nothing, the disk is full."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bench import _process
from bench._two_machines import Machine, Site
from local import processes
from local.processes import Child, StartFailed
from tests.support import servers

LOST_SHARE = 0.05
# Of the model's answers; together one in four fails.
MODEL_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "stream_cut", "after": 6, "share": 0.05},
    {"kind": "stream_stall", "after": 6, "share": 0.03},
    {"kind": "stream_error", "after": 3, "share": 0.03},
    {"kind": "stream_garbled", "after": 3, "share": 0.04},
    {"kind": "answer", "status": 500, "on": "chat/completions", "share": 0.05},
    {"kind": "answer", "error": "rate_limit_exceeded", "on": "chat/completions", "share": 0.05},
)
BETWEEN_KILLS_S = (4, 10)
DOWN_S = (0, 2)
FROZEN_S = (10, 60)
BETWEEN_FREEZES_S = (5, 15)
SMALL_DISK, LARGE_DISK = "4k", "256m"


@dataclass
class Faults:
    """Causes faults until it is told to end, and remembers them."""

    site: Site
    emulator: servers.Emulator
    livekit: servers.LiveKit | None
    chance: random.Random
    of_model: bool = False
    """Whether the model fails, too."""
    counts: Counter[str] = field(default_factory=Counter)
    outages: list[tuple[float, float]] = field(default_factory=list)
    """When database or provider did not answer, in seconds since 1970."""
    lasted: dict[str, float] = field(default_factory=dict)
    """Seconds that each session lasted at the provider, which forgets them when it is killed."""

    async def run(self, continues: Callable[[], bool]) -> None:
        """Cause faults while `continues` says so. Everything runs at the end."""
        await asyncio.gather(self._kill(continues), self._freeze(continues))

    async def lose_answers(self) -> None:
        """Have some of the emulator's calls fail, from now on."""
        await lose_answers(self.emulator.url)
        if self.of_model:
            await _cause(self.emulator.url, MODEL_FAULTS)

    async def _kill(self, continues: Callable[[], bool]) -> None:
        victims: list[tuple[Child, Machine | None]] = [
            (child, machine) for machine in self.site.machines for child in machine.portal_processes
        ]
        victims += [(self.site.redis, None), (self.emulator.process, None)]
        victims += [(self.livekit.process, None)] if self.livekit else []
        while True:
            await asyncio.sleep(self.chance.uniform(*BETWEEN_KILLS_S))
            if not continues():
                return
            child, machine = self.chance.choice(victims)
            self.counts[f"killed {child.name.split()[0]}"] += 1
            if child is self.emulator.process:
                await self.note_durations()
            from_s = time.time()
            await asyncio.to_thread(child.kill)
            await asyncio.sleep(self.chance.uniform(*DOWN_S))
            try:
                if machine:
                    await asyncio.to_thread(machine.start, child)
                else:
                    await asyncio.to_thread(child.start)
                if child is self.emulator.process:
                    await asyncio.to_thread(child.wait_until, self._provider_answers, seconds=60)
                    await self.lose_answers()
                    self.outages.append((from_s, time.time()))
            except StartFailed as exc:
                print(f"{child.name} did not start: {str(exc)[-300:]}")
                await asyncio.to_thread(child.start)

    async def _freeze(self, continues: Callable[[], bool]) -> None:
        kinds: list[Callable[[], tuple[str, Child, bool]]] = [
            lambda: ("Redis", self.site.redis, False),
            lambda: ("PostgreSQL", self.site.database, False),
            lambda: ("limits", self._one_of("limits"), False),
            lambda: ("worker", self._one_of("worker"), False),
            lambda: ("beat", self._one_of("beat"), False),
            lambda: ("network to Redis", self._one_of("to_redis"), self.chance.random() < 0.5),
            lambda: ("network to PostgreSQL", self._one_of("to_database"), self.chance.random() < 0.5),
        ]
        while True:
            self.chance.shuffle(kinds)
            for kind in kinds:
                await asyncio.sleep(self.chance.uniform(*BETWEEN_FREEZES_S))
                if not continues():
                    return
                name, child, is_lost = kind()
                self.counts[f"froze {name}"] += 1
                from_s = time.time()
                await freeze(child, self.chance.uniform(*FROZEN_S), is_lost=is_lost)
                if name == "PostgreSQL":
                    self.outages.append((from_s, time.time()))

    async def note_durations(self) -> int:
        """Remember how long the ended sessions lasted. Return how many are open."""
        address = f"{self.emulator.url}/_emulator/sessions?all=1"
        with suppress(aiohttp.ClientError):
            async with aiohttp.ClientSession() as http, http.get(address) as answer:
                known = (await answer.json())["sessions"]
            ended = [session for session in known if session["ends_in"] is None]
            self.lasted |= {session["session_id"]: session["duration"] for session in ended}
            return len(known) - len(ended)
        return 0

    def _provider_answers(self) -> bool:
        return processes.answers_http(f"{self.emulator.url}/_health")

    def _one_of(self, what: str) -> Child:
        found: Child = getattr(self.chance.choice(self.site.machines), what)
        return found


async def freeze(child: Child, seconds: float, *, is_lost: bool = False) -> None:
    """Stop a process and its descendants for some seconds.

    `is_lost`: replace it afterwards, so that what it had not done is lost.
    """
    pids = await asyncio.to_thread(_send, child.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        if is_lost:
            await asyncio.to_thread(child.kill)
            await asyncio.to_thread(child.start)
        for pid in pids:
            with suppress(ProcessLookupError):  # it was killed meanwhile
                os.kill(pid, signal.SIGCONT)


def _send(pid: int, number: signal.Signals) -> set[int]:
    """Signal a process, then its descendants: a stopped one has no new ones."""
    seen: set[int] = set()
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, number)
        seen.add(pid)
        for process in _process.with_descendants("", pid):
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)
                seen.add(process.pid)
    return seen


async def lose_answers(emulator_url: str) -> None:
    """Make one call in twenty fail.

    The call is lost before or after it takes effect, or gets an error response.
    """
    faults: tuple[dict[str, Any], ...] = (
        {"kind": "cut", "when": "after"},
        {"kind": "cut", "when": "before"},
        {"kind": "answer", "status": 500},
    )
    await _cause(emulator_url, [fault | {"share": LOST_SHARE / len(faults)} for fault in faults])


async def _cause(emulator_url: str, faults: Sequence[dict[str, Any]]) -> None:
    async with aiohttp.ClientSession() as http:
        for fault in faults:
            async with http.post(f"{emulator_url}/_emulator/faults", json=fault | {"times": None}) as answer:
                answer.raise_for_status()


class Disk:
    """A small disk of its own for a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def grow(self) -> None:
        subprocess.run(["mount", "-o", f"remount,size={LARGE_DISK}", self._path], check=True)


@contextmanager
def small_disk(path: Path) -> Iterator[Disk | None]:
    """Mount a disk of `SMALL_DISK` at a folder. Yield None if this user may not mount."""
    path.mkdir(parents=True, mode=0o700, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK},mode=700", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=False)
