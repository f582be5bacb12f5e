"""Where HeyGen's answers become ours: one envelope, one table of refusals.

HeyGen has three envelopes and its sources disagree on some codes, so a refusal is read by its HTTP status, then by
its code, then by its words.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from heygen_portal.providers.base import (
    CredentialRefused,
    LimitReached,
    NotReady,
    ProviderRejected,
    ProviderUnreachable,
    SessionGone,
)

LONGEST_MESSAGE, LONGEST_CODE = 200, 40

BY_STATUS: dict[int, type[ProviderRejected]] = {401: CredentialRefused, 429: LimitReached}

BY_CODE: dict[str, type[ProviderRejected]] = {
    "10001": NotReady,  # state: new
    "10002": NotReady,  # state: connecting
    "10004": SessionGone,  # state: closing
    "10005": SessionGone,  # state: closed
    "10006": SessionGone,  # not found
    "10007": LimitReached,  # sessions at once
    "10012": ProviderRejected,  # avatar not found
    "10013": ProviderRejected,  # avatar not allowed: comes as 403, but the key is all right
    "10014": LimitReached,  # the service is full
    "10015": LimitReached,  # the trial's limit
    "400123": LimitReached,  # too many calls
    "40009": CredentialRefused,
    "40102": CredentialRefused,
    "400101": CredentialRefused,
    "400112": CredentialRefused,
    "400562": CredentialRefused,  # account not enabled
    "400599": CredentialRefused,  # the plan has no API
    "400631": CredentialRefused,  # account blocked
}

# For codes that no source names, and for 400006, which one number uses for every wrong state.
BY_WORDS: tuple[tuple[str, type[ProviderRejected]], ...] = (
    ("session not found", SessionGone),
    ("closed", SessionGone),
    ("closing", SessionGone),
    ("session state wrong", NotReady),
    ("not in correct state", NotReady),
    ("concurrent limit", LimitReached),
    ("unauthorized", CredentialRefused),
)


def read(path: str, status: int, body: bytes, *, may_quote: bool = True, secrets: tuple[str, ...] = ()) -> Any:
    """Return what stands under `data`, or raise the refusal.

    The refusal quotes the provider, which may repeat what it was sent: `may_quote` is False for calls
    that carry speech, and `secrets` are blotted out.
    """
    if status >= 500 or 300 <= status < 400:
        raise ProviderUnreachable(f"{path}: HTTP {status}")
    envelope = _envelope(path, status, body)
    code, words = _complaint(envelope)
    if 200 <= status < 300 and words is None and code in ("", "100"):
        return envelope.get("data")
    words = words or _text(envelope, "message", "msg")
    said = _without(secrets, words)[:LONGEST_MESSAGE] if may_quote and words else "refused"
    raise _kind(status, code, words.lower())(f"{path}: {said}", code=code[:LONGEST_CODE], status=status)


def _envelope(path: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        envelope = None
    if isinstance(envelope, dict):
        return envelope
    if status in BY_STATUS:  # a gateway's own page; the status says enough
        return {}
    raise ProviderUnreachable(f"{path}: HTTP {status} without a JSON object")


def _complaint(envelope: dict[str, Any]) -> tuple[str, str | None]:
    """Return the code ("" for none) and the error's words, None where the envelope names no error."""
    error = envelope.get("error")
    code = envelope.get("code")
    if isinstance(error, dict):
        return str(error.get("code") or code or ""), _text(error, "message", "msg")
    if error is None and envelope.get("success") is not False:
        return "" if code is None else str(code), None
    return "" if code is None else str(code), error if isinstance(error, str) else _text(envelope, "message", "msg")


def _text(source: dict[str, Any], *keys: str) -> str:
    return next((value for key in keys if isinstance(value := source.get(key), str)), "")


def _without(secrets: tuple[str, ...], words: str) -> str:
    for secret in filter(None, secrets):
        words = words.replace(secret, "…")
    return words


def _kind(status: int, code: str, words: str) -> type[ProviderRejected]:
    if status in BY_STATUS:
        return BY_STATUS[status]
    if code in BY_CODE:
        return BY_CODE[code]
    for part, refusal in BY_WORDS:
        if part in words:
            return refusal
    if code == "400006":
        return NotReady
    return CredentialRefused if status == 403 else ProviderRejected


def mapping(data: Any) -> dict[str, Any]:
    """The object under `data`; empty for anything else, since every field of it is optional."""
    return data if isinstance(data, dict) else {}


def rows(data: Any, name: str = "", *, key: str) -> list[dict[str, Any]]:
    """The entries, below `name` if given, that can be told apart.

    What is no list at all raises: read as an empty one, it would say that everything is gone.
    """
    listed = data.get(name) or [] if name and isinstance(data, dict) else data
    if not isinstance(listed, list):
        raise ProviderUnreachable(f"a list of {name or key} was expected")
    return [row for row in listed if isinstance(row, dict) and row.get(key)]


def number(value: Any) -> float:
    """A finite number; zero for anything else."""
    return float(value) if isinstance(value, int | float) and abs(value) < math.inf else 0.0


def duration(value: Any, unit: timedelta) -> timedelta | None:
    """So many units of time; None for what is no time span."""
    try:
        return number(value) * unit if number(value) > 0 else None
    except OverflowError:
        return None


def moment(value: Any) -> datetime | None:
    """A Unix time; None for what is none."""
    try:
        return datetime.fromtimestamp(number(value), UTC) if number(value) > 0 else None
    except (OverflowError, OSError, ValueError):
        return None
