"""One attempt to send a message. Every way in which a receiver can behave ends in a named outcome."""

from __future__ import annotations

import asyncio
import ssl
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from heygen_portal.models.webhooks import MAX_ANSWER_CHARACTERS, WebhookDelivery
from heygen_portal.webhooks import addresses
from heygen_portal.webhooks.addresses import AddressForbidden, Lookup

Outcome = WebhookDelivery.Outcome

ATTEMPT_SECONDS = 15.0
CONNECT_SECONDS = 5.0
READ_SECONDS = 10.0
BODY_SECONDS = 2.0
"""For the body of an answer, which is only kept for staff to read."""
MAX_ANSWER_BYTES = 4096
USER_AGENT = "HeyGen-Portal-Webhooks"
GONE = 410


@dataclass(frozen=True)
class Answer:
    """What became of one attempt. `text` is the beginning of the answer, without control characters."""

    outcome: Outcome
    http_status: int | None = None
    text: str = ""
    took: timedelta = timedelta(0)

    @property
    def is_accepted(self) -> bool:
        return self.outcome == Outcome.ACCEPTED


@cache
def _tls_context() -> ssl.SSLContext:
    """Return the process's TLS context. Reading the certificates takes about 20 ms."""
    return ssl.create_default_context()


class Sender:
    """Sends through one pool of connections, without proxies, cookies and redirects. Use it as a context."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = addresses.look_up,
        attempt_seconds: float = ATTEMPT_SECONDS,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._tls = tls or _tls_context()
        self._lookup = lookup
        self._attempt_seconds = attempt_seconds
        self._body_seconds = body_seconds

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            ssl=self._tls, resolver=addresses.CheckedResolver(self._lookup), limit=0, keepalive_timeout=5
        )
        self._http = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # a small answer may expand to gigabytes
            trust_env=False,
            timeout=aiohttp.ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._http.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body. Never raises for what a receiver does."""
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        outcome, status, text = await self._try(url, body, headers)
        return Answer(outcome, status, text, timedelta(seconds=loop.time() - began_at))

    async def _try(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[Outcome, int | None, str]:
        try:
            addresses.check_url(url)  # the form has done so, but the row may be older than a setting
            async with asyncio.timeout(self._attempt_seconds):
                response = await self._http.post(
                    URL(url, encoded=True),
                    data=body,
                    headers={"Content-Type": "application/json", **headers},
                    allow_redirects=False,
                )
        except AddressForbidden:
            return Outcome.FORBIDDEN_ADDRESS, None, ""
        except TimeoutError:
            return Outcome.TIMED_OUT, None, ""
        except (aiohttp.ClientSSLError, ssl.SSLError) as exc:
            return Outcome.BAD_CERTIFICATE, None, readable(str(exc).encode())
        except aiohttp.ClientConnectorDNSError:
            return Outcome.UNKNOWN_HOST, None, ""
        except aiohttp.ClientConnectorError:
            return Outcome.UNREACHABLE, None, ""
        except (aiohttp.ClientError, OSError, ValueError):
            return Outcome.BROKEN_ANSWER, None, ""
        try:
            text = readable(await self._beginning(response))
        finally:
            response.close()  # the rest of a long answer is never read
        return _outcome_of(response.status), response.status, text

    async def _beginning(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the beginning of the body, as far as it arrives in time."""
        content = b""
        try:
            async with asyncio.timeout(self._body_seconds):
                while len(content) < MAX_ANSWER_BYTES and (chunk := await response.content.readany()):
                    content += chunk[: MAX_ANSWER_BYTES - len(content)]
        except (aiohttp.ClientError, OSError, ValueError):  # TimeoutError is an OSError; the status has arrived
            pass
        return content


def _outcome_of(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome.ACCEPTED
    return Outcome.REDIRECTED if 300 <= status < 400 else Outcome.REFUSED


def readable(content: bytes) -> str:
    """Return what staff may read of an answer: short, and without characters that control a terminal or a page."""
    text = " ".join(content.decode("utf-8", "replace").split())[:MAX_ANSWER_CHARACTERS]
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(char)[0] == "C" else char for char in text)
