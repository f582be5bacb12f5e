"""Secrets and signatures as in Standard Webhooks (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime

PREFIX = "whsec_"
SECRET_BYTES = 32


class SecretUnreadable(Exception):
    """A stored secret is not one. Its key is missing from the settings, or the row was changed by SQL."""


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def headers(message_id: str, at: datetime, body: bytes, keys: Iterable[str]) -> Mapping[str, str]:
    """Return the headers that sign a body, with one signature for each secret. Raises SecretUnreadable."""
    timestamp = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    signatures = (hmac.digest(_key(secret), signed, hashlib.sha256) for secret in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in signatures),
    }


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX).encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as exc:
        raise SecretUnreadable from exc
    if not secret.startswith(PREFIX) or len(key) != SECRET_BYTES:
        raise SecretUnreadable
    return key
