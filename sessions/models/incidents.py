"""What needs the team: incidents of the portal's work, from when to when, and messages that users leave."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime.text.model_fields import ChoiceField
from sessions.models.conversations import SessionEvent


class Check(models.TextChoices):
    """What is checked. The values are the names in `/health/work`."""

    WEB = "web", _("Web")
    BEAT = "beat", _("Scheduler")
    LIMITS = "limits", _("Limits")
    WORKER = "worker", _("Worker")
    REDIS = "redis", _("Redis")
    DEADLINES = "deadlines", _("Deadlines")
    PROVIDER = "provider", _("Provider")
    CATALOGUE_SYNC = "catalogue_sync", _("Catalogue sync")
    INTEGRITY_CHECK = "integrity_check", _("Integrity check")
    ROWS = "rows", _("Database rows")
    WEBHOOKS = "webhooks", _("Webhooks")
    BACKUP = "backup", _("Backup")


class IncidentQuerySet(models.QuerySet["Incident"]):
    def current(self) -> IncidentQuerySet:
        """Return what fails now, also what does not fail for long enough to be an incident."""
        return self.filter(over_at=None)

    def shown(self) -> IncidentQuerySet:
        """Return the incidents that were opened."""
        return self.exclude(opened_at=None)

    def to_report(self, now: datetime) -> IncidentQuerySet:
        """Return the incidents whose opening or end was not reported, unless another process is at it."""
        opened = Q(opened_at__isnull=False, opening_reported_at=None)
        over = Q(opened_at__isnull=False, over_at__isnull=False, end_reported_at=None)
        return self.filter(opened | over).filter(Q(report_claimed_until=None) | Q(report_claimed_until__lt=now))


class Incident(models.Model):
    """One check that fails, or failed for a while.

    It is opened once it has failed for `INCIDENT_MINUTES`. A row that was never opened is deleted when the check
    passes again.
    """

    check_name = ChoiceField(_("check"), max_length=20, choices=Check)
    first_failed_at = models.DateTimeField(_("failing since"))
    last_failed_at = models.DateTimeField(_("last seen failing"))
    opened_at = models.DateTimeField(_("opened"), null=True, blank=True)
    over_at = models.DateTimeField(_("over"), null=True, blank=True)
    # What was last found: sessions.health.readings.Reading.
    cause = models.CharField(max_length=20)
    age = models.DurationField(null=True)
    account_number = models.BigIntegerField(null=True)
    faults = models.PositiveIntegerField(default=0)
    # A process that reports an incident claims it first. If it dies, another one reports it later.
    report_claimed_until = models.DateTimeField(null=True)
    opening_reported_at = models.DateTimeField(_("opening reported"), null=True, blank=True)
    end_reported_at = models.DateTimeField(_("end reported"), null=True, blank=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        ordering = ("-first_failed_at",)
        constraints = (
            models.UniqueConstraint("check_name", condition=Q(over_at=None), name="incident_one_per_check"),
            models.CheckConstraint(
                condition=Q(over_at=None) | Q(opened_at__isnull=False, over_at__gte=F("opened_at")),
                name="incident_over_after_it_opened",
            ),
        )

    def __str__(self) -> str:
        return f"{self.get_check_name_display()} {self.first_failed_at:%Y-%m-%d %H:%M}"


class StaffMessage(models.Model):
    """A message in the team's list, and whether it was handled. What it says is sealed in its event."""

    event = models.OneToOneField(SessionEvent, models.PROTECT, related_name="+", verbose_name=_("event"))
    left_at = models.DateTimeField(_("received"), default=timezone.now)
    handled_at = models.DateTimeField(_("handled"), null=True, blank=True)
    handled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("handled by"),
    )

    class Meta:
        verbose_name = _("message to the team")
        verbose_name_plural = _("messages to the team")
        ordering = ("-left_at", "-pk")
        default_permissions = ("view", "change")
        constraints = (
            models.CheckConstraint(
                condition=Q(handled_at=None, handled_by=None) | Q(handled_at__isnull=False, handled_by__isnull=False),
                name="handled_message_says_by_whom",
            ),
        )
        indexes = (models.Index("left_at", name="message_to_handle", condition=Q(handled_at=None)),)

    def __str__(self) -> str:
        return f"#{self.pk}"
