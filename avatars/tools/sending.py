"""Send a tool's request. Redirects, proxies and cookies are not used, and only allowed addresses are connected to."""

from __future__ import annotations

import asyncio
import ssl
import unicodedata
from functools import cache

import aiohttp
from django.core.exceptions import ValidationError
from yarl import URL

from avatars.models.model_services import ToolContent
from avatars.tools import requests
from avatars.tools.requests import HIDDEN, Request
from heygen_portal.webhooks import addresses
from heygen_portal.webhooks.addresses import AddressForbidden, CheckedResolver, Lookup

USER_AGENT = "HeyGen-Portal-Tools"
MIN_SECRET_CHARACTERS = 4
# Codes of requests that failed, for the model and for staff. A status is a code, too: http_404.
TIMED_OUT, FORBIDDEN_ADDRESS, UNKNOWN_HOST, UNREACHABLE, BAD_CERTIFICATE, BROKEN, REDIRECTED, TOO_LARGE, NO_TEXT = (
    "timed_out", "forbidden_address", "unknown_host", "unreachable", "bad_certificate", "broken_response",
    "redirected", "response_too_large", "response_no_text",
)  # fmt: skip


class RequestFailed(Exception):
    """A request failed. `code` has nothing of the request."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


async def send(tool: ToolContent, request: Request, *, lookup: Lookup = addresses.look_up) -> str:
    """Return the text of a successful response, without the secrets that were sent. Raises RequestFailed."""
    try:
        addresses.check_url(request.url)  # the form has done so, but the row may be older than a setting
        requests.check_host(request.url)
        async with (
            asyncio.timeout(tool.timeout.total_seconds()),
            _session(lookup) as http,
            http.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body,
                headers={**request.headers, **request.secrets},
                allow_redirects=False,
            ) as response,
        ):
            if 300 <= response.status < 400:
                raise RequestFailed(REDIRECTED)
            if response.status >= 400:
                raise RequestFailed(f"http_{response.status}")
            content = await _read(response, tool.max_answer_bytes)
    except (AddressForbidden, ValidationError):
        raise RequestFailed(FORBIDDEN_ADDRESS) from None
    except TimeoutError:
        raise RequestFailed(TIMED_OUT) from None
    except (aiohttp.ClientSSLError, ssl.SSLError):
        raise RequestFailed(BAD_CERTIFICATE) from None
    except aiohttp.ClientConnectorDNSError:
        raise RequestFailed(UNKNOWN_HOST) from None
    except aiohttp.ClientConnectorError:
        raise RequestFailed(UNREACHABLE) from None
    except (aiohttp.ClientError, OSError, ValueError):
        raise RequestFailed(BROKEN) from None
    return hide(_decoded(content), request)


def _session(lookup: Lookup) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=_tls_context(), resolver=CheckedResolver(lookup), limit=1),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # a small response may expand to gigabytes
        trust_env=False,
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
    )


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    content = b""
    while chunk := await response.content.readany():
        content += chunk
        if len(content) > max_bytes:
            response.close()
            raise RequestFailed(TOO_LARGE)
    return content


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RequestFailed(NO_TEXT) from None
    return "".join(
        sign for sign in text if sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Co")
    )


def hide(text: str, request: Request) -> str:
    """Replace the secrets of a request in a text: a service may send back what it got."""
    values = {part for value in request.secrets.values() for part in (value, *value.split())}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= MIN_SECRET_CHARACTERS:
            text = text.replace(value, HIDDEN)
    return text
