"""How a catalogue was brought up to date: what was asked, how far it is, what it found."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from avatars.models.accounts import ProviderAccount

LOST_AFTER = timedelta(minutes=2)
"""A sync that says nothing for so long was lost with its worker."""


class CatalogueSync(models.Model):
    """One run through the lists of an account's provider."""

    class Step(models.TextChoices):
        WAITING = "waiting", _("waiting for the worker")
        LISTS = "lists", _("reading the catalogue")
        PREVIEWS = "previews", _("fetching previews")
        DONE = "done", _("done")
        REFUSED = "refused", _("the provider does not accept the key")
        FAILED = "failed", _("the provider did not return its catalogue")
        LOST = "lost", _("interrupted")

    account = models.ForeignKey(ProviderAccount, models.CASCADE, related_name="syncs", verbose_name=_("account"))
    asked_at = models.DateTimeField(_("requested"), default=timezone.now)
    # Empty: the nightly one.
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("requested by")
    )
    step = models.CharField(_("status"), max_length=10, choices=Step, default=Step.WAITING)
    # The last sign of life.
    moved_at = models.DateTimeField(default=timezone.now)
    done = models.PositiveIntegerField(_("done"), default=0)
    total = models.PositiveIntegerField(_("of"), default=0)
    # By kind: how many there are, and how many of them are new, changed or gone.
    found = models.JSONField(_("found"), default=dict)
    detail = models.CharField(_("provider’s message"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("catalogue sync")
        verbose_name_plural = _("catalogue syncs")
        ordering = ("-asked_at", "-pk")
        constraints = (
            models.UniqueConstraint(
                "account", condition=Q(step__in=("waiting", "lists", "previews")), name="one_sync_at_a_time"
            ),
        )

    def __str__(self) -> str:
        return f"{self.account} {self.asked_at:%Y-%m-%d %H:%M}"

    @property
    def is_under_way(self) -> bool:
        return self.step in (self.Step.WAITING, self.Step.LISTS, self.Step.PREVIEWS)

    def is_lost(self, now: datetime) -> bool:
        """Whether nobody works on it any more."""
        return self.is_under_way and self.moved_at < now - LOST_AFTER
