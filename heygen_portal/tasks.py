"""Celery tasks that do not concern sessions."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from heygen_portal.people.sign_in import retention


@shared_task(name="heygen_portal.tasks.forget_sign_ins")
def delete_old_sign_ins() -> None:
    """Delete old sign-in attempts and expired login sessions. Scheduled nightly."""
    retention.delete_old(timezone.now())
