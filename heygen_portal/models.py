"""What people with power over the portal did outside of any session."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class AuditEntry(models.Model):
    """Somebody's role, password or a provider's key was changed. Append-only: each row holds the hash of the last."""

    class Kind(models.TextChoices):
        ACCESS_CHANGED = "access_changed", _("access changed")
        PASSWORD_SET = "password_set", _("password set")
        KEY_SET = "key_set", _("provider's key set")
        SESSIONS_STOPPED = "sessions_stopped", _("sessions stopped")

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
        verbose_name = _("change of access")
        verbose_name_plural = _("changes of access")
        ordering = ("-number",)

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"
