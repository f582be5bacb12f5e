"""Acceptances of the notice, legal holds on speech, and receipts of its erasure."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from avatars.models import Persona
from heygen_portal.runtime.text.model_fields import ChoiceField, LimitedCharField
from sessions.models.conversations import StreamingSession
from sessions.models.guests import Guest, Owned


class Consent(Owned):
    """A user's or guest's acceptance of the notice before talking with a persona.

    Withdrawn, never deleted. It belongs to the session that it was given for, whose record states it.
    """

    session = models.OneToOneField(
        StreamingSession, models.PROTECT, primary_key=True, related_name="consent", verbose_name=_("session")
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("user")
    )
    guest = models.ForeignKey(Guest, models.PROTECT, null=True, related_name="consents", verbose_name=_("guest"))
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
                condition=Q(user__isnull=True) ^ Q(guest__isnull=True), name="consent_of_user_or_guest"
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at=None) | Q(withdrawn_at__gte=F("accepted_at")),
                name="consent_withdrawn_after_accepted",
            ),
        )

    def __str__(self) -> str:
        return f"{self.session_id} {self.version}"


class LegalHoldQuerySet(models.QuerySet["LegalHold"]):
    def active(self) -> LegalHoldQuerySet:
        """Holds in force. A hold with an impossible release time stays in force."""
        is_odd = Q(released_at__lt=F("at")) | Q(released_at__gt=Now())
        return self.filter(Q(released_at=None) | is_odd)


class LegalHold(models.Model):
    """An order to keep a session's speech despite any request to erase it.

    Released, never deleted.
    """

    session = models.ForeignKey(StreamingSession, models.PROTECT, related_name="holds", verbose_name=_("session"))
    reason = LimitedCharField(_("reason"), max_characters=300)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", verbose_name=_("done by"))
    at = models.DateTimeField(_("time"), default=timezone.now)
    released_at = models.DateTimeField(_("released"), null=True, blank=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("released by")
    )

    objects = LegalHoldQuerySet.as_manager()

    class Meta:
        verbose_name = _("legal hold")
        verbose_name_plural = _("legal holds")
        ordering = ("-at",)
        constraints = (
            models.UniqueConstraint("session", condition=Q(released_at=None), name="one_hold_per_session"),
            models.CheckConstraint(condition=~Q(reason=""), name="hold_has_reason"),
        )

    def __str__(self) -> str:
        return f"{self.session_id}"


class Erasure(models.Model):
    """The receipt of an erasure: what was erased, when, and who requested it.

    Never changed.
    """

    class Cause(models.TextChoices):
        PERSON = "person", _("user’s request")
        STAFF = "staff", _("an administrator")
        RETENTION = "retention", _("retention period ended")

    class AtProvider(models.TextChoices):
        NOTHING_KEPT = "nothing_kept", _("the provider does not support deletion")
        KEPT = "kept", _("the provider keeps its own record: delete it there")
        ASKED = "asked", _("deletion is being requested from the provider")
        NEVER_THERE = "never_there", _("never stored at the provider")

    session = models.OneToOneField(StreamingSession, models.PROTECT, related_name="erasure", verbose_name=_("session"))
    at = models.DateTimeField(_("time"), default=timezone.now)
    cause = ChoiceField(_("why"), max_length=10, choices=Cause)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("done by")
    )
    lines = models.PositiveIntegerField(_("lines"))
    # Over the sealed texts, which are kept, to tell what was erased.
    hash = models.CharField(_("hash"), max_length=64)
    at_provider = ChoiceField(_("at the provider"), max_length=12, choices=AtProvider)

    objects: ClassVar[models.Manager[Erasure]] = models.Manager()

    class Meta:
        verbose_name = _("erasure")
        verbose_name_plural = _("erasures")
        ordering = ("-at",)

    def __str__(self) -> str:
        return f"{self.session_id}"


class ProviderErasure(models.Model):
    """A deletion at the provider that follows an erasure here.

    Once confirmed, it is the receipt.
    """

    erasure = models.OneToOneField(
        Erasure, models.PROTECT, primary_key=True, related_name="carried", verbose_name=_("erasure")
    )
    # When to try next; empty once it is done.
    due_at = models.DateTimeField(_("next attempt"), null=True, blank=True, default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    failure = models.CharField(_("failure"), max_length=200, blank=True)
    done_at = models.DateTimeField(_("deleted at the provider"), null=True, blank=True)

    class Meta:
        verbose_name = _("erasure at the provider")
        verbose_name_plural = _("erasures at the provider")
        indexes = (models.Index("due_at", name="provider_erasure_due", condition=Q(done_at=None)),)
        constraints = (
            models.CheckConstraint(condition=Q(done_at=None) ^ Q(due_at=None), name="provider_erasure_due_or_done"),
        )

    def __str__(self) -> str:
        return str(self.erasure_id)
