"""The page that checks a person's device and network before they talk with anybody."""

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
    """What is checked, and the words for each finding; the checking is done by the browser."""
    return render(request, "sessions/check.html")


@require_POST
@never_cache
async def room(request: HttpRequest) -> HttpResponse:
    """Hand out a room of ours to try the way with; nothing, where all rooms are the providers'.

    The room is one of those that nobody uses, and is cleaned up like them.
    """
    user = await request.auser()
    if not await user.ahas_perm(roles.START):
        raise Http404
    await budgets.spend("check_room", person=user.pk, address=client_address.of(request))
    if not livekit.is_set_up():
        return HttpResponse(status=204)
    name = livekit.new_name()
    with suppress(livekit.LiveKitAway):  # the browser finds out, and says so
        await livekit.make_room(name)
    access = livekit.for_person(name)
    return JsonResponse({"url": access.url, "token": access.token})
