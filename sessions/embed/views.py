"""Pages and requests of guests: the frame for sites, the page of a link, and what the page asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import wraps
from math import ceil
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import translation
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import conditional_page, require_POST, require_safe

from avatars import views as avatar_views
from heygen_portal.branding.current import current
from heygen_portal.runtime import budgets, client_address
from heygen_portal.runtime.budgets import TooManyRequests
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.text import catalogues
from heygen_portal.server import origins as own_origins
from sessions import errors
from sessions.actions import stop
from sessions.capacity import consent
from sessions.capacity.notice import notice_for
from sessions.embed import admission, device_cookie, element, origins, refusals
from sessions.models import GuestLink, PersonaEmbed, StreamingSession, owned_by
from sessions.presence import tabs
from sessions.retention import erasure
from sessions.web.views import QUALITIES, page_capabilities, page_texts

MAX_BODY_BYTES = 8 * 1024


@login_not_required
@require_safe
@never_cache
@gzip_page
@xframe_options_exempt
def frame(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show the persona in a frame on an allowed site. Browsers show it nowhere else."""
    embed = admission.find_embed(public_id)
    sites = origins.intact(embed.origins) if embed and embed.is_enabled else []
    if embed is None or not sites:
        raise Http404
    site = origins.of_url(request.headers.get("Referer", ""))
    is_framed = request.headers.get("Sec-Fetch-Dest") == "iframe"
    if is_framed and site and site not in sites:
        refusals.record(embed, errors.OriginRefused(), site, client_address.of(request))
        return _render_refusal(request, embed, errors.OriginRefused(), status=403)
    response = _render_room(request, embed, None)
    # In place of the portal's "'none'", for this response only.
    vars(response)["_csp_replace"] = {"frame-ancestors": sites}
    device_cookie.ensure(request, response)
    return response


@login_not_required
@require_safe
@never_cache
@gzip_page
def link(request: HttpRequest, signed: str) -> HttpResponse:
    """Show the persona to whoever has the link, as long as it may be used."""
    found = admission.find_link(signed)
    if found is None:
        raise Http404
    if found not in GuestLink.objects.usable():
        refusals.record(found.embed, errors.LinkUnusable(), "", client_address.of(request))
        return _render_refusal(request, found.embed, errors.LinkUnusable(), status=410)
    response = _render_room(request, found.embed, found, signed)
    if not found.is_kiosk:
        device_cookie.ensure(request, response)
    return response


def _render_room(request: HttpRequest, embed: PersonaEmbed, link: GuestLink | None, signed: str = "") -> HttpResponse:
    persona = embed.persona
    limit = min(persona.duration_limit, embed.visit_limit)
    guest = {"public_id": embed.public_id, "link": signed, "is_kiosk": bool(link and link.is_kiosk)}
    guest |= {"shares_lines": embed.is_page_trusted and link is None, "needs_age": embed.needs_guardian}
    with translation.override(_language(request, embed)):
        context = {
            "persona": persona,
            "poster": reverse("sessions:guest_preview", args=[embed.public_id]) if persona.avatar.preview else "",
            "guest": guest,
            "minutes": ceil(limit.total_seconds() / 60),
            # A guest who comes back may have accepted it; the portal knows with the start.
            "notice": notice_for(persona),
            "is_consent_needed": consent.is_required(persona),
            "livekit_url": settings.LIVEKIT_PUBLIC_URL,
            "words": _page_texts(persona.name),
            "capabilities": page_capabilities(persona),
            "qualities": [
                (value, label) for value, label in QUALITIES.items() if value in persona.capabilities.qualities
            ],
        }
        return render(request, "sessions/room.html", context)


def _page_texts(name: str) -> dict[str, dict[str, str]]:
    """Return the page's texts without advice that only helps people with an account."""
    texts = page_texts(name)
    texts["causes"]["access_ended"] = str(errors.GuestAccessEnded.words)
    texts["remedies"] |= dict.fromkeys(("access_ended", "guest_limit", "guests_paused"), "")
    return texts


@login_not_required
@require_safe
@cache_control(private=True, max_age=3600)
def preview(request: HttpRequest, public_id: str) -> HttpResponse:
    """Send the picture of the persona's avatar."""
    embed = admission.find_embed(public_id)
    if embed is None:
        raise Http404
    return avatar_views.preview(request, embed.persona.avatar_id)


@login_not_required
@require_safe
@cache_control(public=True, max_age=600)
@gzip_page
@conditional_page
def script(request: HttpRequest) -> HttpResponse:
    """Send the custom element to sites."""
    return HttpResponse(element.script(current().own_accent), content_type="text/javascript; charset=utf-8")


@login_not_required
@require_safe
@never_cache
@xframe_options_exempt
def check(request: HttpRequest, public_id: str) -> HttpResponse:
    """Show in a frame on any site whether guests could talk there. It has no secrets and no buttons."""
    embed = PersonaEmbed.objects.select_related("persona").filter(public_id=public_id).first()
    if embed is None:
        raise Http404
    context = {"public_id": public_id, "portal": f"{request.scheme}://{request.get_host()}"}
    with translation.override(_language(request, embed)):
        response = render(request, "sessions/embed_check.html", context)
    vars(response)["_csp_replace"] = {"frame-ancestors": ["*"]}
    device_cookie.ensure(request, response)
    return response


