"""Webhooks of our LiveKit server: its signature and a recent time are required."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import jwt
from django.conf import settings
from google.protobuf.json_format import Parse, ParseError
from livekit import api

from heygen_portal.livekit.rooms import is_set_up

WEBHOOK_MAX_AGE: Final = timedelta(minutes=10)
"""Older webhooks are refused. The server stops retrying much sooner."""


class UntrustedWebhook(Exception):
    """A webhook that our LiveKit server did not send, or not recently."""


@dataclass(frozen=True)
class Webhook:
    """A verified webhook.

    `sid` identifies one connection of a participant; `track` is a track's kind.
    """

    id: str = field(repr=False)
    kind: str
    room: str
    identity: str
    sid: str
    track: str
    at: datetime


def read_webhook(body: bytes, authorization: str) -> Webhook:
    """Verify and parse a webhook.

    Raises UntrustedWebhook unless our server signed this body recently.
    """
    if not is_set_up():
        raise UntrustedWebhook("no LiveKit server is set up")
    verifier = api.TokenVerifier(settings.LIVEKIT_API_KEY, settings.LIVEKIT_API_SECRET)
    try:
        claims = verifier.verify(authorization.removeprefix("Bearer "))
        signed = base64.b64decode(claims.sha256 or "", validate=True)
        if not hmac.compare_digest(signed, hashlib.sha256(body).digest()):
            raise UntrustedWebhook("the body is not the one that was signed")
        event = Parse(body, api.WebhookEvent(), ignore_unknown_fields=True)
        at = datetime.fromtimestamp(event.created_at, UTC)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, OverflowError, OSError, ParseError) as exc:
        raise UntrustedWebhook(type(exc).__name__) from exc
    if not event.id or abs(datetime.now(UTC) - at) > WEBHOOK_MAX_AGE:
        raise UntrustedWebhook("it is not of now")
    return Webhook(
        id=event.id,
        kind=event.event,
        room=event.room.name,
        identity=event.participant.identity,
        sid=event.participant.sid,
        track=api.TrackType.Name(event.track.type).lower() if event.HasField("track") else "",
        at=at,
    )
