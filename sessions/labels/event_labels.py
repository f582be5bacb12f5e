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
    "requested": _("Session requested"),
    "provider_authenticated": _("Signed in to the provider"),
    "provider_created": _("Session created at the provider"),
    "provider_started": _("Avatar started by the provider"),
    "provider_answered_late": _("Provider response too late"),
    "provider_asked": _("Provider asked for the session status"),
    "provider_record": _("Provider’s record read"),
    "held": _("Legal hold set"),
    "hold_released": _("Legal hold released"),
    "provider_record_missing": _("Provider has no record"),
    "line_added": _("Line of the provider’s transcript"),
    "room_made": _("Room created"),
    "room_access_renewed": _("Room access renewed"),
    "room_connected": _("Browser joined the room"),
    "room_reconnecting": _("Browser lost the room and is retrying"),
    "room_reconnected": _("Browser rejoined the room"),
    "room_disconnected": _("Browser left the room"),
    "connection_state": _("Connection"),
    "connection_quality": _("Connection quality"),
    "participant_joined": _("Participant joined"),
    "participant_left": _("Participant left"),
    "room_finished": _("Room closed"),
    "track_published": _("Track published"),
    "track_subscribed": _("Track received"),
    "track_unsubscribed": _("Track ended"),
    "first_frame": _("First frame shown"),
    "way": _("Media route"),
    "picture": _("Video quality report"),
    "rated": _("User rated video and sound"),
    "playback_blocked": _("Browser blocked video and sound"),
    "playback_started": _("Video and sound playing"),
    "frozen": _("Video frozen"),
    "ladder": _("Recovery"),
    "verdict": _("Diagnosis by the browser"),
    "without_picture": _("Continued without video"),
    "check": _("Device checked"),
    "microphone": _("Microphone"),
    "text_sent": _("Text for the avatar"),
    "task": _("Provider responded to the text"),
    "interrupted": _("Interruption sent"),
    "user_start": _("User started speaking"),
    "user_stop": _("User stopped speaking"),
    "user_end_message": _("Speech recognised"),
    "avatar_start_talking": _("Avatar started speaking"),
    "avatar_stop_talking": _("Avatar stopped speaking"),
    "avatar_end_message": _("Avatar line completed"),
    "session_stopped": _("Provider announced the end in the room"),
    "stayed": _("User confirmed presence"),
    "tab_returned": _("Tab reopened"),
    "last_tab_left": _("Last tab closed"),
    "person_left_room": _("Room empty"),
    "avatar_talking_message": _("Avatar line"),
    "user_talking_message": _("User line"),
    "monitor_opened": _("Connected to the provider’s socket"),
    "monitor_lost": _("Connection to the provider’s socket lost"),
    "monitor_gave_up": _("Provider’s socket could not be opened"),
    "speech_erased": _("Text erased"),
    "provider_erased": _("Text deleted at the provider"),
    "provider_erasure_failed": _("Provider did not delete the text; retrying"),
    "reports_dropped": _("Too many browser reports; further reports dropped"),
    "observed": _("Observed by staff"),
    "transcript_opened": _("Transcript opened"),
    "exported": _("Exported"),
    "export_state": _("Export delivered"),
    "stop_asked": _("Stop requested by staff"),
    "booked": _("Added to totals"),
    "cost_told": _("Cost reported by the provider"),
    "record_upgraded": _("Data of an earlier version recorded"),
}

MOVES: dict[str, Words] = {
    Status.CREATING: _("Asking the provider"),
    Status.CONNECTING: _("Room ready"),
    Status.LIVE: _("Live"),
    Status.STOPPING: _("Stop requested"),
    Status.ENDED: _("Ended"),
}

STAGES: dict[str, tuple[Words, Words]] = {
    "requested": (_("Requested in the portal"), _("the session is stored and its slot reserved")),
    "created": (_("Provider: new session"), _("until it responds")),
    "started": (_("Provider: start"), _("in parallel with joining the room")),
    "room": (_("Room joined"), _("by the user’s browser")),
    "track": (_("Track received by the browser"), _("the browser subscribes to the avatar’s track")),
    "frame": (_("First frame"), _("from the track to the first rendered frame")),
}

ODDITIES: dict[str, Words] = {
    "live_unseen": _("It became live without a first frame being reported."),
    "two_ends": _("It ended twice."),
    "status_jump": _("Its status changed from “%(from)s” to “%(to)s”, which is not a valid transition."),
    "no_reason": _("It ended without a reason."),
    "missing": _("Events %(from)s to %(to)s are missing from the record."),
    "out_of_order": _("“%(later)s” was recorded before “%(earlier)s”, but must follow it."),
    "went_on": _("The session had ended, but the room was still active: “%(kind)s”."),
    "silent": _("The avatar was expected to speak but was silent for %(seconds)s s."),
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
    "version": _("version"), "kind": _("kind"), "status": _("status"), "task_id": _("provider’s task"),
    "characters": _("characters"), "step": _("step"), "because": _("because"), "ms": _("milliseconds"),
    "duration_ms": _("milliseconds"), "identity": _("participant"), "who": _("who"), "state": _("state"),
    "credits": _("credits"), "seconds": _("seconds"), "added": _("lines added"), "lines": _("provider lines"),
    "end_reason": _("provider’s reason"), "failure": _("failure"), "sign": _("sign"), "reason": _("reason"),
    "from": _("IP address"), "mode": _("mode"), "width": _("width"), "height": _("height"), "persona": _("persona"),
    "quality": _("quality"), "fps": _("frames per second"), "rating": _("rating"),
    "count": _("number"), "local": _("user’s side"), "remote": _("room’s side"), "protocol": _("protocol"),
    "round_trip_ms": _("round trip in milliseconds"),
}  # fmt: skip


# Of the record's own words those that stand in the details; any other is shown as it is.
VALUES: dict[str, Words] = {
    "talk": _("answers"), "repeat": _("reads aloud"), "sent": _("sent"), "failed": _("failed"), "video": _("video"),
    "audio": _("sound"), "rejoin": _("rejoin the room"), "reconnect": _("wait for the room"),
    "resubscribe": _("request the video again"), "renew": _("start a new session at the provider"),
    "sound": _("sound only"), "text": _("text only"), "picture": _("video"), "frozen": _("frozen"),
    "host": _("direct"), "srflx": _("direct, behind NAT"), "prflx": _("direct, behind NAT"),
    "relay": _("relayed"), "udp": "UDP", "tcp": "TCP", "tls": "TLS",
    "rate": _("too many at once"), "maximum": _("maximum per session"),
    "connected": _("connected"), "missing": _("not in the provider’s list"), "good": _("good"), "poor": _("poor"),
}  # fmt: skip
RATINGS: dict[str, Words] = {"good": _("Good"), "fair": _("Fair"), "poor": _("Poor")}


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
        "observed": gettext("observed the live session"),
        "exported": gettext("exported it"),
        "stop_asked": gettext("stopped it"),
        "held": gettext("set a legal hold"),
        "hold_released": gettext("released the legal hold"),
        "speech_erased": gettext("requested the erasure of the text"),
    }
    return words[kind]
