"""A check that makes many automated guests expensive.

`CHECKS` is the place for others. The built-in one needs no outside service and tells nobody about the guest: the page
finds a number whose hash with the seed begins with so many zero bits, which takes a device a second or two.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

from django.core import signing
from django.core.cache import cache

SALT = "sessions.embed.challenge"
LIFETIME = timedelta(minutes=5)
WORK_BITS = 14
MAX_ANSWER_CHARACTERS = 500


class Check(Protocol):
    """One kind of check. `about` is what an answer is good for: an embed and a network."""

    def issue(self, about: str) -> dict[str, Any]:
        """Return what the page needs to answer."""

    def is_answered(self, answer: Mapping[str, Any], about: str) -> bool:
        """Whether a page's answer is right, for the first time."""


class ProofOfWork:
    """SHA-256 of the seed and a number, with `bits` leading zero bits."""

    def issue(self, about: str) -> dict[str, Any]:
        seed = signing.dumps([about, secrets.token_hex(8)], salt=SALT)
        return {"kind": "work", "seed": seed, "bits": WORK_BITS}

    def is_answered(self, answer: Mapping[str, Any], about: str) -> bool:
        seed, number = str(answer.get("seed", ""))[:MAX_ANSWER_CHARACTERS], answer.get("number")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**53:
            return False
        try:
            stated, nonce = signing.loads(seed, salt=SALT, max_age=LIFETIME)
        except (signing.BadSignature, ValueError):
            return False
        digest = hashlib.sha256(f"{seed}.{number}".encode()).digest()
        is_solved = int.from_bytes(digest[:4], "big") >> (32 - WORK_BITS) == 0
        return is_solved and stated == about and cache.add(f"guest-work:{nonce}", 1, 2 * LIFETIME.total_seconds())


CHECKS: Mapping[str, Check] = {"work": ProofOfWork()}
DEFAULT_CHECK = "work"


def issue(about: str) -> dict[str, Any]:
    """Return a challenge for the page."""
    return CHECKS[DEFAULT_CHECK].issue(about)


def is_answered(answer: object, about: str) -> bool:
    """Whether a page answered a challenge that the portal issued for `about`."""
    if not isinstance(answer, dict):
        return False
    check = CHECKS.get(str(answer.get("kind")))
    return check is not None and check.is_answered(answer, about)
