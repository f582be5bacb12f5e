"""Labels of events and anomalies, translated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import formats
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime import stored_json
from heygen_portal.runtime.stored_json import DamagedObject
from sessions.labels import device_check_texts
from sessions.lifecycle import end_evidence, no_picture_texts
from sessions.lifecycle.event_kinds import EventKind
from sessions.models import EndReason, Status
from sessions.timeline.anomalies import Anomaly
from sessions.timeline.moments import Moment

Words = str | Promise

TITLES: dict[str, Words] = {
    EventKind.REQUESTED: _("Session requested"),
    EventKind.CONSENT_ACCEPTED: _("Notice accepted"),
    EventKind.CONSENT_IN_FORCE: _("Notice accepted earlier"),
    EventKind.CONSENT_WITHDRAWN: _("Consent withdrawn"),
    EventKind.PROVIDER_AUTHENTICATED: _("Signed in to the provider"),
    EventKind.PROVIDER_CREATED: _("Session created at the provider"),
    EventKind.PROVIDER_STARTED: _("Avatar started by the provider"),
    EventKind.PROVIDER_ANSWERED_LATE: _("Provider response too late"),
    EventKind.PROVIDER_ASKED: _("Provider asked for the session status"),
    EventKind.PROVIDER_RECORD: _("Provider’s record read"),
    EventKind.HELD: _("Legal hold set"),
    EventKind.HOLD_RELEASED: _("Legal hold released"),
    EventKind.PROVIDER_RECORD_MISSING: _("Provider has no record"),
    EventKind.LINE_ADDED: _("Line of the provider’s transcript"),
    EventKind.ROOM_MADE: _("Room created"),
    EventKind.ROOM_ACCESS_RENEWED: _("Room access renewed"),
    EventKind.ROOM_CONNECTED: _("Browser joined the room"),
    EventKind.ROOM_RECONNECTING: _("Browser lost the room and is retrying"),
    EventKind.ROOM_RECONNECTED: _("Browser rejoined the room"),
    EventKind.ROOM_DISCONNECTED: _("Browser left the room"),
    EventKind.CONNECTION_STATE: _("Connection"),
    EventKind.CONNECTION_QUALITY: _("Connection quality"),
    EventKind.PARTICIPANT_JOINED: _("Participant joined"),
    EventKind.PARTICIPANT_LEFT: _("Participant left"),
    EventKind.ROOM_FINISHED: _("Room closed"),
    EventKind.TRACK_PUBLISHED: _("Track published"),
    EventKind.TRACK_SUBSCRIBED: _("Track received"),
    EventKind.TRACK_UNSUBSCRIBED: _("Track ended"),
    EventKind.FIRST_FRAME: _("First frame shown"),
    EventKind.FIRST_SOUND: _("Avatar heard"),
    EventKind.WAY: _("Media route"),
    EventKind.PICTURE: _("Video quality report"),
    EventKind.RATED: _("User rated video and sound"),
    EventKind.PLAYBACK_BLOCKED: _("Browser blocked video and sound"),
    EventKind.PLAYBACK_STARTED: _("Video and sound playing"),
    EventKind.WAITING: _("Video waits for the user"),
    EventKind.WAITING_OVER: _("Video no longer waits for the user"),
    EventKind.FROZEN: _("Video frozen"),
    EventKind.LADDER: _("Recovery"),
    EventKind.VERDICT: _("Diagnosis by the browser"),
    EventKind.WITHOUT_PICTURE: _("Continued without video"),
    EventKind.CHECK: _("Device checked"),
    EventKind.MICROPHONE: _("Microphone"),
    EventKind.TEXT_SENT: _("Text for the avatar"),
    EventKind.TASK: _("Provider responded to the text"),
    EventKind.ANSWER: _("Answer by the organisation’s own model"),
    EventKind.ANSWER_CUT: _("Rest of the answer not spoken"),
    EventKind.TOOL_CALLED: _("Tool called by the organisation’s own model"),
    EventKind.PERSON_ASKED: _("User asks for a person"),
    EventKind.MESSAGE_LEFT: _("Message left for staff"),
    EventKind.STAFF_MAILED: _("Staff informed by mail"),
    EventKind.INTERRUPTED: _("Interruption sent"),
    EventKind.USER_START: _("User started speaking"),
    EventKind.USER_STOP: _("User stopped speaking"),
    EventKind.USER_END_MESSAGE: _("Speech recognised"),
    EventKind.AVATAR_START_TALKING: _("Avatar started speaking"),
    EventKind.AVATAR_STOP_TALKING: _("Avatar stopped speaking"),
    EventKind.AVATAR_END_MESSAGE: _("Avatar line completed"),
    EventKind.SESSION_STOPPED: _("Provider announced the end in the room"),
    EventKind.DEADLINE_REPAIRED: _("Deadline did not match the limits and was corrected"),
    EventKind.STAYED: _("User confirmed presence"),
    EventKind.TAB_RETURNED: _("Tab reopened"),
    EventKind.LAST_TAB_LEFT: _("Last tab closed"),
    EventKind.PERSON_LEFT_ROOM: _("Room empty"),
    EventKind.PROGRAM_JOINED: _("Started by a program"),
    EventKind.PROGRAM_READY: _("Program reports that the avatar can be seen or heard"),
    EventKind.AVATAR_TALKING_MESSAGE: _("Avatar line"),
    EventKind.USER_TALKING_MESSAGE: _("User line"),
    EventKind.MONITOR_OPENED: _("Connected to the provider’s socket"),
    EventKind.MONITOR_LOST: _("Connection to the provider’s socket lost"),
    EventKind.MONITOR_GAVE_UP: _("Provider’s socket could not be opened"),
    EventKind.SPEECH_ERASED: _("Text erased"),
    EventKind.PROVIDER_ERASED: _("Text deleted at the provider"),
    EventKind.PROVIDER_ERASURE_FAILED: _("Provider did not delete the text; retrying"),
    EventKind.REPORTS_DROPPED: _("Too many browser reports; further reports dropped"),
    EventKind.OBSERVED: _("Observed by staff"),
    EventKind.OBSERVER_REMOVED: _("Observer removed: access lost"),
    EventKind.TRANSCRIPT_OPENED: _("Transcript opened"),
    EventKind.EXPORTED: _("Exported"),
    EventKind.EXPORT_STATE: _("Export delivered"),
    EventKind.STOP_ASKED: _("Stop requested by staff"),
    EventKind.BOOKED: _("Added to totals"),
    EventKind.COST_TOLD: _("Cost reported by the provider"),
    EventKind.RECORD_UPGRADED: _("Data of an earlier version recorded"),
}

STATUS_TITLES: dict[str, Words] = {
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

ANOMALY_TEXTS: dict[str, Words] = {
    "live_unseen": _("It became live without a first frame being reported."),
    "two_ends": _("It ended twice."),
    "status_jump": _("Its status changed from “%(from)s” to “%(to)s”, which is not a valid transition."),
    "no_reason": _("It ended without a reason."),
    "missing": _("Events %(from)s to %(to)s are missing from the record."),
    "out_of_order": _("“%(later)s” was recorded before “%(earlier)s”, but must follow it."),
    "went_on": _("The session had ended, but the room was still active: “%(kind)s”."),
    "silent": _("The avatar was expected to speak but was silent for %(seconds)s s."),
}

# Hidden unless all events are shown.
MINOR_KINDS = {
    EventKind.MONITOR_OPENED,
    EventKind.AVATAR_TALKING_MESSAGE,
    EventKind.USER_TALKING_MESSAGE,
    EventKind.PROVIDER_AUTHENTICATED,
    EventKind.CONNECTION_STATE,
    EventKind.TRACK_PUBLISHED,
    EventKind.CHECK,
    EventKind.MICROPHONE,
    EventKind.TASK,
    EventKind.ROOM_MADE,
    EventKind.CONNECTION_QUALITY,
    EventKind.AVATAR_END_MESSAGE,
    EventKind.AVATAR_STOP_TALKING,
    EventKind.USER_START,
    EventKind.USER_STOP,
    EventKind.TRACK_UNSUBSCRIBED,
    EventKind.PARTICIPANT_JOINED,
    EventKind.WAY,
    EventKind.BOOKED,
    EventKind.COST_TOLD,
    EventKind.RECORD_UPGRADED,
}
KEY_KINDS = {EventKind.FIRST_FRAME}
TROUBLE_KINDS = {
    EventKind.FROZEN,
    EventKind.LADDER,
    EventKind.VERDICT,
    EventKind.ROOM_DISCONNECTED,
    EventKind.ROOM_RECONNECTING,
    EventKind.PLAYBACK_BLOCKED,
    EventKind.WITHOUT_PICTURE,
    EventKind.PROVIDER_ANSWERED_LATE,
    EventKind.SESSION_STOPPED,
    EventKind.PROVIDER_ERASURE_FAILED,
    EventKind.REPORTS_DROPPED,
}

DETAIL_LABELS: dict[str, Words] = {
    "version": _("version"), "language": _("language"), "kind": _("kind"), "status": _("status"),
    "task_id": _("provider’s task"),
    "characters": _("characters"), "step": _("step"), "because": _("cause"), "ms": _("milliseconds"),
    "duration_ms": _("milliseconds"), "identity": _("participant"), "who": _("who"), "state": _("state"),
    "credits": _("credits"), "seconds": _("seconds"), "added": _("lines added"), "lines": _("provider lines"),
    "end_reason": _("provider’s reason"), "failure": _("failure"), "sign": _("symptom"), "reason": _("reason"),
    "from": _("IP address"), "mode": _("mode"), "width": _("width"), "height": _("height"), "persona": _("persona"),
    "quality": _("quality"), "fps": _("frames per second"), "rating": _("rating"),
    "count": _("number"), "local": _("user’s side"), "remote": _("room’s side"), "protocol": _("protocol"),
    "tool": _("tool"), "code": _("failure"),
    "round_trip_ms": _("round trip in milliseconds"), "after": _("counted from"),
}  # fmt: skip


# Labels of values in the details. Other values are shown as stored.
VALUE_LABELS: dict[str, Words] = {
    "talk": _("answers"), "repeat": _("reads aloud"), "sent": _("sent"), "failed": _("failed"), "video": _("video"),
    "audio": _("sound"), "rejoin": _("rejoin the room"), "reconnect": _("wait for the room"),
    "resubscribe": _("request the video again"), "renew": _("start a new session at the provider"),
    "sound": _("sound only"), "text": _("text only"), "picture": _("video"), "frozen": _("frozen"),
    "host": _("direct"), "srflx": _("direct, behind NAT"), "prflx": _("direct, behind NAT"),
    "relay": _("relayed"), "udp": "UDP", "tcp": "TCP", "tls": "TLS",
    "rate": _("too many at once"), "maximum": _("maximum per session"),
    "start": _("pressing Start"), "typed": _("a typed text"), "spoken": _("a spoken sentence"),
    "connected": _("connected"), "missing": _("not in the provider’s list"), "good": _("good"), "poor": _("poor"),
}  # fmt: skip
RATINGS: dict[str, Words] = {"good": _("Good"), "fair": _("Fair"), "poor": _("Poor")}


def title(moment: Moment, *, is_own: bool = False) -> str:
    """Return the title of a moment.

    With `is_own`, it addresses the user of the session.
    """
    if moment.kind == EventKind.STATUS:
        to, reason = moment.text("to"), moment.text("reason")
        words = str(STATUS_TITLES.get(to, to))
        if reason not in EndReason.values:
            return words
        return f"{words}: {end_evidence.own_label(reason) if is_own else end_evidence.label(reason)}"
    return str(TITLES.get(moment.kind, moment.kind))


def weight(moment: Moment) -> str:
    """Return how prominently a moment is shown: `key`, `warn`, `minor` or ""."""
    to = moment.text("to") if moment.kind == EventKind.STATUS else ""
    if moment.kind in KEY_KINDS or to in (Status.LIVE, Status.ENDED):
        return "key"
    if moment.kind in TROUBLE_KINDS and moment.text("step") != "picture":
        return "warn"
    if moment.kind == EventKind.CHECK and device_check_texts.problems(moment.data):
        return ""
    return "minor" if moment.kind in MINOR_KINDS or to in (Status.CREATING, Status.CONNECTING) else ""


def details(moment: Moment, name: str) -> str:
    """Return the details of a moment. Values without a label are only in exports."""
    if isinstance(moment.data, DamagedObject):
        return stored_json.label(moment.data)
    if moment.kind == EventKind.STATUS:
        return ""
    if moment.kind == EventKind.VERDICT:
        code = moment.text("code")
        return no_picture_texts.causes(name).get(code, code)
    if moment.kind == EventKind.WAITING:
        code = moment.text("because")
        return no_picture_texts.causes(name).get(code, code)
    if moment.kind == EventKind.CHECK:
        return device_check_texts.summary(moment.data)
    if moment.kind == EventKind.RATED:
        return rating(moment.text("rating"))
    known = {key: value for key, value in moment.data.items() if key in DETAIL_LABELS and value not in ("", None)}
    if moment.kind == EventKind.LADDER:
        known.pop("from", None)  # here a recovery step, not an address
    return ", ".join(f"{DETAIL_LABELS[key]}: {_value_text(value)}" for key, value in known.items())


def rating(code: str) -> str:
    """Return the label of a rating, or an empty string for an unknown code."""
    return str(RATINGS.get(code, ""))


def anomaly(found: Anomaly) -> str:
    named = {
        key: _kind_title(value) if key in ("later", "earlier", "kind") else value for key, value in found.data.items()
    }
    if "seconds" in named:
        named["seconds"] = formats.number_format(named["seconds"], 1)
    if found.code == "status_jump":
        named = {key: _status_label(value) for key, value in found.data.items()}
    return str(ANOMALY_TEXTS[found.code]) % named


def _kind_title(kind: Any) -> str:
    return str(TITLES.get(kind, kind))


def _status_label(status: Any) -> str:
    return str(Status(status).label) if status in Status.values else str(status)


def _value_text(value: Any) -> str:
    match value:
        case bool():
            return gettext("yes") if value else gettext("no")
        case float():
            return formats.localize(value)
        case str() | int():
            return str(VALUE_LABELS.get(str(value), value))
    return stored_json.label(value)


def staff_action(kind: str) -> str:
    """Return what a member of staff did to a session, to follow their name."""
    words: Mapping[str, str] = {
        EventKind.TRANSCRIPT_OPENED: gettext("read the transcript"),
        EventKind.OBSERVED: gettext("observed the live session"),
        EventKind.EXPORTED: gettext("exported it"),
        EventKind.STOP_ASKED: gettext("stopped it"),
        EventKind.HELD: gettext("set a legal hold"),
        EventKind.HOLD_RELEASED: gettext("released the legal hold"),
        EventKind.SPEECH_ERASED: gettext("requested the erasure of the text"),
    }
    return words[kind]
