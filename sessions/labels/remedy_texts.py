"""What staff can do about a session's end, in words: one remedy for each reason, sharper where the evidence is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sessions.models import EndReason

NOTHING = _("Nothing: this is how a conversation ends.")

BY_REASON: dict[str, str | Promise] = {
    EndReason.USER_STOPPED: NOTHING,
    EndReason.TAB_CLOSED: _("Nothing, unless it happens often on one device: then have its connection checked."),
    EndReason.IDLE: _("Nothing. If people are cut off while they think, give the persona a longer idle limit."),
    EndReason.DURATION_LIMIT: _("Nothing. If conversations need longer, raise the limit named in the evidence."),
    EndReason.STAFF_STOPPED: _("Ask whoever stopped it; the evidence names them."),
    EndReason.TAKEN_OVER: NOTHING,
    EndReason.QUOTA: _("Give the person or the group more minutes a month, under Allowances."),
    EndReason.SPEND_CAP: _("Raise the account's monthly cap, or buy credits at the provider."),
    EndReason.NO_PICTURE: _("Look at the stage that was not reached, and at the verdict below."),
    EndReason.PROVIDER_ENDED: _(
        "If it happens to others at the same time, it is the provider: look at its status page. Else look at its "
        "limits: it may end sessions sooner than the persona says."
    ),
    EndReason.PROVIDER_REFUSED: _("Read the answer in the evidence, then check the account and the persona."),
    EndReason.PROVIDER_UNREACHABLE: _("Check that this server reaches the provider's address, then its status page."),
    EndReason.ORPHAN_FOUND: _("Look into the logs at the time of the start: a process of the portal died there."),
}

BY_EVIDENCE: dict[str, str | Promise] = {
    "no_picture_room": _(
        "The person's browser did not enter the room: have the device checked (network, VPN, firewall), and that the "
        "LiveKit server can be reached from there."
    ),
    "no_picture_track": _(
        "The fault is in the provider's session, not in the person's device: give the provider its ID and this time."
    ),
    "no_picture_frame": _("The picture reached the device and was not shown: have the browser and the device checked."),
    "rooms_away": _("Start the LiveKit server of the portal, or correct its address and keys."),
}

BY_VERDICT: dict[str, str | Promise] = {
    "network": _(
        "Their network lets nothing through: have them press Check my device there, which names what is blocked. Where "
        "only the relay would get out, turn it on: docs/operations.md, The relay (TURN)."
    ),
}
"""Sharper still, where the page gave up and said why."""


def remedy(reason: str, evidence: Mapping[str, Any]) -> str:
    """Say what to do, in the active language; nothing while it runs."""
    code, verdict = str(evidence.get("code", "")), str(evidence.get("verdict", ""))
    words = BY_VERDICT.get(verdict) or BY_EVIDENCE.get(code) or BY_REASON.get(reason, "")
    return str(words)
