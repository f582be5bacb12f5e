"""The setup checklist page.

It shows which steps are done, and for the others what to do and where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache

from avatars.models import Persona, ProviderAccount
from heygen_portal import livekit
from sessions.labels import readable_data
from sessions.onboarding import checklist
from sessions.timeline.sent_values import SentValue

# For each item: its title, what to do while it is not done, and the label of its link.
TEXTS: dict[str, tuple[Any, Any, Any]] = {
    "key": (
        _("A provider accepts the key"),
        _("Create an account and enter its key. “Check connection” on its page shows which calls fail, and why."),
        _("Provider accounts"),
    ),
    "token": (
        _("The provider issued a token for a session"),
        _("Open the persona and press Start. If it fails, “Check connection” shows which call the provider refuses."),
        _("Talk"),
    ),
    "catalogue": (
        _("Avatars and voices are synced"),
        _("Sync the catalogue on the account’s page."),
        _("The account"),
    ),
    "persona": (
        _("A persona is published"),
        _("Create one with an avatar, a voice and a knowledge base. Try it, then publish it."),
        _("Personas"),
    ),
    "made": (
        _("A session was created with the selected avatar, voice and quality"),
        _("Open the persona and press Start."),
        _("Talk"),
    ),
    "started": (
        _("The provider started the session and returned its room"),
        _("The session’s page shows what the provider responded."),
        _("Sessions"),
    ),
    "joined": (
        _("A browser joined the room"),
        _("“Check my device” shows what the network blocks."),
        _("Check my device"),
    ),
    "frame": (
        _("A text was sent to the avatar, and its video was shown"),
        _("Write something in a conversation with video. The session’s page shows which step was not reached."),
        _("Sessions"),
    ),
    "errors": (
        _("Errors, tracks, reconnections and disconnections are handled"),
        _("Interrupt the network during a conversation: it recovers, or ends with a reason."),
        _("Sessions"),
    ),
    "own_rooms": (
        _("A conversation took place on your own LiveKit server"),
        _("Select your LiveKit server on the account’s page, and have a conversation."),
        _("The account"),
    ),
    "variety": (
        _("All qualities, two voice settings and two languages were tried"),
        _("Talk with personas that have other settings. Still to be tried:"),
        _("Personas"),
    ),
    "measured": (
        _("Response time, video, sound and experience were measured"),
        _("Talk for a few turns, end the conversation and rate it. Still to be measured:"),
        _("Talk"),
    ),
    "answer": (_("A user’s message was answered"), _("Write or say something in the conversation."), _("Talk")),
    "stopped": (
        _("A session was ended and the provider confirmed it"),
        _("Press End. The session is shown as stopping until the provider confirms."),
        _("Sessions"),
    ),
    "livekit": (
        _("Your LiveKit server responds"),
        _("If it does not, check LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET."),
        _("Provider accounts"),
    ),
    "webhook": (
        _("Your LiveKit server has sent room events"),
        _(
            "Set its webhook to the address below, select your LiveKit server on the account’s page, and "
            "have a conversation."
        ),
        _("Provider accounts"),
    ),
}
ACCOUNTS, SESSIONS = "admin:avatars_provideraccount_changelist", "admin:avatar_sessions_streamingsession_changelist"


@dataclass(frozen=True)
class ItemView:
    """One item as shown on the page."""

    code: str
    is_done: bool | None
    title: Any
    instruction: Any
    link: str
    link_name: Any
    detail: str = ""
    # Label, what was chosen, the provider's field, what was sent, and whether they are equal.
    sent_values: Sequence[tuple[str, str, str, str, bool]] = ()


@never_cache
def page(request: HttpRequest) -> HttpResponse:
    trouble = async_to_sync(livekit.diagnose)() if livekit.is_set_up() else None
    webhook = request.build_absolute_uri(reverse("sessions:livekit_webhook"))
    details = {"livekit": trouble or "", "webhook": webhook}
    links = _links()
    views = [
        ItemView(
            item.code,
            item.is_done,
            *TEXTS[item.code][:2],
            links[item.code],
            TEXTS[item.code][2],
            details.get(item.code, "") or ", ".join(item.missing),
            [_sent_value(value) for value in item.sent_values],
        )
        for item in checklist.items(trouble)
    ]
    needed = [view for view in views if view.is_done is not None]
    done = sum(bool(view.is_done) for view in needed)
    return render(request, "sessions/setup_checklist.html", {"items": views, "done": done, "needed": len(needed)})


def _sent_value(value: SentValue) -> tuple[str, str, str, str, bool]:
    label = capfirst(readable_data.event_label(value.name))
    shown = readable_data.value_of(value.chosen), value.field, readable_data.value_of(value.sent)
    return (label, *shown, value.is_same)


def _links() -> dict[str, str]:
    """Return where to complete each item.

    This is the first existing row, or the form that adds one.
    """
    account, persona = ProviderAccount.objects.order_by("pk").first(), Persona.objects.order_by("pk").first()
    published = Persona.objects.published().order_by("pk").first()
    accounts, sessions = reverse(ACCOUNTS), reverse(SESSIONS)
    the_account = reverse("admin:avatars_provideraccount_change", args=[account.pk]) if account else accounts
    the_persona = reverse("admin:avatars_persona_change", args=[persona.pk]) if persona else None
    room = published.get_absolute_url() if published else reverse("avatars:gallery")
    return {
        "key": the_account if account else reverse("admin:avatars_provideraccount_add"),
        "catalogue": the_account,
        "persona": the_persona or reverse("admin:avatars_persona_add"),
        "token": room,
        "made": room,
        "started": sessions,
        "joined": reverse("sessions:check"),
        "frame": sessions,
        "answer": room,
        "stopped": sessions,
        "errors": sessions,
        "own_rooms": the_account,
        "variety": reverse("admin:avatars_persona_changelist"),
        "measured": room,
        "livekit": accounts,
        "webhook": the_account,
    }
