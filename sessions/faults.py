"""What can be wrong with the record, and how it is said."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.chains import Harm

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
        "session_deleted",
        "unguarded",
        "anchor",
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
    "session_deleted": _("The session was deleted, but not all of its record."),
    "unguarded": _("The database lets events be changed: the triggers are missing."),
    "anchor": _("The seals are not what the anchor says that they were."),
}


@dataclass(frozen=True)
class Fault:
    """The first thing of one session that does not fit; `number` is the event's.

    Without a session it is one of the whole: of an anchor, or of the audit entry with that number.
    """

    how: How
    session: str = ""
    number: int | None = None

    def in_words(self) -> str:
        place = self._place()
        return f"{place}: {WORDS[self.how]}" if place else str(WORDS[self.how])

    def _place(self) -> str:
        named = {"session": self.session, "number": self.number}
        if self.session:
            event = gettext(", event %(number)s") % named if self.number else ""
            return gettext("Session %(session)s") % named + event
        if self.number is None:
            return ""
        return (gettext("Anchor %(number)s") if self.how == "anchor" else gettext("Audit entry %(number)s")) % named

    def as_data(self) -> dict[str, Any]:
        return asdict(self)
