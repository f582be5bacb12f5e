"""Sizes and times that the server accepts. docs/web-server.md has the settings for a proxy in front."""

from __future__ import annotations

import posixpath
import re
from datetime import timedelta
from urllib.parse import unquote_to_bytes

from heygen_portal.env import env

KIB = 1024
MIB = 1024 * KIB

# The first pattern that matches a path decides. What strangers may send is smallest.
BODY_BYTES: tuple[tuple[re.Pattern[bytes], int], ...] = (
    (re.compile(rb"/webhooks/"), 64 * KIB),
    (re.compile(rb"/accounts/|/language/|/admin/login/"), 64 * KIB),
    (re.compile(rb"/admin/avatars/knowledgebase/import/"), 16 * MIB),
)
DEFAULT_BODY_BYTES = MIB
# Bodies that may be larger than that and are being received, in one process: each is a file meanwhile.
MAX_LARGE_BODIES = 8
# Of these, from one address (a /64 of IPv6): nobody keeps all others from uploading.
MAX_LARGE_BODIES_PER_ADDRESS = 2

# Of a body in chunks, how much is parsed before it is looked at again how much of it was content.
CHUNKS_PARSED_BYTES = 8 * KIB

# Connections that wait to be accepted; one more would try again after a second, and another after three.
LISTEN_BACKLOG = 1024

HEADER_BYTES = 16 * KIB
HEADER_LINES = 100

# How long a client may take before its speed counts: to send its headers, its body, or to read an answer.
CLIENT_TIMEOUT = timedelta(seconds=env.float("CLIENT_TIMEOUT", 20))
IDLE_TIMEOUT = timedelta(seconds=60)
MIN_BYTES_PER_SECOND = 16 * KIB
# Of a large body: it takes one of few places.
MIN_LARGE_BODY_BYTES_PER_SECOND = 256 * KIB
# How long, and how much of what still comes, a client may take to notice that it was refused.
REFUSAL_TIMEOUT = timedelta(seconds=5)
MAX_BYTES_AFTER_REFUSAL = 32 * MIB

# What is read from a file, or written to a client, at once.
CHUNK_BYTES = 64 * KIB

# Above the 64 KiB that a consumer refuses in words, so that the page learns why its socket closes.
SOCKET_MESSAGE_BYTES = 256 * KIB
SOCKET_MESSAGES_QUEUED = 64
SOCKET_UNREAD_BYTES = 4 * MIB
# Frames that carry no message of their own: browsers answer pings, and send few parts of a message.
SOCKET_CONTROL_FRAMES = 200
SOCKET_CONTROL_FRAMES_PER_SECOND = 5.0
TOO_MANY_FRAMES = 4429
# Bytes that a client may send before its handshake is answered.
SOCKET_EARLY_BYTES = 64 * KIB


def body_bytes(path: bytes) -> int:
    """Return the largest request body for a path, in bytes: the smallest for all that the path can be taken for."""
    decoded = unquote_to_bytes(path.partition(b"?")[0])
    return min(_limit_for(one) for one in (path, decoded, _normalized(decoded)))


def _normalized(path: bytes) -> bytes:
    """Return a path without dot segments and empty segments, and without the host of an absolute address."""
    path = re.sub(rb"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*", b"", path)
    ending = b"/" if path.endswith((b"/", b"/.", b"/..")) else b""
    normal = posixpath.normpath(b"/" + path.lstrip(b"/"))
    return normal if normal == b"/" else normal + ending


def _limit_for(path: bytes) -> int:
    return next((size for pattern, size in BODY_BYTES if pattern.match(path)), DEFAULT_BODY_BYTES)


def transfer_seconds(size: int) -> float:
    """Return how long a client may take to send or read so many bytes."""
    return CLIENT_TIMEOUT.total_seconds() + size / MIN_BYTES_PER_SECOND


def upload_seconds(size: int) -> float:
    """Return how long a client may take to send a body of so many bytes."""
    if size <= DEFAULT_BODY_BYTES:
        return transfer_seconds(size)
    return CLIENT_TIMEOUT.total_seconds() + size / MIN_LARGE_BODY_BYTES_PER_SECOND
