"""Causes and remedies of missing video as texts.

The codes are those of recovery/diagnosis.js.
"""

from __future__ import annotations

from django.utils.translation import gettext as _


def causes(name: str) -> dict[str, str]:
    """Return one sentence per code: the cause."""
    named = {"name": name}
    return {
        "no_webrtc": _("This browser cannot play live video."),
        "insecure": _("This page is not secure."),
        "network": _("Your network blocks live video."),
        "token": _("The permission to join the room has expired or was for another room."),
        "slow_room": _("The room is taking longer than usual to open."),
        "early": _("The avatar service is still preparing the session of %(name)s.") % named,
        "provider_not_live": _("%(name)s did not join the room: the session is not live at the avatar service.")
        % named,
        "avatar_left": _("%(name)s left the room.") % named,
        "no_track": _("The avatar service sends no video. The problem is in its session, not on your device."),
        "black": _("The avatar service sends black video."),
        "frozen": _("The video froze."),
        "playback_blocked": _("Your browser blocks video and sound until you tap."),
        "hidden": _("The video arrived, but the window was hidden."),
        "no_picture": _("The video did not arrive."),
    }


def remedies() -> dict[str, str]:
    """Return one sentence per code: what the user can do."""
    network = _("Switch to another network, for example mobile data, or turn off your VPN. Then try again.")
    wait = _("Try again in a minute. The team can see this problem.")
    return {
        "no_webrtc": _("Update your browser or use another one."),
        "insecure": _("Open it at an address that starts with https."),
        "network": network,
        "token": _("Try again to get a new one."),
        "slow_room": _("Try again. This usually helps."),
        "early": _("Try again. This usually helps."),
        "provider_not_live": wait,
        "avatar_left": _("Try again. This usually helps."),
        "no_track": wait,
        "black": wait,
        "frozen": _("Try again or continue with text only."),
        "playback_blocked": _("Press “Play with sound”, or allow sound for this page next to its address."),
        "hidden": _("Come back to this tab and try again."),
        "no_picture": _("Try again. If it stays black, switch to another network or turn off your VPN."),
    }
