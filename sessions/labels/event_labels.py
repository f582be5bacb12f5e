"""What the record's events and its oddities are called, in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import formats
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sessions.labels import device_check_texts
from sessions.lifecycle import end_evidence, no_picture_texts
from sessions.models import EndReason, Status
from sessions.timeline.anomalies import Oddity
from sessions.timeline.moments import Moment

Words = str | Promise

TITLES: dict[str, Words] = {
    "requested": _("Session asked for"),
    "provider_authenticated": _("Signed in at the provider"),
    "provider_created": _("The provider made the session"),
    "provider_started": _("The provider sent the avatar"),
    "provider_answered_late": _("The provider answered too late"),
    "provider_asked": _("The provider was asked whether it is live"),
    "provider_record": _("The provider's own record was read"),
    "held": _("A legal hold was set"),
    "hold_released": _("The legal hold was released"),
    "provider_record_missing": _("The provider has no record"),
    "line_added": _("A line of the provider’s transcript"),
    "room_made": _("Room made"),
    "room_access_renewed": _("New way into the room"),
    "room_connected": _("The page is in the room"),
    "room_reconnecting": _("The page lost the room and tries again"),
    "room_reconnected": _("The page is in the room again"),
    "room_disconnected": _("The page is out of the room"),
    "connection_state": _("Connection"),
    "connection_quality": _("Quality of the connection"),
    "participant_joined": _("Came into the room"),
    "participant_left": _("Left the room"),
    "room_finished": _("The room was closed"),
    "track_published": _("A track is offered"),
    "track_subscribed": _("A track arrives"),
    "track_unsubscribed": _("A track is gone"),
    "first_frame": _("First picture seen"),
    "way": _("The way that picture and sound take"),
    "picture": _("How the picture ran"),
    "rated": _("The person says how it looked and sounded"),
    "playback_blocked": _("The browser blocks sound and picture"),
    "playback_started": _("Sound and picture play"),
    "frozen": _("The picture stands still"),
    "ladder": _("Recovery"),
    "verdict": _("Verdict of the page"),
    "without_picture": _("It goes on without a picture"),
    "check": _("The device was checked"),
    "microphone": _("Microphone"),
    "text_sent": _("Text for the avatar"),
    "task": _("The provider answered to the text"),
    "interrupted": _("Interruption sent"),
    "user_start": _("The person begins to speak"),
    "user_stop": _("The person stops speaking"),
    "user_end_message": _("Speech was recognised"),
    "avatar_start_talking": _("The avatar begins to speak"),
    "avatar_stop_talking": _("The avatar stops speaking"),
    "avatar_end_message": _("A line of the avatar ends"),
    "session_stopped": _("The provider says in the room that it is over"),
    "stayed": _("Somebody said that they are there"),
    "tab_returned": _("A tab came back"),
    "last_tab_left": _("The last tab left"),
    "person_left_room": _("Nobody is in the room"),
    "avatar_talking_message": _("Words of the avatar"),
    "user_talking_message": _("Words of the person"),
    "monitor_opened": _("The provider's own socket is listened to"),
    "monitor_lost": _("The provider's own socket was lost"),
    "monitor_gave_up": _("The provider's own socket cannot be opened"),
    "speech_erased": _("What was said was erased"),
    "provider_erased": _("The provider deleted what was said"),
    "provider_erasure_failed": _("The provider did not delete what was said; it is asked again"),
    "reports_dropped": _("The page reported too much; further reports were dropped"),
    "observed": _("Somebody of the team looked in"),
    "transcript_opened": _("The transcript was opened"),
    "exported": _("It was exported"),
    "export_state": _("The export was sent"),
    "stop_asked": _("The team asked for the end"),
    "booked": _("It was added to the totals"),
    "cost_told": _("The provider said what it cost"),
    "record_upgraded": _("The record states what earlier versions showed"),
}

MOVES: dict[str, Words] = {
    Status.CREATING: _("The provider is asked"),
    Status.CONNECTING: _("The room is known"),
    Status.LIVE: _("Live"),
    Status.STOPPING: _("The end was asked for"),
    Status.ENDED: _("Ended"),
}

STAGES: dict[str, tuple[Words, Words]] = {
    "requested": (_("Asked for at the portal"), _("The row is stored, the place is kept")),
    "created": (_("Provider: new session"), _("until it answers")),
    "started": (_("Provider: start"), _("beside the way into the room")),
    "room": (_("Room entered"), _("by the person's browser")),
    "track": (_("Picture received"), _("the browser takes the avatar's track")),
    "frame": (_("First picture"), _("from the track to the frame that was seen")),
}

ODDITIES: dict[str, Words] = {
    "live_unseen": _("It went live, and no first picture had been reported."),
    "two_ends": _("It ended a second time."),
    "status_jump": _("Its status jumped from “%(from)s” to “%(to)s”."),
    "no_reason": _("It ended without a reason."),
    "missing": _("The events %(from)s to %(to)s are missing from the record."),
    "out_of_order": _("“%(later)s” came before “%(earlier)s”, which it follows."),
    "went_on": _("The end was known, and the room went on: “%(kind)s”."),
    "silent": _("The avatar was to speak and was not heard for %(seconds)s s."),
}

MINOR = {
    "monitor_opened", "avatar_talking_message", "user_talking_message",
    "provider_authenticated", "connection_state", "track_published", "check", "microphone", "task", "room_made",
    "connection_quality", "avatar_end_message", "avatar_stop_talking", "user_start", "user_stop", "track_unsubscribed",
    "participant_joined", "way", "booked", "cost_told", "record_upgraded",
}  # fmt: skip
"""Shown only to who wants to see everything."""
KEY = {"first_frame"}
TROUBLE = {
    "frozen", "ladder", "verdict", "room_disconnected", "room_reconnecting", "playback_blocked", "without_picture",
    "provider_answered_late", "session_stopped", "provider_erasure_failed", "reports_dropped",
}  # fmt: skip

DETAILS: dict[str, Words] = {
    "version": _("version"), "kind": _("kind"), "status": _("status"), "task_id": _("provider's task"),
    "characters": _("letters"), "step": _("step"), "because": _("because"), "ms": _("milliseconds"),
    "duration_ms": _("milliseconds"), "identity": _("participant"), "who": _("who"), "state": _("state"),
    "credits": _("credits"), "seconds": _("seconds"), "added": _("lines added"), "lines": _("lines of theirs"),
    "end_reason": _("their reason"), "failure": _("failure"), "sign": _("sign"), "reason": _("reason"),
    "from": _("from where"), "mode": _("mode"), "width": _("width"), "height": _("height"), "persona": _("persona"),
    "quality": _("quality"), "fps": _("pictures a second"), "rating": _("rating"),
    "count": _("how many"), "local": _("the person's end"), "remote": _("the room's end"), "protocol": _("protocol"),
    "round_trip_ms": _("milliseconds there and back"),
}  # fmt: skip


# Of the record's own words those that stand in the details; any other is shown as it is.
VALUES: dict[str, Words] = {
    "talk": _("answers"), "repeat": _("reads aloud"), "sent": _("sent"), "failed": _("failed"), "video": _("picture"),
    "audio": _("sound"), "rejoin": _("enter the room again"), "reconnect": _("wait for the room"),
    "resubscribe": _("ask for the picture again"), "renew": _("new session at the provider"),
    "sound": _("sound only"), "text": _("text only"), "picture": _("picture"), "frozen": _("it stands still"),
    "host": _("direct"), "srflx": _("direct, behind a router"), "prflx": _("direct, behind a router"),
    "relay": _("by a relay"), "udp": "UDP", "tcp": "TCP", "tls": "TLS",
    "rate": _("too many at once"), "maximum": _("the session's maximum"),
    "connected": _("connected"), "missing": _("not in its list"), "good": _("good"), "poor": _("poor"),
}  # fmt: skip
RATINGS: dict[str, Words] = {"good": _("Well"), "fair": _("So-so"), "poor": _("Badly")}


def title(moment: Moment, *, is_own: bool = False) -> str:
    """`is_own`: for the person whose session it was."""
    if moment.kind == "status":
        to, reason = str(moment.data.get("to", "")), str(moment.data.get("reason", ""))
        words = str(MOVES.get(to, to))
        if reason not in EndReason.values:
            return words
        return f"{words}: {end_evidence.own_label(reason) if is_own else end_evidence.label(reason)}"
    return str(TITLES.get(moment.kind, moment.kind))


def weight(moment: Moment) -> str:
    """How a page shows it: key, warn, minor, or nothing of these."""
    to = moment.data.get("to") if moment.kind == "status" else ""
    if moment.kind in KEY or to in (Status.LIVE, Status.ENDED):
        return "key"
    if moment.kind in TROUBLE and moment.data.get("step") != "picture":
        return "warn"
    if moment.kind == "check" and device_check_texts.troubles(moment.data):
        return ""
    return "minor" if moment.kind in MINOR or to in (Status.CREATING, Status.CONNECTING) else ""


def details(moment: Moment, name: str) -> str:
    """The rest of what is known, for reading; what has no name for people is left to the export."""
    if moment.kind == "status":
        return ""
    if moment.kind == "verdict":
        code = str(moment.data.get("code", ""))
        return no_picture_texts.causes(name).get(code, code)
    if moment.kind == "check":
        return device_check_texts.in_words(moment.data)
    if moment.kind == "rated":
        return rating(str(moment.data.get("rating", "")))
    known = {key: value for key, value in moment.data.items() if key in DETAILS and value not in ("", None)}
    if moment.kind == "ladder":
        known.pop("from", None)  # a step, no place; the row before has it
    return ", ".join(f"{DETAILS[key]}: {_plain(value)}" for key, value in known.items())


def rating(code: str) -> str:
    """How the person found it; nothing where nobody said so."""
    return str(RATINGS.get(code, ""))


def oddity(found: Oddity) -> str:
    named = {key: _kind(value) if key in ("later", "earlier", "kind") else value for key, value in found.data.items()}
    if "seconds" in named:
        named["seconds"] = formats.number_format(named["seconds"], 1)
    if found.code == "status_jump":
        named = {key: _status(value) for key, value in found.data.items()}
    return str(ODDITIES[found.code]) % named


def _kind(kind: Any) -> str:
    return str(TITLES.get(kind, kind))


def _status(status: Any) -> str:
    return str(Status(status).label) if status in Status.values else str(status)


def _plain(value: Any) -> str:
    return (
        {True: gettext("yes"), False: gettext("no")}[value]
        if isinstance(value, bool)
        else str(VALUES.get(value, value))
    )


def looked(kind: str) -> str:
    """What somebody did to a session, after their name."""
    words: Mapping[str, str] = {
        "transcript_opened": gettext("read the transcript"),
        "observed": gettext("looked in while it ran"),
        "exported": gettext("took it along"),
        "stop_asked": gettext("stopped it"),
        "held": gettext("put it under a legal hold"),
        "hold_released": gettext("lifted the legal hold"),
        "speech_erased": gettext("had what was said erased"),
    }
    return words[kind]
