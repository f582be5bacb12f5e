"""Webhook endpoint of our own LiveKit server.

Public, but every request needs the server's signature.
"""

from __future__ import annotations

import logging

from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from heygen_portal import livekit
from heygen_portal.runtime.in_thread import in_thread
from sessions.onboarding import checklist
from sessions.web import livekit_events

logger = logging.getLogger(__name__)


@csrf_exempt
@login_not_required
@require_POST
async def receive_event(request: HttpRequest) -> HttpResponse:
    """Process one event.

    The status is 401 if our server has not signed this body or the event is too old, and 409 if it was processed
    before.
    """
    try:
        webhook = livekit.read_webhook(request.body, request.headers.get("Authorization", ""))
    except livekit.UntrustedWebhook as exc:
        logger.warning("a webhook was refused: %s", exc)
        return HttpResponse(status=401)
    cache_key = f"livekit-webhook:{webhook.id}"
    if not await in_thread(cache.add)(cache_key, 1, timeout=2 * livekit.WEBHOOK_MAX_AGE.total_seconds()):
        return HttpResponse(status=409)
    await in_thread(checklist.record_webhook)()
    try:
        await livekit_events.handle(webhook)
    except BaseException:
        await in_thread(cache.delete)(cache_key)  # the server sends the same event again
        raise
    return HttpResponse(status=204)
