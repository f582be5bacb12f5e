"""Size and time limits of the server.

docs/web-server.md has matching settings for a proxy.
"""

from __future__ import annotations

import posixpath
import re
from datetime import timedelta
from urllib.parse import unquote_to_bytes

from heygen_portal.env import env

KIB = 1024
MIB = 1024 * KIB

# The first matching pattern decides. Paths open to strangers have the lowest limits.
BODY_BYTES: tuple[tuple[re.Pattern[bytes], int], ...] = (
    (re.compile(rb"/webhooks/"), 64 * KIB),
    (re.compile(rb"/accounts/|/language/|/admin/login/"), 64 * KIB),
    (re.compile(rb"/admin/avatars/knowledgebase/import/"), 16 * MIB),
    (re.compile(rb"/admin/avatars/library/\d+/documents"), 16 * MIB),
    (re.compile(rb"/api/v1/(?:libraries/\d+/documents|documents/\d+/versions)$"), 16 * MIB),
)
DEFAULT_BODY_BYTES = MIB
# Concurrent uploads of larger bodies in one process. Each is stored in a temporary file.
MAX_LARGE_BODIES = 8
# Of these, from one address or IPv6 /64, so that one client cannot block all others.
MAX_LARGE_BODIES_PER_ADDRESS = 2

# Bytes of a chunked body parsed between two checks of how much of it was content.
CHUNKS_PARSED_BYTES = 8 * KIB

# Pending connections. Beyond that, clients retry after one second, then three.
LISTEN_BACKLOG = 1024

HEADER_BYTES = 16 * KIB
HEADER_LINES = 100

# Time allowed, in addition to the minimum speed, to send headers or a body or to read a response.
CLIENT_TIMEOUT = timedelta(seconds=env.float("CLIENT_TIMEOUT", 20))
IDLE_TIMEOUT = timedelta(seconds=60)
MIN_BYTES_PER_SECOND = 16 * KIB
# Higher for a large body, because it occupies one of few slots.
MIN_LARGE_BODY_BYTES_PER_SECOND = 256 * KIB
# Time and further bytes allowed until a client notices that it was refused.
REFUSAL_TIMEOUT = timedelta(seconds=5)
MAX_BYTES_AFTER_REFUSAL = 32 * MIB

# Unit of reading files and writing to clients.
CHUNK_BYTES = 64 * KIB

# Above the 64 KiB that a consumer refuses. Larger messages are not read.
SOCKET_MESSAGE_BYTES = 256 * KIB
SOCKET_MESSAGES_QUEUED = 64
SOCKET_UNREAD_BYTES = 4 * MIB
# Control and continuation frames: browsers answer pings and rarely split messages.
SOCKET_CONTROL_FRAMES = 200
SOCKET_CONTROL_FRAMES_PER_SECOND = 5.0
# Named to a page that sent too many: by then all of them are allowed again.
SOCKET_CONTROL_FRAMES_WAIT_S = round(SOCKET_CONTROL_FRAMES / SOCKET_CONTROL_FRAMES_PER_SECOND)
# Close codes: an HTTP status plus 4000, the range that applications may use.
TOO_LARGE, TOO_MANY_FRAMES = 4413, 4429
# Bytes that a client may send before the handshake is complete.
SOCKET_EARLY_BYTES = 64 * KIB


def body_bytes(path: bytes) -> int:
    """Return a path's body size limit in bytes: the lowest over all its readings."""
    decoded = unquote_to_bytes(path.partition(b"?")[0])
    return min(_limit_for(one) for one in (path, decoded, _normalized(decoded)))


def _normalized(path: bytes) -> bytes:
    """Return a path without dot segments, empty segments and host."""
    path = re.sub(rb"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*", b"", path)
    ending = b"/" if path.endswith((b"/", b"/.", b"/..")) else b""
    normal = posixpath.normpath(b"/" + path.lstrip(b"/"))
    return normal if normal == b"/" else normal + ending


def _limit_for(path: bytes) -> int:
    return next((size for pattern, size in BODY_BYTES if pattern.match(path)), DEFAULT_BODY_BYTES)


def transfer_seconds(size: int) -> float:
    """Return the seconds that a client may take to send or read `size` bytes."""
    return CLIENT_TIMEOUT.total_seconds() + size / MIN_BYTES_PER_SECOND


def upload_seconds(size: int) -> float:
    """Return the seconds that a client may take to send a body of `size` bytes."""
    if size <= DEFAULT_BODY_BYTES:
        return transfer_seconds(size)
    return CLIENT_TIMEOUT.total_seconds() + size / MIN_LARGE_BODY_BYTES_PER_SECOND
