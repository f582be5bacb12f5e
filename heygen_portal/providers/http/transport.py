"""Transport for httpx over aiohttp, which takes a fifth of the processor time of httpx's own.

docs/decisions/http-client.md has the figures.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from yarl import URL

MAX_CONNECTIONS = 100
KEEP_ALIVE_SECONDS = 50
# httpx has set these or left them out on purpose.
_NEVER_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
LOOPBACK_NAMES = ("127.0.0.1", "localhost")


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends httpx's requests through one pool of connections. Raises httpx's exceptions."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        limits = request.extensions["timeout"]
        timeout = aiohttp.ClientTimeout(
            connect=limits["pool"], sock_connect=limits["connect"], sock_read=limits["read"]
        )
        with _httpx_errors(request):
            answer = await self._open_session(request).request(
                request.method,
                URL(str(request.url), encoded=True),
                headers={name.decode("ascii"): value.decode("latin-1") for name, value in request.headers.raw},
                data=request.content or None,
                allow_redirects=False,
                timeout=timeout,
                proxy=proxy_for(request.url.scheme, request.url.host),
                server_hostname=request.extensions.get("sni_hostname"),
            )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer, request), request=request)

    def _open_session(self, request: httpx.Request) -> aiohttp.ClientSession:
        if self._is_closed:
            raise httpx.ConnectError("the connections are closed", request=request)
        if self._session is None:  # only inside a running event loop
            connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=self._tls)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # httpx does
                skip_auto_headers=_NEVER_ADDED,
            )
        return self._session

    async def aclose(self) -> None:
        self._is_closed = True
        if self._session is not None:
            await self._session.close()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse, request: httpx.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _httpx_errors(self._request):
            async for chunk in self._answer.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        self._answer.close()  # does nothing to a response that was read whole


@lru_cache(maxsize=64)
def proxy_for(scheme: str, host: str) -> str | None:
    """Return the proxy that the environment names for a host. A proxy cannot reach this machine's loopback."""
    if host in LOOPBACK_NAMES or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(scheme) or proxies.get("all")


@contextmanager
def _httpx_errors(request: httpx.Request) -> Iterator[None]:
    """Translate aiohttp's exceptions. ConnectError, ConnectTimeout: nothing was sent."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as exc:
        raise httpx.ConnectTimeout(str(exc), request=request) from exc
    except (aiohttp.ClientConnectorError, aiohttp.InvalidURL) as exc:
        raise httpx.ConnectError(str(exc), request=request) from exc
    except aiohttp.ClientHttpProxyError as exc:
        raise httpx.ProxyError(str(exc), request=request) from exc
    except TimeoutError as exc:
        raise httpx.ReadTimeout(str(exc), request=request) from exc
    except OSError as exc:
        raise httpx.ReadError(str(exc), request=request) from exc
    except aiohttp.ClientError as exc:
        raise httpx.RemoteProtocolError(str(exc), request=request) from exc
