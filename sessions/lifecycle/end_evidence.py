"""Evidence for the reason a session ended: a code and its values.

It is stored on the row and in the chained record. The stored form has no language; `describe` renders it in the
active one. Times are ISO 8601, `..._s` are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.utils import formats, timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.livekit import LiveKitAway
from heygen_portal.postgresql import clock
from heygen_portal.providers.contract.provider import ProviderError, ProviderRejected
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.stored_json import choice_label
from sessions.lifecycle import no_picture_texts
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import EndReason, LimitBy, OwnerId, StreamingSession, guest_name

# Added to the text if a page made a claim, or if the provider's list was queried.
CLAIM_TEXTS: dict[str, str | Promise] = {
    "verdict": _("Reason according to the browser only: %(verdict)s."),
    "claim": _("Reason according to the browser only: “%(claim)s”."),
    "listed_at": _("It was in the provider’s list at %(listed_at)s with the status: %(listed_as)s."),
    "unlisted_at": _("The provider’s list was not available at %(unlisted_at)s."),
}

# Labels that address the user; other reasons have one label for all readers.
OWN_LABELS: dict[str, str | Promise] = {
    EndReason.USER_STOPPED: _("You ended the conversation"),
    EndReason.TAKEN_OVER: _("You continued on another device"),
    EndReason.QUOTA: _("Your time for this month was used up"),
}


class EvidenceCode(StrEnum):
    """Codes of evidence. Stored and hashed: a released value never changes."""

    PERSON = "person"
    PERSONA = "persona"
    STAFF = "staff"
    STAFF_BECAUSE = "staff_because"
    ACCESS_LOST = "access_lost"
    CHECKED = "checked"
    TAKEN_OVER = "taken_over"
    CONTINUED = "continued"
    TAB_LEFT = "tab_left"
    ROOM_LEFT = "room_left"
    INACTIVE = "inactive"
    TIME_UP = "time_up"
    USED_UP = "used_up"
    SPENT = "spent"
    NO_PICTURE_ROOM = "no_picture_room"
    NO_PICTURE_TRACK = "no_picture_track"
    NO_PICTURE_FRAME = "no_picture_frame"
    GAVE_UP = "gave_up"
    REFUSED = "refused"
    SILENT = "silent"
    ROOMS_AWAY = "rooms_away"
    NOT_LISTED = "not_listed"
    ROOM_CLOSED = "room_closed"
    OPENING_FAILED = "opening_failed"
    OPENER_DIED = "opener_died"
    UNREADABLE = "unreadable"
    ACCOUNT_UNREADABLE = "account_unreadable"
    STOP_FAILED = "stop_failed"


Evidence = Mapping[str, str | int | float | None]

EVIDENCE_TEXTS: dict[str, str | Promise] = {
    EvidenceCode.PERSON: _("Ended by %(user)s."),
    EvidenceCode.PERSONA: _("The organisation’s own model called the tool that ends a conversation."),
    EvidenceCode.STAFF: _("Stopped by %(user)s (staff)."),  # recorded before staff had to give a reason
    EvidenceCode.STAFF_BECAUSE: _("Stopped by %(user)s (staff): %(why)s"),
    EvidenceCode.ACCESS_LOST: _("%(user)s no longer had access: %(loss)s."),
    EvidenceCode.CHECKED: _("The nightly check ended its own session once it was live."),
    EvidenceCode.TAKEN_OVER: _("%(user)s continued in another tab or on another device."),
    EvidenceCode.CONTINUED: _("%(user)s started it again."),
    EvidenceCode.TAB_LEFT: _("The last tab closed at %(left_at)s and was not reopened within %(grace_s)s s."),
    EvidenceCode.ROOM_LEFT: _("The browser left the room at %(left_at)s and did not return within %(grace_s)s s."),
    EvidenceCode.INACTIVE: _("The last activity was at %(active_at)s. The limit is %(limit_s)s s."),
    EvidenceCode.TIME_UP: _("It started at %(began_at)s. The limit is %(limit_s)s s, set by: %(limit_by)s."),
    EvidenceCode.USED_UP: _("It started at %(began_at)s with %(limit_s)s s left of the monthly quota."),
    EvidenceCode.SPENT: _("It started at %(began_at)s with %(limit_s)s s left under the account’s monthly cap."),
    EvidenceCode.NO_PICTURE_ROOM: _(
        "Within %(limit_s)s s, the browser reported neither a first frame nor joining the room."
    ),
    EvidenceCode.NO_PICTURE_TRACK: _(
        "No first frame was reported within %(limit_s)s s. According to the browser, it was in the room "
        "but no video arrived."
    ),
    EvidenceCode.NO_PICTURE_FRAME: _(
        "No first frame was reported within %(limit_s)s s. According to the browser, video arrived but was not shown."
    ),
    EvidenceCode.GAVE_UP: _("Ended by the browser, which reported that all ways to restore the video had failed."),
    EvidenceCode.REFUSED: _("The provider refused the request: %(error)s, HTTP %(http)s, code %(answer)s."),
    EvidenceCode.SILENT: _("No usable response: %(error)s, %(what)s."),
    EvidenceCode.ROOMS_AWAY: _(
        "The portal’s LiveKit server was not available: %(what)s. The provider was not contacted."
    ),
    EvidenceCode.NOT_LISTED: _("It was not in the provider’s list at %(asked_at)s."),
    EvidenceCode.ROOM_CLOSED: _("Its room was closed, and it was not in the provider’s list at %(asked_at)s."),
    EvidenceCode.OPENING_FAILED: _("An error in the portal prevented the start: %(error)s."),
    EvidenceCode.OPENER_DIED: _("The process starting it stopped. No response was recorded within %(limit_s)s s."),
    EvidenceCode.UNREADABLE: _("Its limits could not be read from the database (%(error)s), so the portal stopped it."),
    EvidenceCode.ACCOUNT_UNREADABLE: _(
        "The provider account could not be read from the database (%(error)s), so no stop was sent."
    ),
    EvidenceCode.STOP_FAILED: _("An error in the portal prevented the stop: %(error)s."),
}


def person(owner: OwnerId) -> Evidence:
    return {"code": EvidenceCode.PERSON, "user": _stored(owner)}


def persona() -> Evidence:
    return {"code": EvidenceCode.PERSONA}


def staff(user_id: int | None, why: str) -> Evidence:
    """`why` is the reason that they entered."""
    return {"code": EvidenceCode.STAFF_BECAUSE, "user": user_id, "why": why}


def access_lost(owner: OwnerId, loss: str) -> Evidence:
    """`loss` is "deactivated", "role" or "persona"."""
    return {"code": EvidenceCode.ACCESS_LOST, "user": _stored(owner), "loss": loss}


def checked() -> Evidence:
    return {"code": EvidenceCode.CHECKED}


def taken_over(owner: OwnerId) -> Evidence:
    return {"code": EvidenceCode.TAKEN_OVER, "user": _stored(owner)}


def continued(owner: OwnerId, claim: str = "", listed_as: str = "") -> Evidence:
    """Evidence of a user who started again.

    `claim` is the page's unconfirmed reason; `listed_as`, the session's status in the provider's list.
    """
    evidence: dict[str, str | int | float | None] = {"code": EvidenceCode.CONTINUED, "user": _stored(owner)}
    if claim:
        evidence["claim"] = claim
    if listed_as == "unknown":
        evidence["unlisted_at"] = clock.now().isoformat()
    elif listed_as:
        evidence |= {"listed_at": clock.now().isoformat(), "listed_as": listed_as}
    return evidence


def tab_left(left_at: datetime, grace: timedelta, *, is_room: bool = False) -> Evidence:
    """Evidence of the last tab's closing.

    `is_room`: the browser has left the room, although a tab may still be registered.
    """
    return {
        "code": EvidenceCode.ROOM_LEFT if is_room else EvidenceCode.TAB_LEFT,
        "left_at": left_at.isoformat(),
        "grace_s": _seconds(grace),
    }


def inactive(active_at: datetime, limit: timedelta) -> Evidence:
    return {"code": EvidenceCode.INACTIVE, "active_at": active_at.isoformat(), "limit_s": _seconds(limit)}


def time_up(session: StreamingSession) -> Evidence:
    return {"code": EvidenceCode.TIME_UP, **_span(session), "limit_by": session.limit_by}


def used_up(session: StreamingSession) -> Evidence:
    return {"code": EvidenceCode.USED_UP, **_span(session)}


def spent(session: StreamingSession) -> Evidence:
    return {"code": EvidenceCode.SPENT, **_span(session)}


def _span(session: StreamingSession) -> dict[str, str | int]:
    return {"began_at": session.created_at.isoformat(), "limit_s": _seconds(session.ends_at - session.created_at)}


def no_picture(reported: set[str], limit: timedelta) -> Evidence:
    """Evidence of missing video.

    `reported` are the kinds that the browser reported. The first missing one is the stage that failed.
    """
    code = EvidenceCode.NO_PICTURE_ROOM
    if EventKind.TRACK_SUBSCRIBED in reported:
        code = EvidenceCode.NO_PICTURE_FRAME
    elif EventKind.ROOM_CONNECTED in reported:
        code = EvidenceCode.NO_PICTURE_TRACK
    return {"code": code, "limit_s": _seconds(limit)}


def gave_up(verdict: str, owner: OwnerId | None = None) -> Evidence:
    return {"code": EvidenceCode.GAVE_UP, "verdict": verdict, "user": _stored(owner)}


def provider_failed(exc: ProviderError) -> Evidence:
    """Describe a provider's error, without keys or speech."""
    if isinstance(exc, ProviderRejected):
        return {
            "code": EvidenceCode.REFUSED,
            "error": type(exc).__name__,
            "http": exc.status,
            "answer": exc.code or "-",
        }
    if isinstance(exc, LiveKitAway):
        return {"code": EvidenceCode.ROOMS_AWAY, "what": str(exc)[:200]}
    return {"code": EvidenceCode.SILENT, "error": type(exc).__name__, "what": str(exc)[:200]}


