"""Texts about the result of a device check, for staff.

Checks and codes are those of device-check/checks.js.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from heygen_portal.runtime import stored_json

CHECKS = {
    "secure": gettext_lazy("secure page"),
    "browser": gettext_lazy("browser"),
    "microphone": gettext_lazy("microphone"),
    "speakers": gettext_lazy("loudspeaker"),
    "udp": "UDP",
    "tcp": "TCP",
    "turn": "TURN",
}
OK_CODES = ("fine", "none", "later")
PROBLEM_TEXTS = {
    "insecure": gettext_lazy("not secure"),
    "no_webrtc": gettext_lazy("cannot play live video"),
    "no_h264": gettext_lazy("cannot play H.264"),
    "refused": gettext_lazy("refused"),
    "absent": gettext_lazy("not found"),
    "busy": gettext_lazy("in use by another program"),
    "silent": gettext_lazy("no sound"),
    "quiet": gettext_lazy("quiet"),
    "unmeasured": gettext_lazy("not measured"),
    "unheard": gettext_lazy("not heard"),
    "slow": gettext_lazy("slow"),
    "blocked": gettext_lazy("blocked"),
    "unreachable": gettext_lazy("room not reachable"),
    "closed": gettext_lazy("blocked, as is every other route"),
    "missing": gettext_lazy("not offered, and the only possible route"),
    "astray": gettext_lazy("does not connect to the room"),
}


def problems(report: Mapping[str, Any]) -> list[str]:
    """Return the problems found, each in a few words.

    The report comes from a browser and may be malformed.
    """
    found = []
    for check, name in CHECKS.items():
        mark, _space, code = str(report.get(check, "")).partition(" ")
        if mark in ("warn", "bad"):
            found.append(f"{name}: {PROBLEM_TEXTS.get(code, code)}")
    return found


def summary(report: Mapping[str, Any]) -> str:
    """Return the result in one line: the problems, if any, and the media route."""
    route = _route(report)
    return ", ".join([*(problems(report) or [_("no problems found")]), *([route] if route else [])])


def _route(report: Mapping[str, Any]) -> str:
    """Return the media route in a few words; empty if none was found."""
    local, remote, protocol = (stored_json.text(report, name) for name in ("local", "remote", "protocol"))
    if not (local and remote):
        return stored_json.text(report, "way")  # earlier versions stored it in words
    delay = stored_json.number(report, "round_trip_ms")
    parts = [f"{local} → {remote}", protocol.upper(), f"{delay} ms" if delay is not None else ""]
    return " · ".join(part for part in parts if part)
