"""What proves why a session ended: a code and its values, kept with the row and in the chained record.

Stored without a language; `in_words` says it in the reader's. Moments are ISO 8601, `..._s` are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.utils import formats, timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.livekit import LiveKitAway
from heygen_portal.providers.contract.provider import ProviderError, ProviderRejected
from sessions.lifecycle import no_picture_texts
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import EndReason, LimitBy, StreamingSession

CLAIMS: dict[str, str | Promise] = {
    "verdict": _("Reason according to the browser only: %(verdict)s."),
    "claim": _("Reason according to the browser only: “%(claim)s”."),
    "listed_at": _("It was in the provider’s list at %(listed_at)s with the status: %(listed_as)s."),
    "unlisted_at": _("The provider’s list was not available at %(unlisted_at)s."),
}
"""Added to the words of an end about which a page has said something, or the provider was asked."""

OWN_LABELS: dict[str, str | Promise] = {
    EndReason.USER_STOPPED: _("You ended the conversation"),
    EndReason.TAKEN_OVER: _("You continued on another device"),
    EndReason.QUOTA: _("Your time for this month was used up"),
}
"""Reasons that speak of the user, for the user."""

Evidence = Mapping[str, str | int | float | None]

WORDS: dict[str, str | Promise] = {
    "person": _("Ended by %(user)s."),
    "staff": _("Stopped by %(user)s (staff)."),  # from when no reason was asked for
    "staff_because": _("Stopped by %(user)s (staff): %(why)s"),
    "access_lost": _("%(user)s no longer had access: %(loss)s."),
    "checked": _("The nightly check ended its own session once it was live."),
    "taken_over": _("%(user)s continued in another tab or on another device."),
    "continued": _("%(user)s started it again."),
    "tab_left": _("The last tab closed at %(left_at)s and was not reopened within %(grace_s)s s."),
    "room_left": _("The browser left the room at %(left_at)s and did not return within %(grace_s)s s."),
    "inactive": _("The last activity was at %(active_at)s. The limit is %(limit_s)s s."),
    "time_up": _("It started at %(began_at)s. The limit is %(limit_s)s s, set by: %(limit_by)s."),
    "used_up": _("It started at %(began_at)s with %(limit_s)s s left of the monthly quota."),
    "spent": _("It started at %(began_at)s with %(limit_s)s s left under the account’s monthly cap."),
    "no_picture_room": _("Within %(limit_s)s s, the browser reported neither a first frame nor joining the room."),
    "no_picture_track": _(
        "No first frame was reported within %(limit_s)s s. According to the browser, it was in the room "
        "but no video arrived."
    ),
    "no_picture_frame": _(
        "No first frame was reported within %(limit_s)s s. According to the browser, video arrived but was not shown."
    ),
    "gave_up": _("Ended by the browser, which reported that all ways to restore the video had failed."),
    "refused": _("The provider refused the request: %(error)s, HTTP %(http)s, code %(answer)s."),
    "silent": _("No usable response: %(error)s, %(what)s."),
    "rooms_away": _("The portal’s LiveKit server was not available: %(what)s. The provider was not contacted."),
    "not_listed": _("It was not in the provider’s list at %(asked_at)s."),
    "room_closed": _("Its room was closed, and it was not in the provider’s list at %(asked_at)s."),
    "opening_failed": _("An error in the portal prevented the start: %(error)s."),
    "opener_died": _("The process starting it stopped. No response was recorded within %(limit_s)s s."),
}


def person(user_id: int) -> Evidence:
    return {"code": "person", "user": user_id}


def staff(user_id: int | None, why: str) -> Evidence:
    """`why` is what they have said of it."""
    return {"code": "staff_because", "user": user_id, "why": why}


def access_lost(user_id: int, loss: str) -> Evidence:
    """`loss`: deactivated, role or persona."""
    return {"code": "access_lost", "user": user_id, "loss": loss}


def checked() -> Evidence:
    return {"code": "checked"}


def taken_over(user_id: int) -> Evidence:
    return {"code": "taken_over", "user": user_id}


def continued(user_id: int, claim: str = "", listed_as: str = "") -> Evidence:
    """`claim`: the reason that the page gave, which nothing confirms. `listed_as`: what the provider's list said."""
    evidence: dict[str, str | int | float | None] = {"code": "continued", "user": user_id}
    if claim:
        evidence["claim"] = claim
    if listed_as == "unknown":
        evidence["unlisted_at"] = timezone.now().isoformat()
    elif listed_as:
        evidence |= {"listed_at": timezone.now().isoformat(), "listed_as": listed_as}
    return evidence