def not_listed(*, is_room_closed: bool = False) -> Evidence:
    code = EvidenceCode.ROOM_CLOSED if is_room_closed else EvidenceCode.NOT_LISTED
    return {"code": code, "asked_at": clock.now().isoformat()}


def opening_failed(error: str) -> Evidence:
    """`error` is the name of the exception's class."""
    return {"code": EvidenceCode.OPENING_FAILED, "error": error}


def starting_process_died(limit: timedelta) -> Evidence:
    return {"code": EvidenceCode.OPENER_DIED, "limit_s": _seconds(limit)}


def unreadable(error: str) -> Evidence:
    """`error` is the name of the exception's class."""
    return {"code": EvidenceCode.UNREADABLE, "error": error}


def account_unreadable(error: str) -> Evidence:
    """`error` is what could not be read, or the name of the exception's class."""
    return {"code": EvidenceCode.ACCOUNT_UNREADABLE, "error": error}


def stop_failed(error: str) -> Evidence:
    """`error` is the name of the exception's class."""
    return {"code": EvidenceCode.STOP_FAILED, "error": error}


def label(code: str) -> str:
    """Return the label of a reason in the active language; empty for no reason."""
    return choice_label(EndReason, code)


def own_label(code: str) -> str:
    """Return the label of a reason for the session's own user."""
    return str(OWN_LABELS[code]) if code in OWN_LABELS else label(code)


