"""Where providers' answers become ours: one way of reading, and a table of refusals for each provider.

Each service has several envelopes and its sources disagree on some codes, so a refusal is read by a status that
leaves no doubt, then by its code, then by its message.
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
MAX_MESSAGE_CHARACTERS, MAX_CODE_CHARACTERS, MAX_ID_CHARACTERS = 200, 40, 200


@dataclass(frozen=True)
class RefusalTable:
    """How one provider says yes and no: the codes of its success, and what its refusals mean."""

    successes: tuple[str, ...]
    by_code: Mapping[str, type[ProviderRejected]]
    by_message: tuple[tuple[str, type[ProviderRejected]], ...]
    """Parts of its messages in lower case, the telling ones first."""
    by_status: Mapping[int, type[ProviderRejected]] = field(default_factory=dict)
    wrong_state: str = ""
    """A code that it uses for every state a session may be in; the message may say more."""


def parse_response(
    path: str,
    status: int,
    body: bytes,
    refusals: RefusalTable,
    *,
    may_quote: bool = True,
    secrets: tuple[str, ...] = (),
) -> Any:
    """Return what stands under `data`, or raise the refusal.

    The refusal quotes the provider, which may repeat what it was sent: `may_quote` is False for calls
    that carry speech, and `secrets` are blotted out.
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
    if status in (401, 429):  # a gateway's own page; the status says enough
        return {}
    raise ProviderUnreachable(f"{path}: HTTP {status} without a JSON object")


def _code_and_message(envelope: dict[str, Any]) -> tuple[str, str | None]:
    """Return the code ("" for none) and the error's message, None where the envelope names no error."""
    error = envelope.get("error")
    code = envelope.get("code")
    if isinstance(error, dict):
        return str(error.get("code") or code or ""), _first_text(error, "message", "msg")
    if error is None and envelope.get("success") is not False:
        return "" if code is None else str(code), None
    return "" if code is None else str(code), _message(envelope)


def _message(envelope: dict[str, Any]) -> str:
    """Return what the envelope says in message, in whichever of the places that are known."""
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
    """One entry of a validator's list: where, and what. Its `input` may be what people quoted and is left out."""
    place = detail.get("loc")
    where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
    return ": ".join(filter(None, (where, _first_text(detail, "msg"))))


def _first_text(source: dict[str, Any], *keys: str) -> str:
    return next((value for key in keys if isinstance(value := source.get(key), str)), "")


def _redact(secrets: tuple[str, ...], message: str) -> str:
    for secret in filter(None, secrets):
        message = message.replace(secret, "…")
    return message


def _error_class(status: int, code: str, message: str, refusals: RefusalTable) -> type[ProviderRejected]:
    if status == 401:
        return CredentialRefused
    if code in refusals.by_code:
        return refusals.by_code[code]
    if status == 429:  # after the code: a trial that is used up says 429 as well, and waiting does not help
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
    """The object under `data`; empty for anything else, since every field of it is optional."""
    return data if isinstance(data, dict) else {}


def rows(data: Any, name: str = "", *, key: str) -> list[dict[str, Any]]:
    """The entries, below `name` if given, that can be told apart.

    What is no list at all raises: read as an empty one, it would say that everything is gone.
    """
    listed = data.get(name) or [] if name and isinstance(data, dict) else data
    if not isinstance(listed, list):
        raise ProviderUnreachable(f"a list of {name or key} was expected")
    return [row for row in listed if isinstance(row, dict) and text(row.get(key))]


def number(value: Any) -> float:
    """A finite number; zero for anything else."""
    return float(value) if isinstance(value, int | float) and abs(value) < math.inf else 0.0


def duration(value: Any, unit: timedelta) -> timedelta | None:
    """So many units of time; None for what is no time span."""
    try:
        return number(value) * unit if number(value) > 0 else None
    except OverflowError:
        return None


def text(value: Any) -> str:
    """A text; empty for anything else, since a list or an object in its place would end up in a template."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def identifier(value: Any, name: str) -> str:
    """An ID that can be stored; without it an answer is of no use, and ProviderUnreachable says what is missing."""
    if not isinstance(value, str) or not value or len(value) > MAX_ID_CHARACTERS:
        raise ProviderUnreachable(f"{name} is missing")
    return value


def required_text(value: Any, name: str) -> str:
    """A token or an address that must be there; ProviderUnreachable says which one is missing."""
    if not isinstance(value, str) or not value:
        raise ProviderUnreachable(f"{name} is missing")
    return value


def path_segment(identifier: str) -> str:
    """An ID as one step of a path, whatever is in it."""
    return quote(identifier, safe="")


def without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Only what was without_empty: an explicit null is a value to some servers."""
    return {name: value for name, value in fields.items() if value not in ("", None, {})}


def credit_amount(value: Any, *, per: int = 1) -> Decimal | None:
    """So many credits, which may be written as a text; None for what is no number."""
    try:
        found = Decimal(text(value) or str(number(value) if isinstance(value, float) else "")) / per
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def timestamp(value: Any) -> datetime | None:
    """A Unix time or an ISO 8601 one; None for what is none."""
    try:
        if isinstance(value, str):
            parsed = datetime.fromisoformat(value)
            return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
        return datetime.fromtimestamp(number(value), UTC) if number(value) > 0 else None
    except (OverflowError, OSError, ValueError):
        return None
