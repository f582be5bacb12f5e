"""How speech is kept: each session's under a key of its own, the keys under the portal's.

Also the marks by which words are found without being readable. Knows no models.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from heygen_portal import signing

NONCE = 12
"""Bytes; what AES-GCM is made for."""

SHORTEST_BEGINNING = 3
"""Letters. Shorter ones would find nearly everything."""


def new_key(session_id: UUID) -> bytes:
    """Return a fresh key for a session's speech, wrapped: as it is stored."""
    return _lock(signing.key("wrap", settings.SALT_KEY), AESGCM.generate_key(256), session_id)


def seal(wrapped: bytes, session_id: UUID, text: str) -> bytes:
    """Return the text as it is stored. The same text twice looks different twice."""
    return _lock(
        _unwrapped(bytes(wrapped), session_id, settings.SALT_KEY), text.encode("utf-8", "surrogatepass"), session_id
    )


def unseal(wrapped: bytes, session_id: UUID, sealed: bytes) -> str:
    """Return the text again. Raises InvalidTag when key, session and stored text do not belong together."""
    return _unlock(_unwrapped(bytes(wrapped), session_id, settings.SALT_KEY), sealed, session_id).decode(
        "utf-8", "surrogatepass"
    )


def fingerprint(sealed: bytes) -> str:
    """Return the SHA-256 of a stored text: it proves the text while the key lives, and tells nothing afterwards."""
    return hashlib.sha256(sealed).hexdigest()


def words(text: str) -> list[str]:
    """Return the words of a text as they are searched for: in lower case, without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"\w+", "".join(sign for sign in plain if not unicodedata.combining(sign)))


def beginnings(said: Iterable[str]) -> set[str]:
    """Return what a text with these words is found by: each of them, and its first letters from three on."""
    return {word[:length] for word in said for length in (*range(SHORTEST_BEGINNING, len(word)), len(word))}


def marks(said: Iterable[str]) -> set[int]:
    """Return the marks of these words: keyed hashes that fit into a column of 64 bits."""
    key = signing.key("words", settings.SALT_KEY)
    hashes = (hmac.digest(key, word.encode("utf-8", "surrogatepass"), "sha256") for word in said)
    return {int.from_bytes(mark[:8], "big", signed=True) for mark in hashes}


def _lock(key: bytes, content: bytes, session_id: UUID) -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, content, session_id.bytes)


def _unlock(key: bytes, locked: bytes, session_id: UUID) -> bytes:
    return AESGCM(key).decrypt(locked[:NONCE], locked[NONCE:], session_id.bytes)


# Keyed by what is stored: a key that was destroyed in the database is not asked for again.
@lru_cache(maxsize=256)
def _unwrapped(wrapped: bytes, session_id: UUID, secret: str) -> bytes:
    return _unlock(signing.key("wrap", secret), wrapped, session_id)
