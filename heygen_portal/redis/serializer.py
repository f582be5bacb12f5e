"""How values are stored in the cache: as JSON or bytes, never as pickles.

Django's own serializer unpickles what it reads, so that anybody who can write to Redis runs code in every process.
"""

from __future__ import annotations

import json
from typing import Any

BYTES, JSON = b"b", b"j"


class JSONSerializer:
    """Stores bytes as they are and everything else as JSON. Tuples come back as lists."""

    def dumps(self, value: Any) -> int | bytes:
        """Return what Redis stores. Raises TypeError for a value that is neither bytes nor JSON."""
        if type(value) is int:  # Redis counts with these itself
            return value
        if isinstance(value, bytes):
            return BYTES + value
        return JSON + json.dumps(value).encode()

    def loads(self, stored: bytes) -> Any:
        """Return a stored value. Raises ValueError for anything that `dumps` does not write."""
        kind, rest = stored[:1], stored[1:]
        if kind == BYTES:
            return rest
        if kind != JSON:
            return int(stored)
        try:
            return json.loads(rest)
        except RecursionError as exc:
            raise ValueError("nested too deeply") from exc
