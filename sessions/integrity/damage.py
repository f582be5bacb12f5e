"""What can be wrong with the record, and how it is said."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.trail import hash_chain
from heygen_portal.trail.hash_chain import Harm

How = (
    Harm
    | Literal[
        "unsealed",
        "seal_forged",
        "headless",
        "head_forged",
        "text_changed",
        "text_inserted",
        "receipt",
        "held_erased",
        "session_deleted",
        "row_changed",
        "row_deleted",
        "row_added",
        "unstated",
        "key_destroyed",
        "key_kept",
        "unguarded",
        "anchor",
        "anchors_lost",
        "sessions_lost",
    ]
)

WORDS = {
    "changed": _("What it says was changed."),
    "deleted": _("One or more were deleted here."),
    "inserted": _("It was inserted."),
    "swapped": _("It stands in another's place."),
    "truncated": _("Those from here on were cut off."),
    "forged": _("It was written anew, with a hash that fits it."),
    "unsealed": _("The session is over, but its seal is missing."),
    "seal_forged": _("The seal was not made by this portal."),
    "headless": _("The note of how long the record is was deleted."),
    "head_forged": _("The note of how long the record is was not made by this portal."),
    "text_changed": _("A text was changed or deleted that this event proves."),
    "text_inserted": _("A text was added that no event proves."),
    "receipt": _("The receipt of the erasure is not what the record says that it was."),
    "held_erased": _("What was said was erased while a legal hold kept it."),
    "session_deleted": _("The session was deleted, but not all of its record."),
    "row_changed": _("It is not as the record states it."),
    "row_deleted": _("It was deleted; the record states it."),
    "row_added": _("It was added; the record does not state it."),
    "unstated": _("The record does not state what the session was."),
    "key_destroyed": _("The key of what was said was destroyed or changed without a receipt of an erasure."),
    "key_kept": _("What was said was erased, but there is a key again."),
    "anchors_lost": _("The anchors' file is not what the audit entries say that it was."),
    "sessions_lost": _("There are fewer sessions than an earlier check counted."),
    "unguarded": _("The database lets events be changed: the triggers are missing."),
    "anchor": _("The seals are not what the anchor says that they were."),
}


TABLES = {
    "session": _("session"),
    "event": _("event"),
    "head": _("head"),
    "seal": _("seal"),
    "task": _("text sent"),
    "line": _("line"),
    "total": _("cost"),
    "day_total": _("costs of a day"),
    "hold": _("legal hold"),
    "erasure": _("erasure"),
    "provider_erasure": _("erasure at the provider"),
    "speech_key": _("key of speech"),
    "export": _("export"),
    "check": _("check of the record"),
    "audit_entry": _("audit entry"),
    "audit_head": _("end of the audit entries"),
    "anchors_file": _("anchors' file, lines"),
}


@dataclass(frozen=True)
class Fault:
    """One thing that does not fit. `number` is the event's, without a session the audit entry's or the anchor's.

    `table`, `row` and `column` name the row, and the column where that is known.
    """

    how: How
    session: str = ""
    number: int | None = None
    table: str = ""
    row: str = ""
    column: str = ""

    def in_words(self) -> str:
        place = ", ".join(str(part) for part in (self._place(), self._row()) if part)
        said = f"{place}: {WORDS[self.how]}" if place else str(WORDS[self.how])
        return said.encode("utf-8", "backslashreplace").decode()  # a key may be no text

    def _place(self) -> str:
        named = {"session": self.session, "number": self.number}
        if self.session:
            event = gettext(", event %(number)s") % named if self.number else ""
            return gettext("Session %(session)s") % named + event
        if self.number is None:
            return ""
        return (gettext("Anchor %(number)s") if self.how == "anchor" else gettext("Audit entry %(number)s")) % named

    def _row(self) -> str:
        """Name the row and column, where the place does not say it."""
        named = {"table": TABLES.get(self.table, self.table), "row": self.row, "column": self.column}
        is_named = self.table in ("", "session", "event", "audit_entry", "audit_head", "head", "seal")
        row = "" if is_named else gettext("%(table)s %(row)s") % named
        column = gettext("column %(column)s") % named if self.column else ""
        return ", ".join(part for part in (row, column) if part)

    def as_data(self) -> dict[str, Any]:
        said = hash_chain.storable(asdict(self))
        return {**said, "number": self.number if isinstance(self.number, int) else None}
