"""Signed tokens of guests: a visit for the page, and a token for each of its sockets.

A visit is kept by the page for as long as the guest may come back. A socket token is issued for it, opens one socket
and expires soon, because it travels in a header. Both name the persona, the site and the device, and neither is valid
in place of the other.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.core import signing
from django.core.cache import cache

from sessions import errors
from sessions.capacity.guests import NO_COOKIE, VISIT_LIFETIME, Visit

VISIT, SOCKET = "sessions.embed.visit", "sessions.embed.socket"
SOCKET_TOKEN_LIFETIME = timedelta(seconds=60)
# Subprotocols have no colons, which separate the parts of Django's signed values.
SEPARATORS = str.maketrans(":", "~"), str.maketrans("~", ":")
MAX_TOKEN_CHARACTERS = 2_000


def new_visit(embed_id: int, origin: str, link_id: int | None, device: str) -> Visit:
    """Return the visit of a new guest."""
    return Visit(uuid4(), embed_id, origin, link_id, device)


def sign_visit(visit: Visit) -> str:
    return _sign(visit, VISIT)


def read_visit(token: str, embed_id: int, device: str, lifetime: timedelta | None = VISIT_LIFETIME) -> Visit:
    """Return the visit of a token. Raises TokenInvalid, and TokenExpired after `lifetime`."""
    visit, _nonce = _read(token, VISIT, lifetime)
    return _bound(visit, embed_id, device)


def sign_socket_token(visit: Visit) -> str:
    """Return a token that opens one socket."""
    return _sign(visit, SOCKET)


def redeem(token: str, embed_id: int, device: str) -> Visit:
    """Return the visit of a socket's token, which is valid once.

    Raises TokenInvalid, TokenExpired, TokenUsed.
    """
    visit, nonce = _read(token, SOCKET, SOCKET_TOKEN_LIFETIME)
    _bound(visit, embed_id, device)
    # Remembered twice as long as the token is valid, because clocks differ.
    if not cache.add(f"guest-token:{nonce}", 1, 2 * SOCKET_TOKEN_LIFETIME.total_seconds()):
        raise errors.TokenUsed
    return visit


def _sign(visit: Visit, purpose: str) -> str:
    content = [visit.guest_id.hex, visit.embed_id, visit.origin, visit.link_id, visit.device, secrets.token_hex(8)]
    return signing.dumps(content, salt=purpose).translate(SEPARATORS[0])


def _read(token: str, purpose: str, lifetime: timedelta | None) -> tuple[Visit, str]:
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise errors.TokenInvalid
    try:
        content: list[Any] = signing.loads(token.translate(SEPARATORS[1]), salt=purpose, max_age=lifetime)
    except signing.SignatureExpired as exc:
        raise errors.TokenExpired from exc
    except (signing.BadSignature, ValueError) as exc:
        raise errors.TokenInvalid from exc
    guest_id, embed_id, origin, link_id, device, nonce = content
    return Visit(UUID(guest_id), embed_id, origin, link_id, device), nonce


def _bound(visit: Visit, embed_id: int, device: str) -> Visit:
    """Return the visit if it is of this embed and device. Raises TokenInvalid.

    A visit that began with a cookie is not valid without it.
    """
    has_cookie = not visit.device.startswith(NO_COOKIE)
    if visit.embed_id != embed_id or (has_cookie and visit.device != device):
        raise errors.TokenInvalid
    return visit
