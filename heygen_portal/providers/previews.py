"""Pictures that a catalogue names, fetched without becoming a way into the network the portal stands in."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

import httpx

from heygen_portal.providers.base import ProviderUnreachable

LARGEST = 5 * 1024 * 1024
REDIRECTS = 3
TIMEOUT = httpx.Timeout(10, connect=5)
TOTAL_S = 20


async def fetch(http: httpx.AsyncClient, url: str, *, trusted: httpx.URL) -> bytes:
    """Return the body behind a catalogue's address; raises ProviderUnreachable.

    Only the provider's own host (`trusted`) may be a private one. Any other name is resolved here and the connection
    made to the address that was checked, so that a second answer of the name server changes nothing.
    `http` carries no key: the address may be anybody's.
    """
    try:
        async with asyncio.timeout(TOTAL_S):
            target = httpx.URL(url)
            for _ in range(REDIRECTS + 1):
                answer = await _get(http, target, trusted)
                if isinstance(answer, bytes):
                    return answer
                target = target.join(answer)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as exc:  # TimeoutError is an OSError
        raise ProviderUnreachable(f"preview: {type(exc).__name__}") from exc
    raise ProviderUnreachable("preview: too many redirects")


async def _get(http: httpx.AsyncClient, url: httpx.URL, trusted: httpx.URL) -> bytes | str:
    """Return the body, or the address that the answer points to."""
    request = await _request(http, url, trusted)
    response = await http.send(request, stream=True)
    try:
        if response.has_redirect_location:
            return response.headers["location"]
        if response.status_code != 200:
            raise ProviderUnreachable(f"preview: HTTP {response.status_code}")
        return await read_at_most(response, LARGEST)
    finally:
        await response.aclose()


async def _request(http: httpx.AsyncClient, url: httpx.URL, trusted: httpx.URL) -> httpx.Request:
    if url.scheme not in ("http", "https") or not url.host:
        raise ProviderUnreachable("preview: not a web address")
    if (url.host, url.port) == (trusted.host, trusted.port):
        return http.build_request("GET", url, timeout=TIMEOUT)
    address = await _public_address(url)
    # The name stays in the Host header and in the certificate's check.
    headers = {"Host": url.netloc.decode()}
    request = http.build_request("GET", url.copy_with(host=address), headers=headers, timeout=TIMEOUT)
    request.extensions["sni_hostname"] = url.host
    return request


async def _public_address(url: httpx.URL) -> str:
    port = url.port or (443 if url.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(ipaddress.ip_address(address).is_global for address in addresses):
        raise ProviderUnreachable("preview: the address is not a public one")
    return addresses[0]


async def read_at_most(response: httpx.Response, largest: int) -> bytes:
    """Return the body; raises ProviderUnreachable as soon as it is larger than that."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > largest:
            raise ProviderUnreachable("the answer is too large")
    return bytes(body)
