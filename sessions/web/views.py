"""The room page, where users talk with a persona."""

from collections.abc import Callable
from dataclasses import asdict
from math import ceil
from typing import Any, cast
from uuid import UUID

from asgiref.sync import async_to_sync
from csp.decorators import csp_replace
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_POST, require_safe

from avatars.models import Persona
from heygen_portal.branding.current import current
from heygen_portal.providers.contract.provider import Quality
from heygen_portal.runtime.in_thread import in_thread
from sessions import errors
from sessions.actions import deadlines, queries, stop
from sessions.capacity import consent, slots
from sessions.capacity.notice import notice_for
from sessions.lifecycle import end_evidence, no_picture_texts
from sessions.models import EndReason, Purpose, StreamingSession
from sessions.presence import tabs

QUALITIES = {
    Quality.LOW: gettext_lazy("Small"),
    Quality.MEDIUM: gettext_lazy("Medium"),
    Quality.HIGH: gettext_lazy("Large"),
}

Page = Callable[..., HttpResponse]
# django-csp's types know no views with arguments.
framed_by_portal: Callable[[Page], Page] = cast(Any, csp_replace({"frame-ancestors": ["'self'"]}))


@require_safe
@never_cache
@gzip_page
def room(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the page of one persona. Everything else goes over its socket."""
    return _render_room(request, slug, Purpose.TALK)


@require_safe
@never_cache
@gzip_page
@xframe_options_sameorigin
@framed_by_portal
def trial(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the page to staff in a frame of the admin, with the persona as last saved."""
    return _render_room(request, slug, Purpose.TRIAL)


def _render_room(request: HttpRequest, slug: str, purpose: Purpose) -> HttpResponse:
    persona = queries.find_persona(request.user, slug, purpose)
    if persona is None:
        raise Http404  # also without permission to talk
    account = persona.avatar.account
    is_debug = "debug" in request.GET and getattr(request.user, "is_staff", False)
    continues = _find_continued(request, persona)
    context = {
        "persona": persona,
        "poster": persona.avatar.preview_url,
        "is_trial": purpose == Purpose.TRIAL,
        "minutes": ceil(persona.duration_limit.total_seconds() / 60),
        "is_debug": is_debug,
        "emulator_url": settings.EMULATOR_URL if account.base_url == settings.EMULATOR_URL else "",
        "livekit_url": settings.LIVEKIT_PUBLIC_URL,
        "words": page_texts(persona.name),
        "capabilities": page_capabilities(persona),
        "qualities": [(value, label) for value, label in QUALITIES.items() if value in persona.capabilities.qualities],
        "continues": continues,
        **_notice_context(request.user.pk or 0, persona, continues, purpose),
        "others": _personas_in_other_languages(request, persona) if purpose == Purpose.TALK else [],
    }
    return render(request, "sessions/room.html", context)


def _notice_context(
    user_id: int, persona: Persona, continues: StreamingSession | None, purpose: Purpose
) -> dict[str, Any]:
    """Return the notice, whether the user must accept it now, and when they did."""
    return {
        "notice": notice_for(persona),
        "is_consent_needed": consent.still_required(persona, user_id, continues, purpose) is not None,
        "consent": consent.in_force(persona, user_id),
    }


@require_POST
def withdraw_consent(request: HttpRequest, slug: str) -> HttpResponse:
    """Withdraw the user's consent to talk with a persona, and end a session that rests on it."""
    persona, user_id = get_object_or_404(Persona, slug=slug), request.user.pk or 0
    consent.withdraw(persona.pk, user_id)
    for session_id in queries.running_with(user_id, persona.pk):
        async_to_sync(stop.stop_by_id)(session_id, EndReason.USER_STOPPED, end_evidence.person(user_id))
    return redirect("sessions:room", slug=slug)


def _find_continued(request: HttpRequest, persona: Persona) -> StreamingSession | None:
    """Return the conversation that the page asks to continue.

    It must be the user's own, with this persona, and ended.
    """
    try:
        start = slots.StartRequest(continues=UUID(request.GET.get("continues", "")))
        session = slots.find_continued(request.user.pk or 0, persona, start)
    except (ValueError, errors.NotFound):
        return None
    return session if session and session.ended_at and slots.may_continue(session) else None


def _personas_in_other_languages(request: HttpRequest, persona: Persona) -> list[Persona]:
    """Return the same persona in other languages that the user may talk with."""
    return list(Persona.objects.open_to(request.user.pk).speaking_another_language(persona).order_by("language"))


def page_capabilities(persona: Persona) -> dict[str, Any]:
    """Return what the page offers with this persona, and its longest text."""
    capabilities = persona.capabilities
    return {
        "takes_text": capabilities.takes_text,
        "takes_voice": capabilities.takes_voice,
        "hands_free": capabilities.hands_free,
        "push_to_talk": capabilities.push_to_talk and asdict(capabilities.push_to_talk),
        "qualities": capabilities.qualities,
        "text_limits": {
            "characters": deadlines.TASK_MAX_CHARACTERS,
            "code_points": deadlines.TASK_MAX_CODE_POINTS,
        },
    }


@require_POST
async def leave(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Record that a page is closing.

    The answer never reveals whether the session exists.
    """
    user = await request.auser()
    assert user.pk is not None  # the middleware requires a login
    if await in_thread(tabs.close_tab)(user.pk, session_id, request.POST.get("tab", "")):
        stop.stop_if_abandoned(session_id)
    return HttpResponse(status=204)


def page_texts(name: str) -> dict[str, dict[str, str]]:
    """Return the texts that the page's scripts choose from.

    All others are in the templates.
    """
    return {
        "quality": {
            "good": _("Good"),
            "poor": _("Weak"),
            "lost": _("No connection"),
            "reconnecting": _("Reconnecting"),
        },
        "causes": no_picture_texts.causes(name)
        | {
            "room_refused": _("Your browser could not join the room."),
            "room_closed": _("%(name)s left the room.") % {"name": name},
            "room_elsewhere": _("This conversation is open in another tab."),
            "signed_out": str(errors.SignedOut.words),
            "access_ended": str(errors.AccessEnded.words),
            "second_factor_needed": str(errors.SecondFactorNeeded.words),
            "portal_away": _("The portal is not responding. This page keeps trying."),
        },
        "remedies": no_picture_texts.remedies()
        | {
            "": _("Try again. This usually helps."),
            "room_refused": _(
                "Switch to another network, for example mobile data, or turn off your VPN. Then try again."
            ),
            "room_elsewhere": _("Continue in the other tab, or end the conversation there and try again here."),
            "signed_out": _("Sign in again and start a new conversation."),
            "access_ended": _("Ask the team for access."),
            "second_factor_needed": _("Set up your second factor, then come back."),
            "session_running": _("End the other conversation or wait a few seconds, then try again."),
            "rejoin_refused": _("End this conversation and start another one."),
            "not_released": _("It is still closing. Wait half a minute and try again."),
            "quota_used": _("Your time is renewed next month. If you need more, ask the team."),
            "quota": _("Your time is renewed next month. If you need more, ask the team."),
            "spend_cap": _("The team can see this problem. Try again later."),
            "queue_full": _("Try again in a few minutes, when the queue is shorter."),
            "queue_lost": _("Press Start to join the queue again."),
            "too_many_requests": _("Wait a moment, then try again."),
            "provider_limit": _("Try again in a minute, when a slot is free."),
            "provider_unreachable": _("Try again in a minute. The team can see this problem."),
            "provider_refused": _("Try again in a minute. The team can see this problem."),
            "not_found": _("Choose another persona."),
            "time_is_up": _("Start a new conversation."),
        },
        "queue": {
            "next": _("You are next in the queue"),
            "place": _("You are number {n} in the queue"),
            "soon": _("less than a minute"),
            "minutes": _("about {n} minutes"),
            "elsewhere": _("With {name}, since {time}."),
        },
        "provider": {
            "connected": _("The avatar service reports that the session is live."),
            "missing": _("The avatar service reports that the session has ended."),
            "unknown": _("The avatar service is not responding."),
            "": _("The avatar service reports that the session is not live yet."),
        },
        "transcript": {
            "title": current().titled(_("Conversation with %(name)s") % {"name": name}),
            "you": _("You"),
            "voice": _("by voice"),
            "read": _("to be read aloud"),
            "interrupted": _("interrupted"),
            "reported": _("Reported by the browser only"),
            "undelivered": _("Delivery to the avatar not confirmed"),
            "failed": _("Not sent."),
            "copied": _("Copied"),
        },
    }
