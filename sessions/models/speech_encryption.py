"""Encryption of speech: one key per session, wrapped with the portal's key.

Independent of the models.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import lru_cache
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from heygen_portal.trail import signing

NONCE_BYTES = 12  # the recommended size for AES-GCM

# Size of a wrapped key in the old format without a key ID: nonce, 32 bytes of key, tag.
WRAP_BYTES_WITHOUT_KEY_ID = 60


def new_key(session_id: UUID) -> bytes:
    """Return a new key for a session's speech, wrapped for storage."""
    return _wrap(AESGCM.generate_key(256), session_id)


def encrypt(wrapped: bytes, session_id: UUID, text: str, bound_to: str = "") -> bytes:
    """Encrypt a text, bound to its session and to `bound_to`.

    The ciphertext differs each time.
    """
    key = _unwrap(bytes(wrapped), session_id, _wrapping_keys())
    return _encrypt_bytes(key, text.encode("utf-8", "surrogatepass"), session_id, bound_to)


def decrypt(wrapped: bytes, session_id: UUID, encrypted: bytes, bound_to: str = "") -> str:
    """Decrypt a text.

    Raises InvalidTag if key, session, `bound_to` and ciphertext do not belong together.
    """
    key = _unwrap(bytes(wrapped), session_id, _wrapping_keys())
    return _decrypt_bytes(key, encrypted, session_id, bound_to).decode("utf-8", "surrogatepass")


def can_unwrap(wrapped: bytes, session_id: UUID) -> bool:
    """Whether this portal wrapped this key for this session."""
    try:
        _unwrap(bytes(wrapped), session_id, _wrapping_keys())
    except InvalidTag:
        return False
    return True


def fingerprint(encrypted: bytes) -> str:
    """Return the SHA-256 of a ciphertext.

    It proves the text while the key exists, and reveals nothing afterwards.
    """
    return hashlib.sha256(encrypted).hexdigest()


def _encrypt_bytes(key: bytes, content: bytes, session_id: UUID, bound_to: str = "") -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, session_id.bytes + bound_to.encode())


def _decrypt_bytes(key: bytes, encrypted: bytes, session_id: UUID, bound_to: str = "") -> bytes:
    return AESGCM(key).decrypt(encrypted[:NONCE_BYTES], encrypted[NONCE_BYTES:], session_id.bytes + bound_to.encode())


def key_id_of(wrapped: bytes) -> str:
    """Return the ID of the portal's key that wrapped a key; empty if it has none.

    Wraps in the old format have no key ID.
    """
    return wrapped[: signing.KEY_ID_BYTES].hex() if len(wrapped) > WRAP_BYTES_WITHOUT_KEY_ID else ""


def rewrap(wrapped: bytes, session_id: UUID) -> bytes:
    """Wrap a session's key with the portal's current key.

    Raises InvalidTag if no key of the portal unwraps it.
    """
    return _wrap(_unwrap(wrapped, session_id, _wrapping_keys()), session_id)


def _wrap(session_key: bytes, session_id: UUID) -> bytes:
    return bytes.fromhex(signing.key_id()) + _encrypt_bytes(signing.key("wrap"), session_key, session_id)


WrappingKeys = tuple[tuple[str, bytes], ...]


def _wrapping_keys() -> WrappingKeys:
    """Return the portal's wrapping keys by ID, the current one first."""
    return tuple(signing.keys("wrap").items())


# The stored bytes are the cache key, so a key destroyed in the database is never looked up again.
@lru_cache(maxsize=256)
def _unwrap(wrapped: bytes, session_id: UUID, wrapping_keys: WrappingKeys) -> bytes:
    name = key_id_of(wrapped)
    encrypted = wrapped[signing.KEY_ID_BYTES :] if name else wrapped
    for each_name, wrapping_key in wrapping_keys:
        if name in ("", each_name):
            with suppress(InvalidTag):
                return _decrypt_bytes(wrapping_key, encrypted, session_id)
    raise InvalidTag
