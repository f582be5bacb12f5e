"""Acceptances of the notice that users read before a conversation."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from avatars.models import Persona
from sessions.models.conversations import StreamingSession


class Consent(models.Model):
    """A user's acceptance of the notice before talking with a persona.

    Withdrawn, never deleted. It belongs to the session that it was given for, whose record states it.
    """

    session = models.OneToOneField(
        StreamingSession, models.PROTECT, primary_key=True, related_name="consent", verbose_name=_("session")
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("user"))
    persona = models.ForeignKey(Persona, models.PROTECT, related_name="+", verbose_name=_("persona"))
    version = models.PositiveIntegerField(_("version of the notice"))
    language = models.CharField(_("language"), max_length=10)
    # Of all that the notice says: another value needs a new acceptance.
    fingerprint = models.CharField(_("fingerprint"), max_length=64)
    # As it was shown.
    text = models.TextField(_("notice"))
    accepted_at = models.DateTimeField(_("accepted"), default=timezone.now)
    withdrawn_at = models.DateTimeField(_("withdrawn"), null=True, blank=True)

    class Meta:
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        ordering = ("-accepted_at",)
        indexes = (models.Index(fields=("user", "persona", "-accepted_at"), name="consent_of_user"),)
        constraints = (
            models.CheckConstraint(
                condition=Q(withdrawn_at=None) | Q(withdrawn_at__gte=F("accepted_at")),
                name="consent_withdrawn_after_accepted",
            ),
        )

    def __str__(self) -> str:
        return f"{self.session_id} {self.version}"
