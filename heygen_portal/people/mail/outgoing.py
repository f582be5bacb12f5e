"""Whether the portal can write to anybody, and how it does."""

from __future__ import annotations

from django.conf import settings
from django.core.mail import EmailMessage


def is_set_up() -> bool:
    """Without a mail server nobody is told that a letter was sent."""
    return bool(settings.EMAIL_HOST)


def send(to: str, subject: str, body: str) -> bool:
    """Send a letter; return whether the server took it."""
    try:
        return bool(EmailMessage(subject, body, to=[to]).send())
    except OSError:  # SMTPException is one
        return False
