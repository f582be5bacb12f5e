"""Celery jobs that do not concern sessions."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from heygen_portal.people.sign_in import retention


@shared_task
def forget_sign_ins() -> None:
    """Delete old sign-in attempts and expired login sessions; beat sends this once a night."""
    retention.delete_old(timezone.now())
