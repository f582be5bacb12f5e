"""Outgoing mail."""

from __future__ import annotations

from django.conf import settings
from django.core.mail import EmailMessage


def is_set_up() -> bool:
    return bool(settings.EMAIL_HOST)


def send(to: str, subject: str, body: str) -> bool:
    """Send a message. Return whether the server accepted it."""
    try:
        return bool(EmailMessage(subject, body, to=[to]).send())
    except OSError:  # includes SMTPException
        return False
