"""Mail to staff who manage webhooks: a receiver failed for so long that nothing is sent to it any more."""

from __future__ import annotations

import logging
from datetime import datetime

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from heygen_portal.models import Webhook, holders_of
from heygen_portal.people.mail import outgoing
from heygen_portal.people.preferences import languages, time_zones
from heygen_portal.permissions import Permission
from heygen_portal.runtime.jobs import each_row
from heygen_portal.runtime.text import bidi

logger = logging.getLogger(__name__)


def send_due(now: datetime) -> None:
    """Send the mails that are due.

    The process that marks a webhook sends its mails. If the mail server takes none, the next run tries again.
    """
    for webhook in each_row.readable(Webhook.objects.filter(is_enabled=False, told_at=None).order_by("pk")):
        with each_row.log_failure(f"webhook {webhook.pk}: staff could not be told that it is paused"):
            untold = Webhook.objects.filter(pk=webhook.pk, is_enabled=False, told_at=None)
            if untold.update(told_at=now) and not _send(webhook):
                Webhook.objects.filter(pk=webhook.pk, told_at=now).update(told_at=None)


def _send(webhook: Webhook) -> bool:
    """Mail each person in their language. Return whether staff were told, or nobody can be."""
    holders = [user for user in holders_of(Permission.CHANGE_WEBHOOK) if user.is_active and user.email]
    if not (outgoing.is_set_up() and holders):
        logger.warning("webhook %s is paused, and nobody who manages webhooks could be mailed", webhook.pk)
        return True
    sent = 0
    for user in holders:
        zone = time_zones.of(user.pk)
        with translation.override(languages.of(user)), timezone.override(zone):
            name = bidi.isolated(webhook.name)
            subject = outgoing.subject(_("Webhook paused: %(name)s") % {"name": name})
            page = outgoing.link(reverse("admin:heygen_portal_webhook_change", args=[webhook.pk]))
            context = {"webhook": webhook, "name": name, "page": page, "zone": time_zones.label(zone)}
            body = render_to_string("people/webhook_letter.txt", context).strip()
        sent += outgoing.send(user.email, subject, body)
    if not sent:
        logger.warning("webhook %s is paused, and the mail server took no mail about it", webhook.pk)
    return sent > 0
