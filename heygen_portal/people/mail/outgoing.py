"""Outgoing mail."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from email.utils import formataddr, parseaddr

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from heygen_portal.branding.current import current
from heygen_portal.runtime.client_address import is_loopback


def is_set_up() -> bool:
    return bool(settings.EMAIL_HOST)


def sender() -> str:
    """Return name and address of the sender: those of the organisation's brand, or of EMAIL_FROM."""
    brand = current()
    name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    return formataddr((brand.mail_name or brand.own_name or name, brand.mail_address or address))


def subject(about: str) -> str:
    """Return the subject of a mail, which begins with the portal's name."""
    return f"{current().name} · {about}"


def link(path: str) -> str:
    """Return the address of a page for mail that no request caused."""
    if settings.PORTAL_URL:
        return f"{settings.PORTAL_URL}{path}"
    named = [host for host in settings.ALLOWED_HOSTS if not host.startswith((".", "*"))]
    host = min(named, key=lambda host: is_loopback(host.strip("[]")), default="localhost")
    return f"{'https' if settings.HTTPS else 'http'}://{host}{path}"


def mailbox_key(address: str) -> str:
    """Return a hash of an address for budgets. Spellings and tags (`name+tag@`) of one mailbox share it."""
    name, _at, host = unicodedata.normalize("NFKC", address).casefold().strip().rpartition("@")
    return hashlib.sha256(f"{name.partition('+')[0] or name}@{host}".encode()).hexdigest()[:32]


def send(to: str, subject: str, body: str) -> bool:
    """Send a message. Return whether the server accepted it."""
    try:
        return bool(EmailMessage(subject, body, sender(), [to]).send())
    except OSError:  # includes SMTPException
        return False


def send_all(messages: Sequence[EmailMessage]) -> int:
    """Send messages with one connection. Return how many the server accepted."""
    try:
        return get_connection().send_messages(messages) or 0
    except OSError:  # includes SMTPException
        return 0
