"""Anchors: what the seals were, in a file that whoever can change the database should not be able to change.

One line of JSON for each batch: moment, first and last seal, how many, sessions in the portal, the newest audit entry,
and a SHA-256 over the line before, the batch's seals and that entry. A seal, a whole session, or an entry that is
missing or different later shows in its batch.
"""

from __future__ import annotations

import hashlib
import json
import os
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

SEAL_SETTLING_TIME = timedelta(minutes=5)
"""A seal that is older has no neighbour that is still being written."""


def write(now: datetime) -> bool:
    """Append a line for the seals and audit entries that came since the last; return whether there were any."""
    path = _path()
    if path is None or is_lost():
        return False  # never over whatever is there
    lines = list(_read(path))
    last = lines[-1] if lines else {}
    after = last.get("to", 0)
    newest = (
        SessionSeal.objects.filter(pk__gt=after, at__lte=now - SEAL_SETTLING_TIME)
        .order_by("-pk")
        .values_list("pk", flat=True)
    )
    entries = AuditEntry.objects.exclude(kind=AuditEntry.Kind.ANCHORED)  # else each anchor would ask for the next
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
    """Whether the file is not the one that the audit entries tell of: deleted, cut off, or written again."""
    path = _path()
    noted = AuditEntry.objects.filter(kind=AuditEntry.Kind.ANCHORED).order_by("-number").first()
    if path is None or noted is None:
        return False
    count = noted.data.get("count", 0)
    line = next(islice(_read(path), count - 1, None), {})
    return bool(line.get("hash") != noted.data.get("hash"))


def check() -> tuple[int, int | None]:
    """Return how many anchors there are, and the number of the first that the record no longer fits."""
    path = _path()
    count, previous, after = 0, "", 0
    for count, line in enumerate(_read(path) if path else (), start=1):
        try:
            expected = _digest(previous, after, line["to"], line.get("entry", 0))
            fits = line["after"] == after and (line["seals"], line["hash"]) == expected
            previous, after = line["hash"], line["to"]
        except (KeyError, TypeError):
            fits = False
        if not fits:
            return count, count
    return count, None


def _digest(previous: str, after: int, to: int, entry: int) -> tuple[int, str]:
    """Return how many seals there are in this batch, and the hash of the anchor."""
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
    """Yield the lines; one that is no JSON object is an empty one, which fits nothing."""
    if not path.exists():
        return
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            line = {}
        yield line if isinstance(line, dict) else {}
