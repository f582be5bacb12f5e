"""The page that checks a user's device and network before a conversation."""

from __future__ import annotations

from contextlib import suppress

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from heygen_portal import livekit
from heygen_portal.people.access import roles
from heygen_portal.runtime import budgets, client_address


@require_safe
@never_cache
def check(request: HttpRequest) -> HttpResponse:
    """Show the checks and the texts of their results. The browser runs the checks."""
    return render(request, "sessions/check.html")


@require_POST
@never_cache
async def room(request: HttpRequest) -> HttpResponse:
    """Return access to a room for testing the network route.

    The status is 204 without our own LiveKit server. The room is cleaned up like every unused one.
    """
    user = await request.auser()
    if not await user.ahas_perm(roles.START_SESSION):
        raise Http404
    await budgets.spend("check_room", person=user.pk, address=client_address.of(request))
    if not livekit.is_set_up():
        return HttpResponse(status=204)
    name = livekit.new_room_name()
    with suppress(livekit.LiveKitAway):  # the browser's check reports it
        await livekit.create_room(name)
    access = livekit.for_person(name)
    return JsonResponse({"url": access.url, "token": access.token})
