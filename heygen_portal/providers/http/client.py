"""HTTP client of one provider account, with bounded waits."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any, BinaryIO

import httpx

from heygen_portal.providers.contract.provider import CredentialRefused, NotSent, ProviderRejected, ProviderUnreachable
from heygen_portal.providers.http import calls, downloads, parsing
from heygen_portal.providers.http.transport import AiohttpTransport
from heygen_portal.runtime import client_address

CONNECT_SECONDS = 5
ANSWER_SECONDS = 10
SLOW_ANSWER_SECONDS = 30  # creating and starting a session took up to 7 s
MAX_VIDEO_BYTES = 1024 * 1024 * 1024
VIDEO_SECONDS = 600
MAX_ANSWER_BYTES = 16 * 1024 * 1024  # a list can hold thousands of voices


@cache
def tls_context() -> ssl.SSLContext:
    """Return the process's TLS context. Reading the certificates takes about 20 ms."""
    return httpx.create_ssl_context()


class ApiClient:
    """Sends requests with the account's key or a session's token.

    Raises only ProviderError.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        refusals: parsing.RefusalTable,
        *,
        is_bearer: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        kind: str = "other",
    ) -> None:
        """Create a client. `kind` is the provider's name in the metrics."""
        self._kind = kind
        self._api_key = api_key
        self._is_bearer = is_bearer
        self._refusals = refusals
        # Forms refuse such an address, but older rows and other writers may not have. Calls then raise NotSent.
        self._is_refused = not (
            client_address.is_base_url(base_url.rstrip("/")) and client_address.is_safe_for_keys(base_url)
        )
        self._transport = transport or AiohttpTransport(tls_context())
        self._http = httpx.AsyncClient(base_url="" if self._is_refused else base_url, transport=self._transport)

    async def post(
        self,
        path: str,
        payload: dict[str, Any] | None,
        *,
        within: float = ANSWER_SECONDS,
        token: str = "",
        may_quote: bool = True,
    ) -> Any:
        """Return `data` of the response.

        Pass `may_quote=False` for requests that carry speech.
        """
        return await self._call("POST", path, json=payload, within=within, token=token, may_quote=may_quote)

    async def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """Return `data` of the response."""
        return await self._call("GET", path, params=params)

    async def patch(self, path: str, payload: dict[str, Any]) -> Any:
        """Return `data` of the response."""
        return await self._call("PATCH", path, json=payload)

    async def delete(self, path: str) -> None:
        await self._call("DELETE", path)

    async def download(self, url: str) -> bytes:
        """Return a preview image of the catalogue, fetched without the key."""
        return await downloads.fetch_image(self._http, url, trusted=self.base_url)

    async def save(self, url: str, into: BinaryIO) -> None:
        """Write a video, fetched without the key."""
        await downloads.save(
            self._http, url, into, trusted=self.base_url, max_bytes=MAX_VIDEO_BYTES, within=VIDEO_SECONDS
        )

    @property
    def base_url(self) -> httpx.URL:
        """Base URL of the API. Raises NotSent if the key must not be sent there."""
        self._require_safe_address()
        return self._http.base_url

    def _require_safe_address(self) -> None:
        if self._is_refused:
            raise NotSent("the account's address is no web address, or not https: correct it in the admin")

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        within: float = ANSWER_SECONDS,
        token: str = "",
        may_quote: bool = True,
        **body: Any,
    ) -> Any:
        self._require_safe_address()
        name = path.removeprefix("/v1/")
        timeout = httpx.Timeout(within, connect=CONNECT_SECONDS)
        try:
            headers = self._credential(token)
            request = self._http.build_request(method, path, headers=headers, timeout=timeout, **body)
        except UnicodeEncodeError:  # half a surrogate pair; the exception would carry the text
            raise ProviderRejected(f"{name}: a text is not valid Unicode") from None
        with calls.measured(self._kind, method, path):
            return await self._send(name, request, within, may_quote=may_quote)

    def _credential(self, token: str) -> dict[str, str]:
        secret = token or self._api_key
        if not secret.isascii() or not secret.isprintable():
            raise CredentialRefused("the key holds characters that no header can carry")
        return {"Authorization": f"Bearer {secret}"} if token or self._is_bearer else {"X-API-KEY": secret}

    async def _send(self, name: str, request: httpx.Request, within: float, *, may_quote: bool) -> Any:
        """Send the request and parse the response.

        The transport limits the wait for each chunk; the timeout here limits the whole response. The client's own
        `send` would follow redirects and keep cookies, which no call here needs and each would pay for.
        """
        try:
            async with asyncio.timeout(within + CONNECT_SECONDS):
                response = await self._transport.handle_async_request(request)
                try:
                    body = await downloads.read_at_most(response, MAX_ANSWER_BYTES)
                finally:
                    await response.aclose()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, UnicodeError) as exc:
            raise NotSent(f"{name}: {type(exc).__name__}") from exc  # UnicodeError: an invalid host name
        except (httpx.HTTPError, TimeoutError) as exc:
            raise ProviderUnreachable(f"{name}: {type(exc).__name__}") from exc
        secrets = (self._api_key, request.headers.get("Authorization", "").removeprefix("Bearer "))
        return parsing.parse_response(
            name, response.status_code, body, self._refusals, may_quote=may_quote, secrets=secrets
        )
