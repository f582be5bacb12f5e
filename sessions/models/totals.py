"""Totals per session and per day, so that no page has to sum up a long history."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from avatars.models import Persona, ProviderAccount
from heygen_portal.runtime import stored_json
from sessions.models.conversations import StreamingSession


class SessionTotal(models.Model):
    """Cost and time of one session.

    Written once after its end; the provider's figures are added when they arrive.
    """

    session = models.OneToOneField(
        StreamingSession, models.PROTECT, primary_key=True, related_name="total", verbose_name=_("session")
    )
    account = models.ForeignKey(ProviderAccount, models.PROTECT, related_name="+", verbose_name=_("account"))
    persona = models.ForeignKey(Persona, models.PROTECT, related_name="+", verbose_name=_("persona"))
    day = models.DateField(_("day"))  # of its start, in the portal's time zone
    time = models.DurationField(_("open"), help_text=_("Time open at the provider."))
    estimated = models.DecimalField(_("estimated"), max_digits=12, decimal_places=4)
    provider_time = models.DurationField(_("duration according to the provider"), null=True, blank=True)
    provider_credits = models.DecimalField(
        _("provider’s figure"), max_digits=12, decimal_places=4, null=True, blank=True, help_text=_("Credits.")
    )
    # Of answers by the organisation's own model.
    model_tokens = models.PositiveBigIntegerField(_("tokens of the model"), default=0, db_default=0)
    model_credits = models.DecimalField(
        _("cost of the model"), max_digits=12, decimal_places=4, default=Decimal(0), db_default=Decimal(0)
    )
    wasted = models.DurationField(_("unattended time"), default=timedelta)
    # Per turn, from the end of the user's utterance to the avatar's first sound.
    answers_ms = stored_json.ListField(_("response times, in ms"), default=list, blank=True)

    class Meta:
        verbose_name = _("session cost")
        verbose_name_plural = _("session costs")
        ordering = ("-day", "-session_id")
        indexes = (models.Index(fields=("-day", "-session"), name="total_newest"),)

    def __str__(self) -> str:
        return str(self.session_id)

    @property
    def response_times(self) -> list[timedelta]:
        """The durations of `answers_ms`, without damaged ones."""
        return [latency for ms in self.answers_ms if (latency := stored_json.milliseconds(ms)) is not None]

    @property
    def difference(self) -> Decimal | None:
        """The provider's figure minus our estimate; None without a figure."""
        return None if self.provider_credits is None else self.provider_credits - self.estimated


class DayTotal(models.Model):
    """The sums of one day's sessions with one persona on one account, and what its tests cost."""

    day = models.DateField()
    account = models.ForeignKey(ProviderAccount, models.PROTECT, related_name="+")
    persona = models.ForeignKey(Persona, models.PROTECT, related_name="+")
    sessions = models.PositiveIntegerField(default=0)
    time = models.DurationField(default=timedelta)
    wasted = models.DurationField(default=timedelta)
    estimated = models.DecimalField(max_digits=14, decimal_places=4, default=Decimal(0))
    model_tokens = models.PositiveBigIntegerField(default=0, db_default=0)
    model_credits = models.DecimalField(max_digits=14, decimal_places=4, default=Decimal(0), db_default=Decimal(0))

    # Of the persona's tests, which are no sessions.
    test_tokens = models.PositiveBigIntegerField(default=0, db_default=0)
    test_credits = models.DecimalField(max_digits=14, decimal_places=6, default=Decimal(0), db_default=Decimal(0))

    # What sessions add up to.
    SUM_FIELDS: ClassVar = ("sessions", "time", "wasted", "estimated", "model_tokens", "model_credits")

    class Meta:
        constraints = (models.UniqueConstraint("day", "account", "persona", name="total_once_per_day"),)

    def __str__(self) -> str:
        return f"{self.day} {self.account_id} {self.persona_id}"


class SpendAlarm(models.Model):
    """An alert to staff that an account has spent this share of its monthly cap."""

    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="alarms", verbose_name=_("account"))
    month = models.DateField(_("month"))
    share = models.PositiveSmallIntegerField(_("share"))  # percent of the cap
    at = models.DateTimeField(_("time"))
    mailed_at = models.DateTimeField(_("e-mail sent"), null=True, blank=True)

    class Meta:
        constraints = (models.UniqueConstraint("account", "month", "share", name="alarm_once_a_month"),)

    def __str__(self) -> str:
        return f"{self.account_id} {self.month:%Y-%m} {self.share} %"
