"""Why there is no picture, and what helps, in words; the codes are those of recovery/diagnosis.js."""

from __future__ import annotations

from django.utils.translation import gettext as _


def causes(name: str) -> dict[str, str]:
    """The cause, in one sentence each."""
    named = {"name": name}
    return {
        "no_webrtc": _("This browser cannot show live video."),
        "insecure": _("This page was not opened in a secure way."),
        "network": _("Your network does not let the live video through."),
        "token": _("The permission to enter the room has expired, or was for another one."),
        "slow_room": _("The room is taking longer than usual to open."),
        "early": _("You are in the room before %(name)s: the avatar service is still preparing the session.") % named,
        "provider_not_live": _("%(name)s did not come into the room: the session is not live at the avatar service.")
        % named,
        "avatar_left": _("%(name)s left the room.") % named,
        "no_track": _("The avatar service sends no picture: the fault is in its session, not in your device."),
        "black": _("The avatar service sends a black picture."),
        "frozen": _("The picture stands still."),
        "playback_blocked": _("The browser blocks sound and picture until you tap."),
        "hidden": _("The picture came, but the window was hidden."),
        "no_picture": _("The picture did not arrive."),
    }


def remedies() -> dict[str, str]:
    """What the person can do, in one sentence each."""
    network = _("Change the network, for example to mobile data, or turn the VPN off. Then try again.")
    wait = _("Try again in a minute; the team can see it.")
    return {
        "no_webrtc": _("Update the browser, or use another one."),
        "insecure": _("Open it at the address that begins with https."),
        "network": network,
        "token": _("Try again, and you get a new one."),
        "slow_room": _("Try again; that is often enough."),
        "early": _("Try again; that is often enough."),
        "provider_not_live": wait,
        "avatar_left": _("Try again; that is often enough."),
        "no_track": wait,
        "black": wait,
        "frozen": _("Try again, or go on in writing."),
        "playback_blocked": _("Press See and hear, or allow sound for this page beside its address."),
        "hidden": _("Come back to this tab and try again."),
        "no_picture": _("Try again. If it stays black, change the network or turn the VPN off."),
    }
