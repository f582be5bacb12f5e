"""How speech is kept: each session's under a key of its own, the keys under the portal's. Knows no models."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from heygen_portal.trail import signing

NONCE = 12
"""Bytes; what AES-GCM is made for."""

OLD_WRAP = 60
"""Bytes of a wrapped key from before wraps began with the ID of their key: nonce, 32 bytes of key, tag."""


def new_key(session_id: UUID) -> bytes:
    """Return a fresh key for a session's speech, wrapped: as it is stored."""
    return _wrap(AESGCM.generate_key(256), session_id)


def seal(wrapped: bytes, session_id: UUID, text: str, bound_to: str = "") -> bytes:
    """Return the text as it is stored, bound to its session and to what it is of there.

    The same text twice looks different twice.
    """
    key = _unwrapped(bytes(wrapped), session_id, _ring())
    return _lock(key, text.encode("utf-8", "surrogatepass"), session_id, bound_to)


def unseal(wrapped: bytes, session_id: UUID, sealed: bytes, bound_to: str = "") -> str:
    """Return the text again. Raises InvalidTag when key, session, place and stored text do not belong together."""
    key = _unwrapped(bytes(wrapped), session_id, _ring())
    return _unlock(key, sealed, session_id, bound_to).decode("utf-8", "surrogatepass")


def opens(wrapped: bytes, session_id: UUID) -> bool:
    """Whether a session's wrapped key is one that this portal wrapped for this session."""
    try:
        _unwrapped(bytes(wrapped), session_id, _ring())
    except InvalidTag:
        return False
    return True


def fingerprint(sealed: bytes) -> str:
    """Return the SHA-256 of a stored text: it proves the text while the key lives, and tells nothing afterwards."""
    return hashlib.sha256(sealed).hexdigest()


def _lock(key: bytes, content: bytes, session_id: UUID, bound_to: str = "") -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, content, session_id.bytes + bound_to.encode())


def _unlock(key: bytes, locked: bytes, session_id: UUID, bound_to: str = "") -> bytes:
    return AESGCM(key).decrypt(locked[:NONCE], locked[NONCE:], session_id.bytes + bound_to.encode())


def key_id_of(wrapped: bytes) -> str:
    """Return the ID of the portal's key that wrapped a session's key; empty for a wrap from before keys had IDs."""
    return wrapped[: signing.KEY_ID_BYTES].hex() if len(wrapped) > OLD_WRAP else ""


def rewrapped(wrapped: bytes, session_id: UUID) -> bytes:
    """Return a session's key wrapped with the portal's current key. Raises InvalidTag when no key of ours opens it."""
    return _wrap(_unwrapped(wrapped, session_id, _ring()), session_id)


def _wrap(session_key: bytes, session_id: UUID) -> bytes:
    return bytes.fromhex(signing.key_id()) + _lock(signing.key("wrap"), session_key, session_id)


Ring = tuple[tuple[str, bytes], ...]


def _ring() -> Ring:
    """Return the portal's wrapping keys by ID, the current one first."""
    return tuple(signing.keys("wrap").items())


# Keyed by what is stored: a key that was destroyed in the database is not asked for again.
@lru_cache(maxsize=256)
def _unwrapped(wrapped: bytes, session_id: UUID, ring: Ring) -> bytes:
    name = key_id_of(wrapped)
    locked = wrapped[signing.KEY_ID_BYTES :] if name else wrapped
    for each_name, wrapping_key in ring:
        if name in ("", each_name):
            with suppress(InvalidTag):
                return _unlock(wrapping_key, locked, session_id)
    raise InvalidTag
