"""Parse and validate messages from the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from heygen_portal.providers.contract.provider import ENCODINGS, Quality
from sessions import errors
from sessions.capacity.claims import RENEWABLE
from sessions.capacity.slots import StartRequest
from sessions.models import EndReason


def parse(text: str | None) -> dict[str, Any]:
    """Return a message. Raises BadMessage unless it is a JSON object."""
    try:
        content = json.loads(text or "")
    except (ValueError, RecursionError) as exc:
        raise errors.BadMessage from exc
    if not isinstance(content, dict):
        raise errors.BadMessage
    return content


def check_storable(content: dict[str, Any]) -> None:
    """Raise BadMessage for a value that a database would reject.

    These are NaN, Infinity, a lone surrogate and the NUL character.
    """
    try:
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as exc:
        raise errors.BadMessage from exc
    if any("\0" in text for text in _texts(content)):
        raise errors.BadMessage


def _texts(content: dict[str, Any]) -> Iterator[str]:
    pending: list[Any] = [content]
    while pending:
        match pending.pop():
            case str() as text:
                yield text
            case list() as values:
                pending += values
            case dict() as fields:
                pending += [*fields, *fields.values()]


def uuid(value: Any) -> UUID:
    """Return a session ID. Raises NotFound if the value is not a UUID."""
    try:
        return UUID(value)
    except (AttributeError, TypeError, ValueError) as exc:
        raise errors.NotFound from exc


def start_request(content: dict[str, Any]) -> StartRequest:
    """Return the request of a `session.start` message. Raises BadMessage, NotFound."""
    continues, is_taking_over = content.get("continues"), content.get("take_over", False)
    quality, claimed_reason = content.get("quality", ""), content.get("because", EndReason.NO_PICTURE.value)
    if not isinstance(is_taking_over, bool) or claimed_reason not in RENEWABLE:
        raise errors.BadMessage
    encoding = content.get("encoding", "")
    if quality not in ("", *Quality) or encoding not in ("", *ENCODINGS):
        raise errors.BadMessage
    accepts = content.get("accepts", "")
    if not isinstance(accepts, str):
        raise errors.BadMessage
    return StartRequest(
        quality=str(quality),
        encoding=str(encoding),
        is_taking_over=is_taking_over,
        continues=None if continues is None else uuid(continues),
        claimed_reason=EndReason(claimed_reason),
        accepts=accepts,
    )
