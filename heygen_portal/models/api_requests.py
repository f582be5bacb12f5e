"""Requests to the REST API that must not run twice."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class IdempotentRequest(models.Model):
    """A request with an `Idempotency-Key`, and its answer once it is known.

    Deleted after a day, or at once if the request was refused and changed nothing.
    """

    # Of the API key: a retry may use the key that replaced it.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=255)
    # SHA-256 of method, path and body: another request must use another name.
    fingerprint = models.CharField(max_length=64)
    created_at = models.DateTimeField(_("created"), default=timezone.now, db_index=True)
    # Empty until the request is answered.
    status = models.PositiveSmallIntegerField(_("status"), null=True)
    # Encrypted: an answer may contain access to a room.
    answer = models.TextField(blank=True)

    class Meta:
        verbose_name = _("request of a program")
        verbose_name_plural = _("requests of programs")
        constraints = (models.UniqueConstraint(fields=("owner", "name"), name="idempotent_request_once"),)

    def __str__(self) -> str:
        return str(self.pk)
