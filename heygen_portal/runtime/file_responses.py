"""File responses in bounded memory: whole files or byte ranges."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

CHUNK_BYTES = 64 * 1024
ACCEL, SENDFILE = "X-Accel-Redirect", "X-Sendfile"
SEND_FILES_CHOICES = ("", ACCEL, SENDFILE)


async def send_file(
    request: HttpRequest, path: Path, content_type: str, *, max_age_seconds: int, name: str = ""
) -> HttpResponseBase:
    """Return a response with a file below MEDIA_ROOT. The caller has checked access.

    With SEND_FILES_WITH the proxy sends the file. Raises FileNotFoundError.
    """
    stat = await asyncio.to_thread(path.stat)
    headers = {"Cache-Control": f"private, max-age={max_age_seconds}"}
    if name:
        headers["Content-Disposition"] = f'inline; filename="{name}"'
    if settings.SEND_FILES_WITH:
        headers[settings.SEND_FILES_WITH] = _proxy_path(path)
        return HttpResponse(content_type=content_type, headers=headers)
    etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    headers |= {"Accept-Ranges": "bytes", "ETag": etag}
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers=headers)
    range_header = request.headers.get("Range", "")
    if request.headers.get("If-Range", etag) != etag:
        range_header = ""  # the client has a part of an older file
    part = _parse_range(range_header, stat.st_size)
    if part is None:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{stat.st_size}"})
    first, last = part
    headers["Content-Length"] = str(last - first + 1)
    is_whole = (first, last) == (0, stat.st_size - 1)
    if not is_whole:
        headers["Content-Range"] = f"bytes {first}-{last}/{stat.st_size}"
    status = 200 if is_whole else 206
    if request.method == "HEAD":
        return HttpResponse(status=status, content_type=content_type, headers=headers)
    body = read_range(path, first, last - first + 1)
    return StreamingHttpResponse(body, status=status, content_type=content_type, headers=headers)


async def read_range(path: Path, first: int, length: int) -> AsyncIterator[bytes]:
    """Read a part of a file in threads, chunk by chunk, at the pace of the client."""
    body = await asyncio.to_thread(open, path, "rb")
    await asyncio.to_thread(body.seek, first)
    async for chunk in read_chunks(body, length):
        yield chunk


async def read_chunks(body: BinaryIO, length: int | None = None) -> AsyncIterator[bytes]:
    """Read an open file in chunks, and close it.

    From its position, up to `length` bytes or to its end.
    """
    left = length if length is not None else sys.maxsize
    try:
        while left > 0 and (chunk := await asyncio.to_thread(body.read, min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
    finally:
        body.close()


def _proxy_path(path: Path) -> str:
    """Return the header value for the proxy.

    X-Accel-Redirect takes an internal URL path, others the file path.
    """
    if settings.SEND_FILES_WITH == SENDFILE:
        return str(path)
    inside = os.path.relpath(path, settings.MEDIA_ROOT)
    return f"{settings.SEND_FILES_PREFIX.rstrip('/')}/{quote(inside)}"


def _parse_range(range_header: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte to send, or None for a range outside the file.

    Headers with several ranges or other units are ignored, as RFC 9110 allows.
    """
    match = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", range_header)
    if match is None or not any(match.groups()):
        return 0, size - 1
    start, end = match.groups()
    if not start:  # the last `end` bytes
        first, last = max(0, size - int(end)), size - 1
    else:
        first, last = int(start), min(int(end), size - 1) if end else size - 1
    return (first, last) if first <= last else None
