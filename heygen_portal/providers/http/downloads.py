"""Downloads of linked files, without access to the private network."""

from __future__ import annotations

import asyncio
import io
import socket
from typing import BinaryIO

import httpx

from heygen_portal.providers.contract.provider import ProviderUnreachable
from heygen_portal.runtime import client_address

MAX_IMAGE_BYTES = 5 * 1024 * 1024
IMAGE_SECONDS = 20
MAX_REDIRECTS = 3
TIMEOUT = httpx.Timeout(10, connect=5)


async def fetch_image(http: httpx.AsyncClient, url: str, *, trusted: httpx.URL) -> bytes:
    """Return a preview image. Raises ProviderUnreachable as `save` does."""
    body = io.BytesIO()
    await save(http, url, body, trusted=trusted, max_bytes=MAX_IMAGE_BYTES, within=IMAGE_SECONDS)
    return body.getvalue()


async def save(
    http: httpx.AsyncClient, url: str, into: BinaryIO, *, trusted: httpx.URL, max_bytes: int, within: float
) -> None:
    """Write the file at `url`.

    Raises ProviderUnreachable if it is missing, too large or too slow, or if its host is private. Only the
    provider's own host (`trusted`) may be private. Other hosts are resolved here and the connection goes to the
    address that was checked, so a second DNS answer has no effect. `http` must carry no key.
    """
    try:
        async with asyncio.timeout(within):
            target = httpx.URL(url)
            for _ in range(MAX_REDIRECTS + 1):
                location = await _follow(http, target, into, trusted, max_bytes)
                if location is None:
                    return
                target = target.join(location)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as exc:  # TimeoutError is an OSError
        raise ProviderUnreachable(f"download: {type(exc).__name__}") from exc
    raise ProviderUnreachable("download: too many redirects")


async def _follow(
    http: httpx.AsyncClient, url: httpx.URL, into: BinaryIO, trusted: httpx.URL, max_bytes: int
) -> str | None:
    """Write the body, or return the redirect's location."""
    request = await _request(http, url, trusted)
    response = await http.send(request, stream=True)
    try:
        if response.has_redirect_location:
            return str(response.headers["location"])
        if response.status_code != 200:
            raise ProviderUnreachable(f"download: HTTP {response.status_code}")
        await _copy(response, into, max_bytes)
    finally:
        await response.aclose()
    return None


async def _request(http: httpx.AsyncClient, url: httpx.URL, trusted: httpx.URL) -> httpx.Request:
    if url.scheme not in ("http", "https") or not url.host:
        raise ProviderUnreachable("download: not a web address")
    if (url.host, url.port) == (trusted.host, trusted.port):
        return http.build_request("GET", url, timeout=TIMEOUT)
    address = await _public_address(url)
    # The Host header and the certificate check still use the name.
    headers = {"Host": url.netloc.decode()}
    request = http.build_request("GET", url.copy_with(host=address), headers=headers, timeout=TIMEOUT)
    request.extensions["sni_hostname"] = url.host
    return request


async def _public_address(url: httpx.URL) -> str:
    port = url.port or (443 if url.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(client_address.is_public, addresses)):
        raise ProviderUnreachable("download: the address is not a public one")
    return addresses[0]


async def read_at_most(response: httpx.Response, max_bytes: int) -> bytes:
    """Return the body. Raises ProviderUnreachable as soon as it exceeds `max_bytes`."""
    body = io.BytesIO()
    await _copy(response, body, max_bytes)
    return body.getvalue()


async def _copy(response: httpx.Response, into: BinaryIO, max_bytes: int) -> None:
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > max_bytes:
            raise ProviderUnreachable("the answer is too large")
        into.write(chunk)
