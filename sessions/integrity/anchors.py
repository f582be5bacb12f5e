"""Anchors: digests of the seals in a file outside the database.

Anyone who can change the database should not be able to change that file.

Each batch of seals is one line of JSON: time, first and last seal, number of seals, sessions in the portal, newest
audit entry, and a SHA-256 over the previous line, the batch's seals and that entry. If a seal, a whole session or an
entry is changed or deleted later, its batch no longer matches.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Max

from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.models import SessionSeal, StreamingSession

# Seals that are older have no neighbour in a transaction that is still open.
SEAL_SETTLING_TIME = timedelta(minutes=5)


def write(now: datetime) -> bool:
    """Append an anchor for new seals and audit entries.

    Returns whether there were any.

    A lost file is never overwritten.
    """
    path = _path()
    if path is None or is_lost():
        return False
    lines = list(_read(path))
    last = lines[-1] if lines else {}
    after = last.get("to", 0)
    newest = (
        SessionSeal.objects.filter(pk__gt=after, at__lte=now - SEAL_SETTLING_TIME)
        .order_by("-pk")
        .values_list("pk", flat=True)
    )
    entries = AuditEntry.objects.exclude(kind=AuditEntry.Kind.ANCHORED)  # else each anchor would cause the next
    to, entry = newest.first() or after, entries.aggregate(last=Max("number"))["last"] or 0
    if (to, entry) == (after, last.get("entry", 0)):
        return False
    seals, digest = _digest(last.get("hash", ""), after, to, entry)
    line = {
        "at": now.isoformat(),
        "after": after,
        "to": to,
        "seals": seals,
        "sessions": StreamingSession.objects.count(),
        "entry": entry,
        "hash": digest,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())
    audit_log.record_by(None, None, AuditEntry.Kind.ANCHORED, path.name, count=len(lines) + 1, hash=digest)
    return True


def is_lost() -> bool:
    """Whether the file does not match the audit log.

    It was deleted, truncated or rewritten.
    """
    path = _path()
    anchored = AuditEntry.objects.filter(kind=AuditEntry.Kind.ANCHORED).order_by("-number")
    number = anchored.values_list("number", flat=True).first()
    if path is None or number is None:
        return False
    newest = next(audit_log.intact(AuditEntry.objects.filter(number=number)), None)
    data: Any = newest.data if newest else None
    count = data.get("count") if isinstance(data, dict) else None
    if not isinstance(count, int) or not 0 < count <= sys.maxsize:
        return True  # a forged entry
    line = next(islice(_read(path), count - 1, None), {})
    return bool(line.get("hash") != data.get("hash"))


def check() -> tuple[int, int | None]:
    """Return the number of anchors, and the number of the first wrong one, if any.

    An anchor is wrong if it does not match the seals or the audit log.
    """
    path = _path()
    count, previous, after = 0, "", 0
    for count, line in enumerate(_read(path) if path else (), start=1):
        try:
            expected = _digest(previous, after, line["to"], line.get("entry", 0))
            fits = line["after"] == after and (line["seals"], line["hash"]) == expected
            previous, after = line["hash"], line["to"]
        except (KeyError, TypeError, ValueError, OverflowError):
            fits = False
        if not fits:
            return count, count
    return count, None


def _digest(previous: str, after: int, to: int, entry: int) -> tuple[int, str]:
    """Return the number of seals in a batch, and the hash of its anchor."""
    rows = SessionSeal.objects.filter(pk__gt=after, pk__lte=to).order_by("pk")
    digest, count = hashlib.sha256(previous.encode()), 0
    for seal in rows.values_list("session_id", "number", "hash", "signature").iterator(chunk_size=10_000):
        digest.update("|".join(map(str, seal)).encode() + b"\n")
        count += 1
    if entry:
        entry_hash = AuditEntry.objects.filter(number=entry).values_list("hash", flat=True).first()
        digest.update(f"{entry}|{entry_hash}\n".encode())
    return count, digest.hexdigest()


def _path() -> Path | None:
    return Path(settings.HISTORY_ANCHOR_FILE) if settings.HISTORY_ANCHOR_FILE else None


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of the file.

    A line that is not a JSON object becomes an empty one, which matches nothing.
    """
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            line = {}
        yield line if isinstance(line, dict) else {}
