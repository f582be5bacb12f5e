"""Origins of sites that may embed a persona: scheme, host and port, exactly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from heygen_portal.runtime import stored_json
from heygen_portal.runtime.client_address import is_base_url, is_loopback

DEFAULT_PORTS = {"https": 443, "http": 80}
MAX_ORIGINS = 50
MAX_ORIGIN_CHARACTERS = 255


class OriginInvalid(ValueError):
    """The text is not the origin of a site that can embed a persona."""


def normalized(text: str) -> str:
    """Return an origin as browsers send it: lower case, IDNA, without the default port.

    A path, wildcard, user name or query is refused, and so is http, except on this machine: browsers give insecure
    pages no microphone. Raises OriginInvalid.
    """
    entered = text.strip()
    try:
        parts = urlsplit(entered)
        host = (parts.hostname or "").encode("idna").decode().lower()
        port = parts.port
    except (UnicodeError, ValueError) as exc:
        raise OriginInvalid(entered) from exc
    scheme = parts.scheme.lower()
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc
    if scheme not in DEFAULT_PORTS or not host or has_more or len(entered) > MAX_ORIGIN_CHARACTERS:
        raise OriginInvalid(entered)
    if scheme == "http" and not is_loopback(host):
        raise OriginInvalid(entered)
    shown_host = f"[{host}]" if ":" in host else host
    origin = f"{scheme}://{shown_host}" + ("" if port in (None, DEFAULT_PORTS[scheme]) else f":{port}")
    if not is_base_url(origin):
        raise OriginInvalid(entered)
    return origin


def of_url(url: str) -> str:
    """Return the origin of an address, such as a Referer header; empty if it has none that could be allowed."""
    try:
        parts = urlsplit(url)
        return normalized(f"{parts.scheme}://{parts.netloc}")
    except ValueError:  # OriginInvalid is one
        return ""


def intact(stored: Iterable[Any]) -> list[str]:
    """Return the stored origins that are origins, without what was written by SQL and is none."""
    return [each for each in stored if isinstance(each, str) and of_url(each) == each]


def shown(stored: Iterable[Any]) -> list[str]:
    """Return the stored origins for staff. What is no text is shown as damaged."""
    return [each if isinstance(each, str) else stored_json.label(each) for each in stored]
