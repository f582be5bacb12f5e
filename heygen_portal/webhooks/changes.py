"""Changes to webhooks, each with its audit entry, and what staff send from the log."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef

from heygen_portal.models.webhooks import EventType, Webhook, WebhookDelivery
from heygen_portal.postgresql import clock
from heygen_portal.trail import change_log
from heygen_portal.trail.change_log import SERVER, Actor
from heygen_portal.trail.models import AuditEntry
from heygen_portal.webhooks import outbox, signatures
from heygen_portal.webhooks.outbox import Notice

logger = logging.getLogger(__name__)

FORMER_SECRET_LIFETIME = timedelta(days=1)
# What staff and programs set. The other columns belong to the worker.
EDITABLE = ("name", "url", "events", "includes_speech")
Because = Webhook.DisabledBecause


class WebhookPaused(Exception):
    """Nothing is sent to a paused webhook."""


def record(actor: Actor, before: Webhook | None, after: Webhook | None) -> None:
    """Append an audit entry about an added, changed or deleted webhook. Call it in the transaction of the change."""
    webhook = after or before
    changed = change_log.diff(before, after, change_log.editable_columns(Webhook))
    change_log.record(actor, AuditEntry.Kind.WEBHOOK_CHANGED, webhook, changed)


def create(actor: Actor, webhook: Webhook) -> str:
    """Store a new webhook, and return its secret to be shown once."""
    webhook.secret = secret = signatures.new_secret()
    with transaction.atomic():
        webhook.save(force_insert=True)
        record(actor, None, webhook)
        change_log.record(actor, AuditEntry.Kind.WEBHOOK_SECRET_SET, webhook, {}, {"is_new": True})
    return secret


def change(actor: Actor, webhook: Webhook) -> None:
    """Store the columns of `EDITABLE`."""
    with transaction.atomic():
        stored = Webhook.objects.select_for_update().filter(pk=webhook.pk).first()
        webhook.save(update_fields=EDITABLE)
        record(actor, stored, webhook)


def replace_secret(actor: Actor, webhook_id: int) -> str:
    """Replace the secret, and return the new one to be shown once.

    The former one signs beside it for `FORMER_SECRET_LIFETIME`.
    """
    secret = signatures.new_secret()
    with transaction.atomic():
        webhook = Webhook.objects.select_for_update().get(pk=webhook_id)
        webhook.former_secret, webhook.secret = webhook.secret, secret
        webhook.former_secret_until = clock.now() + FORMER_SECRET_LIFETIME
        webhook.save(update_fields=["secret", "former_secret", "former_secret_until"])
        stated = {"is_new": False, "former_until": webhook.former_secret_until.isoformat()}
        change_log.record(actor, AuditEntry.Kind.WEBHOOK_SECRET_SET, webhook, {}, stated)
    return secret


def end_former_secret(actor: Actor, webhook_id: int) -> bool:
    """Let only the new secret sign from now on. Return whether a former one was still valid."""
    with transaction.atomic():
        webhook = Webhook.objects.select_for_update().get(pk=webhook_id)
        if not webhook.former_secret:
            return False
        webhook.former_secret, webhook.former_secret_until = None, None
        webhook.save(update_fields=["former_secret", "former_secret_until"])
        change_log.record(
            actor, AuditEntry.Kind.WEBHOOK_SECRET_SET, webhook, {}, {"is_new": False, "former_until": None}
        )
    return True


def pause(actor: Actor, webhook_id: int) -> bool:
    """Stop sending until staff resume it. What waits is kept until it is given up. Return whether it was enabled."""
    return _disable(actor, webhook_id, Because.STAFF, clock.now())


def disable(webhook_id: int, because: Webhook.DisabledBecause, now: datetime) -> bool:
    """Stop sending to a receiver that fails. Return whether it was enabled."""
    return _disable(SERVER, webhook_id, because, now)


def _disable(actor: Actor, webhook_id: int, because: Webhook.DisabledBecause, now: datetime) -> bool:
    with transaction.atomic():
        enabled = Webhook.objects.filter(pk=webhook_id, is_enabled=True)
        # Staff who pause it need no mail.
        told_at = now if because == Because.STAFF else None
        if not enabled.update(is_enabled=False, disabled_because=because, disabled_at=now, told_at=told_at):
            return False
        _record_state(actor, webhook_id, because)
    if because != Because.STAFF:
        logger.error("webhook %s is paused: %s", webhook_id, because.value)
    return True


def resume(actor: Actor, webhook_id: int) -> bool:
    """Send again, first of all what waits. Return whether it was paused."""
    with transaction.atomic():
        paused = Webhook.objects.filter(pk=webhook_id, is_enabled=False)
        healthy = {"failures": 0, "failing_since": None, "resumes_at": None}
        if not paused.update(is_enabled=True, disabled_because="", disabled_at=None, told_at=None, **healthy):
            return False
        waiting = WebhookDelivery.objects.waiting().filter(webhook=webhook_id, due_at__isnull=False)
        waiting.update(due_at=clock.now())
        _record_state(actor, webhook_id, "")
    return True


def _record_state(actor: Actor, webhook_id: int, because: str) -> None:
    webhook = Webhook.objects.get(pk=webhook_id)
    changed: dict[str, list[Any]] = {"is_enabled": [bool(because), not because]}
    stated = {"disabled_because": str(because)} if because else {}
    change_log.record(actor, AuditEntry.Kind.WEBHOOK_CHANGED, webhook, changed, stated)


def delete(actor: Actor, webhook: Webhook) -> None:
    """Delete a webhook with its log. What waits for it is not sent."""
    with transaction.atomic():
        record(actor, webhook, None)
        webhook.delete()


def send_test(webhook: Webhook) -> WebhookDelivery:
    """Send an event that tells nothing, to try the receiver, at once even if it fails or rests.

    Raises WebhookPaused.
    """
    _require_enabled(webhook)
    with transaction.atomic():
        _end_rest(webhook.pk)
        return outbox.write_to(webhook, Notice(EventType.TEST, {"webhook": webhook.name}))


def resend(delivery: WebhookDelivery) -> WebhookDelivery:
    """Send a message again at once, under the same ID. Raises WebhookPaused."""
    _require_enabled(delivery.webhook)
    with transaction.atomic():
        _end_rest(delivery.webhook_id)
        return outbox.write_again(delivery)


def resend_failed(webhook: Webhook, count: int) -> int:
    """Send again at once what was given up, and what waits for its next attempt. Return how many messages.

    What was given up is sent under the same ID, unless it was sent again before.
    """
    with transaction.atomic():
        _end_rest(webhook.pk)
        rows = WebhookDelivery.objects.filter(webhook=webhook)
        retried = rows.waiting().exclude(outcome="").filter(due_at__gt=clock.now())
        keys = list(retried.order_by("pk").values_list("pk", flat=True)[:count])
        WebhookDelivery.objects.filter(pk__in=keys).waiting().update(due_at=clock.now())
        later = rows.filter(message=OuterRef("message"), pk__gt=OuterRef("pk"))
        given_up = rows.filter(~Exists(later), state=WebhookDelivery.State.GIVEN_UP).order_by("pk")
        again = list(given_up[: count - len(keys)])
        for delivery in again:
            outbox.write_again(delivery)
    return len(keys) + len(again)


def _end_rest(webhook_id: int) -> None:
    """Try a receiver that fails or rests at once."""
    Webhook.objects.filter(pk=webhook_id, resumes_at__isnull=False).update(resumes_at=None)


def _require_enabled(webhook: Webhook) -> None:
    if not webhook.is_enabled:
        raise WebhookPaused
