"""Addresses that webhooks may be sent to. Nothing inside the portal's own network, unless the operator allows it.

A host name is resolved here, every address is checked, and the connection goes to the addresses that were checked: a
second answer of the DNS has no effect.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from yarl import URL

from heygen_portal import production
from heygen_portal.runtime import client_address

# Visible ASCII, without what clients read in different ways: passwords, backslashes, fragments.
_ADDRESS = re.compile(r"https?://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?(?:[/?][!-~]*)?")
_NUMBER = re.compile("0[xX][0-9A-Fa-f]*|[0-9]+")
LOOKUPS_AT_ONCE = 20

Lookup = Callable[[str, int], Awaitable[list[str]]]
"""Returns the IP addresses of a host and port. Raises OSError if there are none."""


class AddressForbidden(Exception):
    """The portal sends nothing to this address. The message is for staff."""

    def __init__(self, why: str | Promise) -> None:
        super().__init__(str(why))
        self.why = why


MALFORMED = _("An address like https://crm.example.com/hooks/portal, without user name, password and #.")
NOT_HTTPS = _("Use https. With http, messages could be read and changed on the way.")
INTERNAL = _(
    "This address is not on the public Internet. It can be allowed in the server’s settings: WEBHOOK_INTERNAL_NETWORKS."
)


def check_url(url: str) -> None:
    """Refuse an address that is malformed, not encrypted, or an IP address that is not allowed.

    Plain http is only accepted for this machine, and not in production. Host names are resolved when a message is
    sent. Raises AddressForbidden.
    """
    if "#" in url or "\\" in url or not (match := _ADDRESS.fullmatch(url)):
        raise AddressForbidden(MALFORMED)
    host = match["host"].strip("[]").rstrip(".")
    try:
        # Clients parse URLs differently. Refuse one that they would read as another host.
        parts, read = urlsplit(url), URL(url, encoded=True)
        hosts = {parts.hostname, (read.raw_host or "").lower(), match["host"].strip("[]").lower()}
        is_clear = len(hosts) == 1 and parts.port != 0
    except ValueError:
        is_clear = False
    # The system reads a name that ends in a number as an IPv4 address: 2130706433 and 0x7f.1 are 127.0.0.1.
    is_number = _NUMBER.fullmatch(host.rpartition(".")[2]) and not is_ip_address(host)
    if not host or not is_clear or is_number:
        raise AddressForbidden(MALFORMED)
    if is_ip_address(host):
        if not is_allowed(host):
            raise AddressForbidden(INTERNAL)
    elif client_address.is_loopback(host) and production.is_production():
        raise AddressForbidden(INTERNAL)
    if parts.scheme != "https" and (production.is_production() or not client_address.is_loopback(host)):
        raise AddressForbidden(NOT_HTTPS)


def is_ip_address(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return False


def is_allowed(address: str) -> bool:
    """Whether messages may be sent to an IP address: a public one, or one that the operator allows.

    This machine is allowed unless this is production.
    """
    known = ip_address(address.partition("%")[0])
    if isinstance(known, IPv6Address) and known.ipv4_mapped:
        known = known.ipv4_mapped
    if any(known in network for network in internal_networks()):
        return True
    return client_address.is_public(str(known)) or (known.is_loopback and not production.is_production())


def internal_networks() -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the networks of WEBHOOK_INTERNAL_NETWORKS. Raises ValueError."""
    return _networks(tuple(settings.WEBHOOK_INTERNAL_NETWORKS))


@lru_cache(maxsize=8)
def _networks(given: tuple[str, ...]) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(map(ip_network, given))


# Threads of their own: a name server that does not answer holds up no work with the database.
_threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="webhook-names")


async def look_up(host: str, port: int) -> list[str]:
    """Ask the operating system for the addresses of a host."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class CheckedResolver(AbstractResolver):
    """Gives aiohttp only addresses that are allowed. Raises AddressForbidden if any of a host's is not."""

    def __init__(self, lookup: Lookup = look_up) -> None:
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._lookup(host, port)
        if not addresses:
            raise OSError(f"{host} has no address")
        if not all(map(is_allowed, addresses)):
            raise AddressForbidden(INTERNAL)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Do nothing: the threads are the process's."""