def tab_left(left_at: datetime, grace: timedelta, *, is_room: bool = False) -> Evidence:
    """`is_room`: a tab may still seem to be there, but its browser has left the room."""
    return {"code": "room_left" if is_room else "tab_left", "left_at": left_at.isoformat(), "grace_s": _seconds(grace)}


def inactive(active_at: datetime, limit: timedelta) -> Evidence:
    return {"code": "inactive", "active_at": active_at.isoformat(), "limit_s": _seconds(limit)}


def time_up(session: StreamingSession) -> Evidence:
    return {"code": "time_up", **_span(session), "limit_by": session.limit_by}


def used_up(session: StreamingSession) -> Evidence:
    return {"code": "used_up", **_span(session)}


def spent(session: StreamingSession) -> Evidence:
    return {"code": "spent", **_span(session)}


def _span(session: StreamingSession) -> dict[str, str | int]:
    return {"began_at": session.created_at.isoformat(), "limit_s": _seconds(session.ends_at - session.created_at)}


def no_picture(seen: set[str], limit: timedelta) -> Evidence:
    """`seen` are the kinds of what the browser has reported: the first that is missing is the stage that failed."""
    stage = "frame" if EventKind.TRACK_SUBSCRIBED in seen else "track" if EventKind.ROOM_CONNECTED in seen else "room"
    return {"code": f"no_picture_{stage}", "limit_s": _seconds(limit)}


def gave_up(verdict: str, user_id: int | None = None) -> Evidence:
    return {"code": "gave_up", "verdict": verdict, "user": user_id}


def answered(exc: ProviderError) -> Evidence:
    """What a provider's error proves, without keys or speech."""
    if isinstance(exc, ProviderRejected):
        return {"code": "refused", "error": type(exc).__name__, "http": exc.status, "answer": exc.code or "-"}
    if isinstance(exc, LiveKitAway):
        return {"code": "rooms_away", "what": str(exc)[:200]}
    return {"code": "silent", "error": type(exc).__name__, "what": str(exc)[:200]}


def not_listed(*, is_room_closed: bool = False) -> Evidence:
    code = "room_closed" if is_room_closed else "not_listed"
    return {"code": code, "asked_at": timezone.now().isoformat()}


def opening_failed(error: str) -> Evidence:
    """`error` is the exception's name."""
    return {"code": "opening_failed", "error": error}


def opener_died(limit: timedelta) -> Evidence:
    return {"code": "opener_died", "limit_s": _seconds(limit)}


def label(code: str) -> str:
    """Return the words of a reason, in the active language; none for none."""
    return str(EndReason(code).label) if code else ""


def own_label(code: str) -> str:
    """Return the words of a reason for the person whose session it was."""
    return str(OWN_LABELS[EndReason(code)]) if code in OWN_LABELS else label(code)


def in_words(evidence: Evidence) -> str:
    """Say it in the active language; nothing for rows that have none yet."""
    template = WORDS.get(str(evidence.get("code", "")))
    if not template:
        return ""
    told = {name: _readable(name, value) for name, value in evidence.items()}
    said = [template, *(words for name, words in CLAIMS.items() if name in evidence)]
    return " ".join(str(words) % told for words in said)


def _readable(name: str, value: Any) -> Any:
    if name.endswith("_at"):
        at = timezone.localtime(datetime.fromisoformat(value))
        return f"{formats.date_format(at)}, {at:%H:%M:%S}"  # evidence is exact; languages drop the seconds
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
        # A number, or a word in its place where the reader may not know who of the team it was.
        who = get_user_model().objects.filter(pk=value).first() if isinstance(value, int) else None
        return str(who) if who else gettext("a user")
    return value


def _seconds(span: timedelta) -> int:
    return round(span.total_seconds())
