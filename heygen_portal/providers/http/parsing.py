"""Parsing of provider responses, with a table of refusals for each provider.

The services use several envelopes, and sources disagree on some codes. A refusal is therefore classified by an
unambiguous status first, then by its code, then by its message.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

from heygen_portal.providers.contract.provider import (
    CredentialRefused,
    LimitReached,
    NotReady,
    ProviderRejected,
    ProviderUnreachable,
)

NO_CONTENT = 204
WITHHELD_FIELDS = frozenset({"token", "livekit_token", "knowledge_base", "prompt", "opening_text"})
MAX_MESSAGE_CHARACTERS, MAX_CODE_CHARACTERS, MAX_ID_CHARACTERS = 200, 40, 200


@dataclass(frozen=True)
class RefusalTable:
    """A provider's success codes and the meaning of its refusals."""

    successes: tuple[str, ...]
    by_code: Mapping[str, type[ProviderRejected]]
    # Lower-case parts of messages, the most specific first.
    by_message: tuple[tuple[str, type[ProviderRejected]], ...]
    by_status: Mapping[int, type[ProviderRejected]] = field(default_factory=dict)
    # A code used for every wrong session state; the message may be more specific.
    wrong_state: str = ""


def parse_response(
    path: str,
    status: int,
    body: bytes,
    refusals: RefusalTable,
    *,
    may_quote: bool = True,
    secrets: tuple[str, ...] = (),
) -> Any:
    """Return `data` of a response, or raise the refusal.

    The refusal quotes the provider, which may repeat what it was sent. `may_quote` must be False for calls that carry
    speech; `secrets` are redacted.
    """
    if status >= 500 or 300 <= status < 400:
        raise ProviderUnreachable(f"{path}: HTTP {status}")
    if status == NO_CONTENT:
        return None
    envelope = _envelope(path, status, body)
    code, message = _code_and_message(envelope)
    if 200 <= status < 300 and message is None and code in ("", *refusals.successes):
        return envelope.get("data")
    message = message or _message(envelope)
    quoted = _redact(secrets, message)[:MAX_MESSAGE_CHARACTERS] if may_quote and message else "refused"
    raise _error_class(status, code, message.lower(), refusals)(
        f"{path}: {quoted}", code=code[:MAX_CODE_CHARACTERS], status=status
    )


def _envelope(path: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        envelope = None
    if isinstance(envelope, dict):
        return envelope
    if status in (401, 429):  # a gateway's page; the status is sufficient
        return {}
    raise ProviderUnreachable(f"{path}: HTTP {status} without a JSON object")


def _code_and_message(envelope: dict[str, Any]) -> tuple[str, str | None]:
    """Return the error code, "" for none, and the message, None if there is no error."""
    error = envelope.get("error")
    code = envelope.get("code")
    if isinstance(error, dict):
        return str(error.get("code") or code or ""), _first_text(error, "message", "msg")
    if error is None and envelope.get("success") is not False:
        return "" if code is None else str(code), None
    return "" if code is None else str(code), _message(envelope)


def _message(envelope: dict[str, Any]) -> str:
    """Return the message from any of the places where providers put it."""
    first_entry = next(iter(envelope["data"]), None) if isinstance(envelope.get("data"), list) else None
    quoted = (
        _first_text(envelope, "message", "msg")
        or _first_text(mapping(first_entry), "message")
        or _first_text(envelope, "error", "detail")
    )
    details = envelope.get("detail")
    if quoted or not isinstance(details, list):
        return quoted
    return "; ".join(_detail(detail) for detail in details if isinstance(detail, dict))


def _detail(detail: dict[str, Any]) -> str:
    """Format one validation error as location and message.

    Its `input` may contain speech and is left out.
    """
    place = detail.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
    return ": ".join(filter(None, (where, _first_text(detail, "msg"))))


def _first_text(source: dict[str, Any], *keys: str) -> str:
    return next((value for key in keys if isinstance(value := source.get(key), str) and value), "")


def _redact(secrets: tuple[str, ...], message: str) -> str:
    for secret in filter(None, secrets):
        message = message.replace(secret, "…")
    return message


def _error_class(status: int, code: str, message: str, refusals: RefusalTable) -> type[ProviderRejected]:
    if status == 401:
        return CredentialRefused
    if code in refusals.by_code:
        return refusals.by_code[code]
    if status == 429:  # after the code: an exhausted trial has status 429 too, and retrying does not help
        return LimitReached
    for part, refusal in refusals.by_message:
        if part in message:
            return refusal
    if status in refusals.by_status:
        return refusals.by_status[status]
    if code and code == refusals.wrong_state:
        return NotReady
    return CredentialRefused if status == 403 else ProviderRejected


def mapping(data: Any) -> dict[str, Any]:
    """Return `data` if it is an object, else an empty one."""
    return data if isinstance(data, dict) else {}


def rows(data: Any, name: str = "", *, key: str) -> list[dict[str, Any]]:
    """Return the rows of a list, below `name` if given, that have a `key`.

    Raises ProviderUnreachable if there is no list: read as empty, it would mean that everything was deleted.
    """
    listed = data.get(name) or [] if name and isinstance(data, dict) else data
    if not isinstance(listed, list):
        raise ProviderUnreachable(f"a list of {name or key} was expected")
    return [row for row in listed if isinstance(row, dict) and text(row.get(key))]


def number(value: Any) -> float:
    """Return a finite number, or 0 for any other value."""
    return float(value) if isinstance(value, int | float) and abs(value) < math.inf else 0.0


def duration(value: Any, unit: timedelta) -> timedelta | None:
    """Return `value` units of time, or None if it is no valid duration."""
    try:
        return number(value) * unit if number(value) > 0 else None
    except OverflowError:
        return None


def text(value: Any) -> str:
    """Return a string or an integer as text, or "" for any other value."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def identifier(value: Any, name: str) -> str:
    """Return an ID short enough to store.

    Raises ProviderUnreachable if it is missing.
    """
    if not isinstance(value, str) or not value or len(value) > MAX_ID_CHARACTERS:
        raise ProviderUnreachable(f"{name} is missing")
    return value


def required_text(value: Any, name: str) -> str:
    """Return a token or URL. Raises ProviderUnreachable with `name` if it is missing."""
    if not isinstance(value, str) or not value:
        raise ProviderUnreachable(f"{name} is missing")
    return value


def path_segment(identifier: str) -> str:
    """Return an ID quoted for a URL path."""
    return quote(identifier, safe="")


def without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that have a value. Some servers treat null as a value."""
    return {name: value for name, value in fields.items() if value not in ("", None, {})}


def as_sent(body: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the fields of a request for the record.

    Names are dotted; texts and secrets are None.
    """
    fields: dict[str, Any] = {}
    for name, value in body.items():
        if isinstance(value, Mapping):
            fields |= as_sent(value, f"{prefix}{name}.")
        else:
            fields[f"{prefix}{name}"] = None if name in WITHHELD_FIELDS else value
    return fields


def credit_amount(value: Any, *, per: int = 1) -> Decimal | None:
    """Return a number of credits, which may be a string, or None if it is invalid."""
    try:
        found = Decimal(text(value) or str(number(value) if isinstance(value, float) else "")) / per
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def timestamp(value: Any) -> datetime | None:
    """Return a Unix or ISO 8601 time as a datetime, or None if it is invalid."""
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return datetime.fromtimestamp(number(value), UTC) if number(value) > 0 else None
    except (OverflowError, OSError, ValueError):
        return None
