"""What people with power over the portal did outside of any session."""

from __future__ import annotations

import hashlib
import json

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class AuditEntry(models.Model):
    """Somebody's role, password or a provider's key was changed, or something was taken out.

    Append-only: each row holds the hash of the last.
    """

    class Kind(models.TextChoices):
        ACCESS_CHANGED = "access_changed", _("access changed")
        PASSWORD_SET = "password_set", _("password set")
        KEY_SET = "key_set", _("provider's key set")
        SESSIONS_STOPPED = "sessions_stopped", _("sessions stopped")
        EXPORTED = "exported", _("exported")

    number = models.PositiveIntegerField(_("number"), unique=True)
    at = models.DateTimeField(_("at"), default=timezone.now)
    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    # Empty: a command on the server, not a page.
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("by whom")
    )
    address = models.GenericIPAddressField(_("from where"), null=True, blank=True)
    about = models.CharField(_("about"), max_length=200)
    data = models.JSONField(_("data"), default=dict)
    previous_hash = models.CharField(max_length=64, editable=False)
    hash = models.CharField(max_length=64, editable=False)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ("-number",)

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"

    def digest(self, number: int | None = None) -> str:
        """Return the SHA-256 over everything the entry says, the one before it included, were it this number."""
        said = [
            self.previous_hash,
            number or self.number,
            str(self.kind),
            self.by_id,
            self.address,
            self.about,
            self.data,
            self.at.isoformat(),
        ]
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


class AuditHead(models.Model):
    """The number and hash of the newest entry, signed, so that what is cut off shows. One row, which goes forward only.

    Whoever appends holds it.
    """

    number = models.PositiveIntegerField(_("number"), default=0)
    hash = models.CharField(max_length=64, blank=True)
    signature = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = _("end of the audit entries")
        verbose_name_plural = _("ends of the audit entries")

    def __str__(self) -> str:
        return str(self.number)
