"""Keys derived from `FIELD_ENCRYPTION_KEY`, and this portal's signatures.

The newest key signs and wraps. Keys in `FIELD_ENCRYPTION_KEY_FALLBACKS` are retired: they still verify and
unwrap what was made with them, and are never removed from the list while anything made with them is kept.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from functools import cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

KEY_ID_BYTES = 4


def sign(*values: object) -> str:
    """Return a signature with the current key: `<key ID>.<HMAC>`, 52 characters."""
    mac = _mac(key("sign"), values)
    return f"{key_id()}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def is_signed(signature: str, *values: object) -> bool:
    """Return whether one of the portal's keys, current or retired, signed the values.

    Signatures from before keys had IDs are 64 hexadecimal digits; any key may have made them.
    """
    name, dot, mac = signature.rpartition(".")
    if dot:
        signing_key = keys("sign").get(name)
        expected = base64.urlsafe_b64encode(_mac(signing_key, values)).rstrip(b"=") if signing_key else b""
        return bool(expected) and hmac.compare_digest(expected, mac.encode("utf-8", "replace"))
    given = signature.encode("utf-8", "replace")
    return any(hmac.compare_digest(_mac(each, values).hex().encode(), given) for each in keys("sign").values())


def key(purpose: str) -> bytes:
    """Return the current key for one purpose.

    Keys of different purposes reveal nothing about each other.
    """
    return _derived(purpose, settings.FIELD_ENCRYPTION_KEY)


def keys(purpose: str) -> Mapping[str, bytes]:
    """Return the keys for one purpose by key ID, the current one first."""
    return _all(purpose, settings.FIELD_ENCRYPTION_KEY, tuple(settings.FIELD_ENCRYPTION_KEY_FALLBACKS))


def key_id() -> str:
    """Return the current key's ID: 8 hexadecimal digits, safe to store in clear."""
    return _id(settings.FIELD_ENCRYPTION_KEY)


def _mac(signing_key: bytes, values: tuple[object, ...]) -> bytes:
    message = "\n".join(map(str, values)).encode("utf-8", "surrogatepass")  # what is verified may be no text
    return hmac.digest(signing_key, message, "sha256")


@cache
def _all(purpose: str, secret: str, retired: tuple[str, ...]) -> Mapping[str, bytes]:
    return {_id(each): _derived(purpose, each) for each in (secret, *retired)}


@cache
def _id(secret: str) -> str:
    return _derived("id", secret)[:KEY_ID_BYTES].hex()


@cache
def _derived(purpose: str, secret: str) -> bytes:
    return HKDF(SHA256(), 32, salt=None, info=f"heygen_portal.{purpose}".encode()).derive(secret.encode())
