"""Run the monitor of the providers' own sockets until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.core.management.base import BaseCommand

from heygen_portal import production
from heygen_portal.postgresql import clock
from heygen_portal.providers import closing_providers
from heygen_portal.runtime import tracing
from heygen_portal.runtime.metrics import snapshots
from sessions.staff.provider_monitor import Monitor


class Command(BaseCommand):
    help = "Record events from the providers' own sockets of running sessions. Several processes share the work."

    def handle(self, **options: Any) -> None:
        production.refuse_unsafe_settings()  # a long-running process, like the web server
        clock.follow()
        snapshots.start("monitor")
        tracing.start("monitor")
        asyncio.run(_run())


async def _run() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with closing_providers():
        await Monitor().run(stop)
