"""Client addresses of requests, and checks of addresses that the portal calls."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.http import HttpRequest

# Entries of X-Forwarded-For: 203.0.113.7, 203.0.113.7:51234, 2001:db8::1, [2001:db8::1], [2001:db8::1]:443
_FORWARDED_ENTRY = re.compile(r'"?(?:\[(?P<bracketed>[^\]]*)\](?::\d*)?|(?P<v4>[^:]*):\d*|(?P<plain>.*?))"?')

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_BASE_URL = re.compile(rf"https?://(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|{_LABEL}(?:\.{_LABEL})*\.?)(?::[0-9]{{1,5}})?")

_API_URL = re.compile(r"(?P<origin>https?://[^/?#]+)(?:/[A-Za-z0-9._~-]+)*/?")


def of(request: HttpRequest) -> str | None:
    """Return the client's address behind PROXY_COUNT proxies.

    None for a Unix socket without a proxy.

    Each proxy appends the address of its peer to X-Forwarded-For. Entries before those can be forged.
    """
    return _behind_proxies(request.META.get("HTTP_X_FORWARDED_FOR", ""), request.META.get("REMOTE_ADDR", ""))


def of_socket(scope: Mapping[str, Any]) -> str | None:
    """Return the client's address of a WebSocket. See `of`."""
    lines = [value for name, value in scope["headers"] if name.lower() == b"x-forwarded-for"]
    return of_connection(lines, (scope.get("client") or ("",))[0])


def of_connection(forwarded: Iterable[bytes], peer: str) -> str | None:
    """Return the client's address from X-Forwarded-For and the peer. See `of`."""
    return _behind_proxies(",".join(value.decode("latin-1") for value in forwarded), peer)


def _behind_proxies(forwarded: str, peer: str) -> str | None:
    """Return the entry that the outermost trusted proxy wrote.

    Fall back to the peer if the header is missing, has fewer entries than proxies, or holds no address there.
    """
    entries = forwarded.split(",")
    proxies: int = settings.PROXY_COUNT
    found = _parse(entries[-proxies]) if 0 < proxies <= len(entries) else None
    return found or _parse(peer)


def _parse(entry: str) -> str | None:
    match = _FORWARDED_ENTRY.fullmatch(entry.strip())
    assert match is not None  # the last branch matches anything
    host = next(part for part in match.groups() if part is not None)
    try:
        address = ip_address(host.split("%")[0])  # a zone belongs to the proxy's machine
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def client_network(address: str) -> str:
    """Return the key by which a client is counted.

    It is an IPv4 address or an IPv6 /64, as one household has.
    """
    try:
        known = ip_address(address)
    except ValueError:
        return address
    if isinstance(known, IPv6Address):
        return str(known.ipv4_mapped or ip_network((known, 64), strict=False).network_address)
    return str(known)


def is_loopback(host: str | None) -> bool:
    """Whether a URL's host is this machine.

    Names are not resolved; only `localhost` counts.
    """
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


# Python counts these as global. They lead to an IPv4 address that may be private, or nowhere.
_NOT_PUBLIC = tuple(map(ip_network, ("192.88.99.0/24", "2002::/16", "3fff::/20")))
_PUBLIC_V6 = ip_network("2000::/3")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public Internet.

    So it is not private, loopback, link-local, shared by a carrier's customers, multicast, reserved, or an IPv6 address
    in which an IPv4 address is embedded.
    """
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(known, IPv6Address) and known.ipv4_mapped:
        known = known.ipv4_mapped
    if not known.is_global or known.is_multicast or known.is_reserved:
        return False
    is_v6_elsewhere = isinstance(known, IPv6Address) and known not in _PUBLIC_V6
    return not is_v6_elsewhere and not any(known in network for network in _NOT_PUBLIC)


def is_base_url(address: str) -> bool:
    """Return whether all our HTTP clients accept this base URL.

    It has a host and an optional port, no path or password.
    """
    match = _BASE_URL.fullmatch(address)
    if match is None:
        return False
    try:
        if match["v6"]:
            IPv6Address(match["v6"])
        # Clients parse URLs differently. Refuse one that any of them rejects or reads as another host.
        url, parts = httpx.URL(address), urlsplit(address)
        return parts.port != 0 and bool(url.host) and url.raw_host.decode() == parts.hostname
    except (httpx.InvalidURL, ValueError):  # a name that IDNA refuses is a ValueError
        return False


def is_api_url(address: str) -> bool:
    """Return whether an address is a base URL with or without a plain path, as https://api.example.com/v1."""
    match = _API_URL.fullmatch(address)
    return bool(match and is_base_url(match["origin"]) and not {".", ".."} & set(address.split("/")))


def is_safe_for_keys(address: str) -> bool:
    """Return whether a key may be sent to this address.

    It uses https, or is this machine or the configured emulator.
    """
    parts = urlsplit(address)
    is_emulator = settings.EMULATOR_URL in (address, f"{parts.scheme}://{parts.netloc}")
    return parts.scheme == "https" or is_loopback(parts.hostname) or is_emulator
