"""One attempt to send a message. Every way in which a receiver can behave ends in a named outcome."""

from __future__ import annotations

import asyncio
import ssl
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from types import TracebackType
from typing import Self

import aiohttp
from django.utils import timezone
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
REST_STATUSES = (429, 503)
"""With these a receiver may say when to come back."""
MAX_REST = timedelta(hours=1)
"""After that a receiver is tried again, whatever it asked for."""
MAX_SECONDS_DIGITS = 9


@dataclass(frozen=True)
class Answer:
    """What became of one attempt.

    `text` is the beginning of the answer, without control characters; `rest` is for how long the receiver wants to get
    nothing.
    """

    outcome: Outcome
    http_status: int | None = None
    text: str = ""
    took: timedelta = timedelta(0)
    rest: timedelta = timedelta(0)

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
        answer = await self._try(url, body, headers)
        return replace(answer, took=timedelta(seconds=loop.time() - began_at))

    async def _try(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
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
            return Answer(Outcome.FORBIDDEN_ADDRESS)
        except TimeoutError:
            return Answer(Outcome.TIMED_OUT)
        except (aiohttp.ClientSSLError, ssl.SSLError) as exc:
            return Answer(Outcome.BAD_CERTIFICATE, text=readable(str(exc).encode()))
        except aiohttp.ClientConnectorDNSError:
            return Answer(Outcome.UNKNOWN_HOST)
        except aiohttp.ClientConnectorError:
            return Answer(Outcome.UNREACHABLE)
        except (aiohttp.ClientError, OSError, ValueError):
            return Answer(Outcome.BROKEN_ANSWER)
        try:
            text = readable(await self._beginning(response))
        finally:
            response.close()  # the rest of a long answer is never read
        rest = timedelta(0)
        if response.status in REST_STATUSES:
            rest = rest_of(response.headers.get("Retry-After", ""), timezone.now())
        return Answer(_outcome_of(response.status), response.status, text, rest=rest)

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


def rest_of(header: str, now: datetime) -> timedelta:
    """Return the wait that a Retry-After header asks for, in seconds or as a date, at most `MAX_REST`.

    Anything that is neither is no wait.
    """
    given = header.strip()
    if given.isascii() and given.isdecimal():
        seconds = given.lstrip("0")[:MAX_SECONDS_DIGITS] or "0"
        return min(timedelta(seconds=int(seconds)), MAX_REST)
    try:
        until = parsedate_to_datetime(given)
        wait = (until if until.tzinfo else until.replace(tzinfo=UTC)) - now
    except (ValueError, OverflowError):
        return timedelta(0)
    return max(timedelta(0), min(wait, MAX_REST))


def readable(content: bytes) -> str:
    """Return what staff may read of an answer: short, and without characters that control a terminal or a page."""
    text = " ".join(content.decode("utf-8", "replace").split())[:MAX_ANSWER_CHARACTERS]
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(char)[0] == "C" else char for char in text)
