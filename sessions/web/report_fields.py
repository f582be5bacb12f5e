"""The allowed keys and values of each kind of page report.

Reports are kept permanently, and are shown and exported without a reason for reading speech, so they must not contain
free text: each value is a number, a flag, a time, a word from a closed list, or an identifier. Other keys and values
are dropped, because the rest of a report is still worth keeping. Identifiers that could be words are replaced by a
keyed hash. Speech itself is not a field: it goes to the encrypted transcript.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils.crypto import salted_hmac

from heygen_portal.trail import hash_chain
from sessions.labels import device_check_texts
from sessions.lifecycle import no_picture_texts
from sessions.lifecycle.event_kinds import EventKind
from sessions.timeline.page_clock import PAGE_AT
from sessions.timeline.turns import MAX_SOUND_WAIT, SOUND_CAUSES

# JavaScript's largest exact integer.
MAX_SAFE_INTEGER = 2**53
# An ID that a server assigned to a task, a room or a participant.
IDENTIFIER = re.compile(r"[A-Za-z0-9_.:/=+-]{0,64}")
# An ID that says nothing: a UUID, as the providers' IDs are, or a small number, after words that servers put before it.
_PREFIX = r"(?:agent|avatar|client|event|heygen|liveavatar|observer|participant|person|room|session|stream|task|user)"
_NUMBER = r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}|[0-9]{1,6})"
OPAQUE = re.compile(
    rf"(?:{_PREFIX}[-_.:]?){{0,3}}|(?:{_PREFIX}[-_.:]?){{0,3}}[a-z]?[-_]?{_NUMBER}(?:[-_]{_NUMBER})?", re.IGNORECASE
)
# A code of a provider's protocol, which may get new ones.
CODE = re.compile(r"[A-Za-z][A-Za-z_]{0,39}")
TIMESTAMP = re.compile(r"[0-9T:.+-]{10,32}Z?")
# LiveKit's words.
CONNECTION_STATES = ("disconnected", "connecting", "connected", "reconnecting", "signalReconnecting")
CONNECTION_QUALITIES = ("excellent", "good", "poor", "lost", "unknown")
# Steps of the page's recovery, see recovery/ladder.js.
RECOVERY_STEPS = ("off", "picture", "reconnect", "resubscribe", "rejoin", "renew", "sound", "text", "out")
CHECK_RESULTS = ("ok", "warn", "bad", "skipped")
RATINGS = ("good", "fair", "poor")
CANDIDATE_TYPES = ("host", "srflx", "prflx", "relay")

Accepts = Callable[[Any], bool]


def one_of(values: Collection[str]) -> Accepts:
    return lambda value: isinstance(value, str) and value in values


def matching(pattern: re.Pattern[str]) -> Accepts:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def is_number(value: Any) -> bool:
    """Return whether both databases return this number unchanged.

    Its hash requires that.
    """
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) <= MAX_SAFE_INTEGER
    return value is None or (isinstance(value, float) and abs(value) < hash_chain.MAX_EXACT_FLOAT)


def is_waiting_time(value: Any) -> bool:
    """Return whether this is a plausible wait for a sound in milliseconds."""
    return value is not None and is_number(value) and 0 <= value <= MAX_SOUND_WAIT / timedelta(milliseconds=1)


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_timestamp(value: Any) -> bool:
    if not matching(TIMESTAMP)(value):
        return False
    try:
        return bool(datetime.fromisoformat(value))
    except ValueError:
        return False


def is_finding(value: Any) -> bool:
    """Return whether this is a result of the device check followed by its code."""
    result, _space, code = value.partition(" ") if isinstance(value, str) else ("", "", "")
    return result in CHECK_RESULTS and (
        code in device_check_texts.PROBLEM_TEXTS or code in (*device_check_texts.OK_CODES, "by_udp")
    )


CAUSE = one_of((*no_picture_texts.causes(""), "duration_limit", ""))
STEP = one_of(RECOVERY_STEPS)
TASK = {"task_id": matching(IDENTIFIER)}
TRACK = {"kind": one_of(("audio", "video"))}
CANDIDATE_TYPE = one_of((*CANDIDATE_TYPES, ""))
# The route that WebRTC chose. Texts about it are composed where it is shown.
ROUTE: Mapping[str, Accepts] = {
    "local": CANDIDATE_TYPE,
    "remote": CANDIDATE_TYPE,
    "protocol": one_of(("udp", "tcp", "tls", "")),
    "round_trip_ms": is_number,
}

IDENTIFIERS = frozenset({"task_id", "identity", "room"})
# Accepted keys by kind. Kinds that are not listed have no data.
FIELDS: Mapping[str, Mapping[str, Accepts]] = {
    EventKind.ROOM_DISCONNECTED: {"reason": is_number},
    EventKind.CONNECTION_STATE: {"state": one_of(CONNECTION_STATES)},
    EventKind.CONNECTION_QUALITY: {"quality": one_of(CONNECTION_QUALITIES)},
    EventKind.TRACK_PUBLISHED: TRACK,
    EventKind.TRACK_SUBSCRIBED: {**TRACK, "identity": matching(IDENTIFIER)},
    EventKind.TRACK_UNSUBSCRIBED: TRACK,
    EventKind.FIRST_FRAME: {"width": is_number, "height": is_number, "ms": is_number},
    EventKind.FIRST_SOUND: {"after": one_of(SOUND_CAUSES), "ms": is_waiting_time},
    EventKind.WAY: ROUTE,
    EventKind.PICTURE: {"fps": is_number, "seconds": is_number},
    EventKind.RATED: {"rating": one_of(RATINGS)},
    EventKind.LADDER: {"step": STEP, "from": STEP, "because": CAUSE},
    EventKind.VERDICT: {"code": CAUSE, "stage": STEP, "room": matching(IDENTIFIER), "is_final": is_flag},
    EventKind.WAITING: {"because": one_of(("hidden", "playback_blocked"))},
    EventKind.CHECK: {
        **dict.fromkeys(device_check_texts.CHECKS, is_finding),
        **ROUTE,
        "checked_at": is_timestamp,
    },
    EventKind.MICROPHONE: {
        "state": one_of(
            ("on", "off", "replaced", "refused", "absent", "busy", "silent", "unheard", "interrupted", "insecure")
        ),
        "mode": one_of(("hold", "hands_free")),
        "gate": one_of(("off", "on", "failed")),
    },
    EventKind.AVATAR_START_TALKING: TASK,
    EventKind.AVATAR_STOP_TALKING: {**TASK, "duration_ms": is_number},
    EventKind.AVATAR_END_MESSAGE: {**TASK, "interrupted": is_flag},
    EventKind.SESSION_STOPPED: {"reason": matching(CODE)},
    EventKind.USER_START: TASK,
    EventKind.USER_STOP: TASK,
    EventKind.USER_END_MESSAGE: TASK,
}


def unclear_identifiers(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the accepted identifiers that could be words, by name."""
    return {name: fields[name] for name in IDENTIFIERS & fields.keys() if not OPAQUE.fullmatch(fields[name])}


def pseudonym(session_id: UUID, identifier: str) -> str:
    """Return what is stored instead of an identifier: the same for each of its reports in one session."""
    return f"x-{salted_hmac(f'sessions.reports.{session_id.hex}', identifier, algorithm='sha256').hexdigest()[:32]}"


def accepted(kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of `data` that a report of this kind may contain."""
    fields = {**FIELDS.get(kind, {}), PAGE_AT: is_timestamp}
    return {name: value for name, value in data.items() if name in fields and fields[name](value)}
