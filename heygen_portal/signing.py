"""Keys that the portal derives from its one secret, and the signature that only it can make. Knows no models."""

from __future__ import annotations

import hmac
from functools import cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def sign(*said: object) -> str:
    """Return a signature that only this portal can make (hexadecimal)."""
    message = "\n".join(map(str, said)).encode()
    return hmac.digest(key("sign", settings.SALT_KEY), message, "sha256").hex()


@cache
def key(purpose: str, secret: str) -> bytes:
    """Return the portal's key for one purpose; none tells of another."""
    return HKDF(SHA256(), 32, salt=None, info=f"heygen_portal.{purpose}".encode()).derive(secret.encode())