def describe(evidence: Evidence) -> str:
    """Return the evidence as text in the active language; empty if there is none.

    Evidence that was tampered with in the database is shown as damaged.
    """
    if not evidence:
        return ""
    try:
        template = EVIDENCE_TEXTS[str(evidence["code"])]
        values = {name: _readable(name, value) for name, value in evidence.items()}
        sentences = [template, *(text for name, text in CLAIM_TEXTS.items() if name in evidence)]
        return " ".join(str(text) % values for text in sentences)
    except (LookupError, TypeError, ValueError, OverflowError):
        return stored_json.label(evidence)


def _readable(name: str, value: Any) -> Any:
    if name.endswith("_at"):
        at = timezone.localtime(datetime.fromisoformat(value))
        return f"{formats.date_format(at)}, {at:%H:%M:%S}"  # local formats drop the seconds, which evidence needs
    if name == "claim":
        return label(value)
    if name == "verdict":
        return no_picture_texts.causes(gettext("the avatar")).get(value, value).rstrip(".")
    if name == "limit_by":
        return str(LimitBy(value).label)
    if name == "loss":
        if value == "persona":
            return gettext("the persona was unpublished")
        return gettext("the account was deactivated") if value == "deactivated" else gettext("the role was removed")
    if name == "user":
        # An ID, or a word in its place if the reader may not know which staff member it was. A guest's is text.
        if isinstance(value, str) and (guest := _guest_id(value)):
            return guest_name(guest)
        who = get_user_model().objects.filter(pk=value).first() if isinstance(value, int) else None
        return str(who) if who else gettext("a user")
    return value


def _stored(owner: OwnerId | None) -> int | str | None:
    """Return an owner as evidence has it: a user's number, or a guest's UUID as text."""
    return str(owner) if isinstance(owner, UUID) else owner


def _guest_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _seconds(span: timedelta) -> int:
    return round(span.total_seconds())
