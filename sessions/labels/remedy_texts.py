"""Remedies for staff: by end reason, and more specific ones by evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime import stored_json
from sessions.lifecycle.end_evidence import EvidenceCode
from sessions.models import EndReason

NORMAL_END = _("None: this is a normal end of a conversation.")

BY_REASON: dict[str, str | Promise] = {
    EndReason.USER_STOPPED: NORMAL_END,
    EndReason.PERSONA_ENDED: _("None. If it ends conversations too early, switch the tool off in the persona."),
    EndReason.TAB_CLOSED: _(
        "None, unless this happens often on one device. In that case, have its connection checked."
    ),
    EndReason.IDLE: _("None. If users are cut off while thinking, raise the persona’s idle limit."),
    EndReason.DURATION_LIMIT: _("None. If conversations need more time, raise the limit named in the evidence."),
    EndReason.STAFF_STOPPED: _("Ask the staff member who stopped it, named in the evidence."),
    EndReason.TAKEN_OVER: NORMAL_END,
    EndReason.QUOTA: _("Give the user or group more minutes a month under Quotas."),
    EndReason.SPEND_CAP: _("Raise the account’s monthly cap or buy credits at the provider."),
    EndReason.NO_PICTURE: _("Check which stage was not reached, and the diagnosis below."),
    EndReason.PROVIDER_ENDED: _(
        "If several users are affected at the same time, check the provider’s status page. Otherwise "
        "check the provider’s limits: they may be shorter than the persona’s."
    ),
    EndReason.PROVIDER_REFUSED: _(
        "Read the provider’s response in the evidence, then check the account and the persona."
    ),
    EndReason.PROVIDER_UNREACHABLE: _(
        "Check that this server can reach the provider’s address, then check the provider’s status page."
    ),
    EndReason.ORPHAN_FOUND: _("Check the logs at the start time: a process of the portal stopped there."),
}

BY_EVIDENCE: dict[str, str | Promise] = {
    EvidenceCode.NO_PICTURE_ROOM: _(
        "The user’s browser did not join the room. Have the device checked (network, VPN, firewall), and "
        "check that it can reach the LiveKit server."
    ),
    EvidenceCode.NO_PICTURE_TRACK: _(
        "The problem is in the provider’s session, not on the user’s device. Report the session’s "
        "provider ID and this time to the provider."
    ),
    EvidenceCode.NO_PICTURE_FRAME: _(
        "Video reached the device but was not shown. Have the browser and the device checked."
    ),
    EvidenceCode.ROOMS_AWAY: _("Start the portal’s LiveKit server or correct its address and keys."),
    EvidenceCode.UNREADABLE: _(
        "Its row was changed in the database. Run the integrity check, which names the column, and find out who has "
        "access to the database."
    ),
}

# Most specific: the page gave up and reported a diagnosis.
BY_VERDICT: dict[str, str | Promise] = {
    "network": _(
        "The user’s network blocks all media. Have the user run “Check my device”, which shows what is "
        "blocked. If only the relay would work, enable it: docs/livekit.md."
    ),
}


def remedy(reason: str, evidence: Mapping[str, Any]) -> str:
    """Return the remedy in the active language, or "" for an open session."""
    code, verdict = stored_json.text(evidence, "code"), stored_json.text(evidence, "verdict")
    words = BY_VERDICT.get(verdict) or BY_EVIDENCE.get(code) or BY_REASON.get(reason, "")
    return str(words)
