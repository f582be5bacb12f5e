"""Celery tasks that do not concern sessions."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from heygen_portal.people.sign_in import retention
from heygen_portal.rest import idempotency
from heygen_portal.webhooks import retention as webhook_retention


@shared_task(name="heygen_portal.tasks.forget_sign_ins")
def delete_old_sign_ins() -> None:
    """Delete old sign-in attempts, expired login sessions and old answers to programs. Scheduled nightly."""
    retention.delete_old(timezone.now())
    idempotency.delete_old(timezone.now())


@shared_task
def delete_old_webhooks() -> None:
    """Delete old webhook deliveries and their messages. Scheduled nightly."""
    webhook_retention.delete_old(timezone.now())
