"""Cache serializer that stores JSON or bytes, never pickles.

Django's serializer unpickles what it reads, so write access to Redis would allow running code in every process.
"""

from __future__ import annotations

import json
from typing import Any

BYTES, JSON = b"b", b"j"


class JSONSerializer:
    """Stores bytes unchanged and everything else as JSON. Tuples come back as lists."""

    def dumps(self, value: Any) -> int | bytes:
        """Serialize a value. Raises TypeError if it is neither bytes nor JSON."""
        if type(value) is int:  # so that Redis can increment it
            return value
        if isinstance(value, bytes):
            return BYTES + value
        return JSON + json.dumps(value).encode()

    def loads(self, stored: bytes) -> Any:
        """Deserialize a value. Raises ValueError for data that `dumps` did not write."""
        kind, rest = stored[:1], stored[1:]
        if kind == BYTES:
            return rest
        if kind != JSON:
            return int(stored)
        try:
            return json.loads(rest)
        except RecursionError as exc:
            raise ValueError("nested too deeply") from exc