def _render_refusal(request: HttpRequest, embed: PersonaEmbed, error: errors.SessionError, status: int) -> HttpResponse:
    with translation.override(_language(request, embed)):
        return render(request, "sessions/guest_refused.html", {"words": str(error)}, status=status)


def _language(request: HttpRequest, embed: PersonaEmbed) -> str:
    """Return the first language that pages offer: that which the site asks for, the persona's, the browser's."""
    asked = [request.GET.get("lang"), embed.persona.language, translation.get_language()]
    return catalogues.nearest(asked, current().language_codes)


def _from_own_page(view: Any) -> Any:
    """Decorate a view that only the portal's own pages may call, and that answers in JSON.

    A guest's page has no cookie for Django's check of forms. Other sites cannot forge the Origin header.
    """

    @wraps(view)
    def checked(request: HttpRequest, public_id: str) -> HttpResponse:
        embed = PersonaEmbed.objects.select_related("persona").filter(public_id=public_id).first()
        if embed is None:
            raise Http404
        with translation.override(_language(request, embed)):
            try:
                if not own_origins.is_own_page(request):
                    refusals.record(
                        embed, errors.OriginRefused(), request.headers.get("Origin", ""), client_address.of(request)
                    )
                    raise errors.OriginRefused
                response: HttpResponse = view(request, embed)
            except errors.GuestRefused as exc:
                return _refusal(exc, 403)
            except (errors.ChallengeNeeded, errors.BadMessage) as exc:
                return _refusal(exc, 400)
            except TooManyRequests as exc:
                return _refusal(errors.TooManyRequests(exc.wait_seconds, "connect"), 429)
        return response

    return csrf_exempt(login_not_required(require_POST(never_cache(checked))))


def _refusal(error: errors.SessionError, status: int) -> JsonResponse:
    return JsonResponse({"code": error.code, "words": str(error), **error.details}, status=status)


@_from_own_page
def visit(request: HttpRequest, embed: PersonaEmbed) -> HttpResponse:
    """Let the page in: answer with its visit and a token for one socket."""
    if admission.find_embed(embed.public_id) is None:
        raise Http404
    admitted = admission.admit(embed, _body(request), device=_device(request), address=client_address.of(request))
    return JsonResponse({"visit": admitted.visit_token, "token": admitted.socket_token})


@_from_own_page
def erase(request: HttpRequest, embed: PersonaEmbed) -> HttpResponse:
    """Erase what the guest has said, once the conversation has ended."""
    guest_id = admission.own_visit(embed, str(_body(request).get("visit", "")), _device(request)).guest_id
    if StreamingSession.objects.open().filter(owned_by(guest_id)).exists():
        return JsonResponse({"is_erased": False}, status=409)
    erasure.erase_own(guest_id, client_address.of(request))
    left = erasure.erasable().filter(owned_by(guest_id))
    return JsonResponse({"is_erased": not left.exists()})


@_from_own_page
def check_site(request: HttpRequest, embed: PersonaEmbed) -> HttpResponse:
    """Say whether guests may talk on a site, and whether the browser sent the device's cookie."""
    budgets.spend_sync("guest_visit", address=client_address.of(request))
    is_on = embed.is_enabled and admission.find_embed(embed.public_id) is not None
    is_listed = str(_body(request).get("origin", "")) in embed.origins
    result = "off" if not is_on else "fine" if is_listed else "unlisted"
    return JsonResponse({"site": result, "has_cookie": bool(device_cookie.read(request.COOKIES))})


@csrf_exempt
@login_not_required
@require_POST
async def leave(request: HttpRequest, public_id: str, session_id: UUID) -> HttpResponse:
    """Record that a guest's page is closing. The answer never reveals whether the session exists."""
    if await in_thread(_close_tab)(request, public_id, session_id):
        stop.stop_if_abandoned(session_id)
    return HttpResponse(status=204)


def _close_tab(request: HttpRequest, public_id: str, session_id: UUID) -> bool:
    embed = PersonaEmbed.objects.filter(public_id=public_id).first()
    if embed is None or not own_origins.is_own_page(request):
        return False
    try:
        visit = admission.own_visit(embed, request.POST.get("visit", ""), _device(request))
    except errors.GuestRefused:
        return False
    return tabs.close_tab(visit.guest_id, session_id, request.POST.get("tab", ""))


def _device(request: HttpRequest) -> str:
    return admission.device_hash(device_cookie.read(request.COOKIES))


def _body(request: HttpRequest) -> Mapping[str, Any]:
    """Return the JSON object that the page sent. Raises BadMessage."""
    try:
        content = json.loads(request.read(MAX_BODY_BYTES))
    except (ValueError, RecursionError) as exc:
        raise errors.BadMessage from exc
    if not isinstance(content, dict):
        raise errors.BadMessage
    return content
