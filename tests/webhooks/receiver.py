"""A receiver of webhooks on this machine that can misbehave: a bare TCP server, with or without TLS."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tests.timeouts import WAIT_TIMEOUT_S

ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True)
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def answering(*answers: bytes) -> Behaviour:
    """Answer the requests with these in turn, and all further ones with the last."""
    remaining = list(answers)

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(remaining.pop(0) if len(remaining) > 1 else remaining[0])
        await writer.drain()

    return answer


def status(code: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Some", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Receiver:
    """Keeps what it was sent. `behaviour` may be replaced at any time."""

    def __init__(self, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.behaviour: Behaviour = answering(ACCEPTED)
        self.requests: list[Request] = []
        self.was_cut_off = threading.Event()
        self._arrived = threading.Condition()
        self._tls, self._host = tls, host
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}/hooks"

    @property
    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.requests]

    def clear(self) -> None:
        self.requests.clear()
        self.was_cut_off.clear()
        self.behaviour = answering(ACCEPTED)

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.requests) >= count, WAIT_TIMEOUT_S)

    def start(self) -> None:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._serve, self._host, 0, ssl=self._tls))
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_TIMEOUT_S)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports close their sockets

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_TIMEOUT_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
                request = Request(line, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
                with self._arrived:
                    self.requests.append(request)
                    self._arrived.notify_all()
                await self.behaviour(request, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the sender has left, or the test is over
        except OSError:
            self.was_cut_off.set()
        finally:
            with suppress(OSError, RuntimeError):
                writer.close()


@contextmanager
def receiver(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Receiver]:
    made = Receiver(tls, host)
    made.start()
    try:
        yield made
    finally:
        made.stop()
