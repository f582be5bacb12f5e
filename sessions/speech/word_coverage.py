"""From which line on the audit log says that every line's words are signed.

Otherwise an emptied signature would pass for one of an earlier version.
"""

from __future__ import annotations

from django.db import transaction

from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from sessions.models import Utterance

Kind = AuditEntry.Kind
# Key in the data of an audit entry: the primary key of the first such line.
SIGNED_FROM = "words_signed_from_line"


def first_signed_line() -> int | None:
    """Return the primary key from which on every line is signed, or None if no entry says so.

    An entry that was changed since is not believed.
    """
    entries = audit_log.intact(AuditEntry.objects.filter(kind=Kind.RECORD_UPGRADED))
    stated = (entry.data.get(SIGNED_FROM) for entry in entries if isinstance(entry.data, dict))
    return min((line for line in stated if isinstance(line, int)), default=None)


def state_signed_lines() -> None:
    """State once that all lines after the last one without a signature are signed, and later ones will be."""
    if first_signed_line() is None:
        unsigned = Utterance._base_manager.filter(words_signature="", session__erasure=None)
        last = unsigned.order_by("-pk").values_list("pk", flat=True).first()
        _state(last + 1 if last else 0)


def state_all_lines() -> None:
    """State that every line is signed, because the whole index was rebuilt."""
    _state(0)


def _state(first_line: int) -> None:
    with transaction.atomic():
        audit_log.lock_head()
        stated = first_signed_line()
        if stated is None or stated > first_line:
            about = f"words from line {first_line}"
            audit_log.record_by(None, None, Kind.RECORD_UPGRADED, about, **{SIGNED_FROM: first_line})
