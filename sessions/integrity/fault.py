"""Faults that verification finds in the record, and their descriptions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime import stored_json
from heygen_portal.trail import hash_chain
from heygen_portal.trail.hash_chain import Tampering

logger = logging.getLogger(__name__)

FaultKind = (
    Tampering
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
        "unbooked",
        "deadline_moved",
        "key_destroyed",
        "key_kept",
        "unguarded",
        "unindexed",
        "misindexed",
        "words_kept",
        "anchor",
        "anchors_lost",
        "sessions_lost",
        "uncompared",
    ]
)

FAULT_TEXTS: dict[str, str | Promise] = {
    "changed": _("Its content was changed."),
    "deleted": _("One or more rows were deleted here."),
    "inserted": _("It was inserted later."),
    "swapped": _("It is in the position of another row."),
    "truncated": _("All following rows were deleted."),
    "forged": _("It was replaced, with a matching hash."),
    "unsealed": _("The session has ended, but its seal is missing."),
    "seal_forged": _("The seal was not created by this portal."),
    "headless": _("The stored length of the record was deleted."),
    "head_forged": _("The stored length of the record was not written by this portal."),
    "text_changed": _("A text covered by this event was changed or deleted."),
    "text_inserted": _("A text was added that no event covers."),
    "receipt": _("The erasure receipt does not match the record."),
    "held_erased": _("Text was erased despite a legal hold."),
    "session_deleted": _("The session was deleted, but parts of its record remain."),
    "row_changed": _("It does not match the record."),
    "row_deleted": _("It was deleted, but is in the record."),
    "row_added": _("It was added, but is not in the record."),
    "unstated": _("The record has no data about the session."),
    "unbooked": _("It ended long ago, but its cost was never recorded."),
    "deadline_moved": _("Its deadline was later than its limits allow. The portal has corrected it."),
    "key_destroyed": _("The encryption key of the text was destroyed or changed without an erasure receipt."),
    "key_kept": _("Text was erased, but an encryption key exists again."),
    "unindexed": _("Words of it are missing from the search index, so searches may not find it."),
    "misindexed": _("Its words in the search index are not those that the portal stored."),
    "words_kept": _("Text was erased, but words of it are in the search index."),
    "anchors_lost": _("The anchor file does not match the audit log."),
    "sessions_lost": _("There are fewer sessions than at an earlier check."),
    "uncompared": _("It could not be compared with the record."),
    "unguarded": _("The database allows events to be changed: triggers are missing."),
    "anchor": _("The seals do not match the anchor."),
}


TABLE_NAMES = {
    "session": _("session"),
    "conversation": _("conversation"),
    "event": _("event"),
    "head": _("record head"),
    "seal": _("seal"),
    "task": _("text sent"),
    "line": _("line"),
    "word": _("word in the search index"),
    "total": _("cost"),
    "day_total": _("daily costs"),
    "consent": _("consent"),
    "hold": _("legal hold"),
    "erasure": _("erasure"),
    "provider_erasure": _("erasure at the provider"),
    "speech_key": _("encryption key of the text"),
    "export": _("export"),
    "check": _("integrity check"),
    "user": _("user"),
    "group": _("group"),
    "role": _("role"),
    "role_permission": _("permission of a role"),
    "user_permission": _("individual permission"),
    "quota": _("quota"),
    "organisation": _("organisation"),
    "persona_group": _("group of a persona"),
    "account": _("provider account"),
    "avatar": _("avatar"),
    "voice": _("voice"),
    "knowledge_base": _("knowledge base"),
    "knowledge_version": _("knowledge base version"),
    "library": _("library"),
    "document": _("document"),
    "document_version": _("document version"),
    "written_answer": _("written answer"),
    "persona": _("persona"),
    "persona_version": _("persona version"),
    "video": _("recorded video"),
    "api_key": _("API key"),
    "persona_embed": _("embedding of a persona"),
    "guest_link": _("guest link"),
    "invitation": _("invitation"),
    "audit_entry": _("audit entry"),
    "audit_head": _("audit log head"),
    "anchors_file": _("anchor file lines"),
}


@dataclass(frozen=True)
class Fault:
    """One difference between the record and its proofs.

    `number` is that of the event, or without a session that of the audit entry or anchor. `column` is empty if unknown.
    """

    kind: FaultKind
    session: str = ""
    number: int | None = None
    table: str = ""
    row: str = ""
    column: str = ""

    def description(self) -> str:
        location = ", ".join(str(part) for part in (self._location(), self._row_and_column()) if part)
        text = f"{location}: {FAULT_TEXTS[self.kind]}" if location else str(FAULT_TEXTS[self.kind])
        return text.encode("utf-8", "backslashreplace").decode()  # a key may hold lone surrogates

    def _location(self) -> str:
        named = {"session": self.session, "number": self.number}
        if self.session:
            event = gettext(", event %(number)s") % named if self.number else ""
            return gettext("Session %(session)s") % named + event
        if self.number is None:
            return ""
        return (gettext("Anchor %(number)s") if self.kind == "anchor" else gettext("Audit entry %(number)s")) % named

    def _row_and_column(self) -> str:
        """Name the row, unless the location does, and the column."""
        named = {"table": TABLE_NAMES.get(self.table, self.table), "row": self.row, "column": self.column}
        is_named = self.table in ("", "session", "event", "audit_entry", "audit_head", "head", "seal")
        row = "" if is_named else gettext("%(table)s %(row)s") % named
        column = gettext("column %(column)s") % named if self.column else ""
        return ", ".join(part for part in (row, column) if part)

    def as_data(self) -> dict[str, Any]:
        """Return the fault as `HistoryCheck.faults` stores it."""
        data = hash_chain.storable(asdict(self))
        kind = data.pop("kind")
        return {"how": kind, **data, "number": self.number if isinstance(self.number, int) else None}

    @classmethod
    def from_data(cls, data: Any) -> Fault | None:
        """Read the form of `as_data`. Return None if it was changed in the database."""
        row = data if isinstance(data, dict) else {}
        texts = {name: row.get(name, "") for name in ("session", "table", "row", "column")}
        kind, number = stored_json.text(row, "how"), row.get("number")
        is_known = kind in FAULT_TEXTS and row.keys() <= {"how", "number", *texts}
        if is_known and isinstance(number, int | None) and all(isinstance(text, str) for text in texts.values()):
            return cls(cast("FaultKind", kind), number=number, **texts)
        return None


def compared(find: Callable[[], Iterable[Fault]], table: str, session: str = "", row: str = "") -> Iterator[Fault]:
    """Yield the faults that `find` returns.

    An unexpected exception is logged and becomes a fault of the table, session or row, so that verification continues.
    """
    try:
        yield from find()
    except Exception:
        logger.exception("Could not compare %s %s", table, session or row)
        yield Fault("uncompared", session, table=table, row=session or row)
