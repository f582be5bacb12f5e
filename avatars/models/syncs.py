"""Syncs of the catalogue: request, progress and result."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from avatars.models.accounts import ProviderAccount
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text.model_fields import ChoiceField

# A sync without progress for this long was lost with its worker.
LOST_AFTER = timedelta(minutes=2)


class CatalogueSync(models.Model):
    """One sync of an account's catalogue."""

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
    # Empty: the nightly sync.
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("requested by")
    )
    step = ChoiceField(_("status"), max_length=10, choices=Step, default=Step.WAITING)
    # Time of the latest progress.
    moved_at = models.DateTimeField(default=timezone.now)
    done = models.PositiveIntegerField(_("done"), default=0)
    total = models.PositiveIntegerField(_("of"), default=0)
    # By kind: the number of entries, and how many of them are new, changed or gone.
    found = stored_json.ObjectField(_("found"), default=dict)
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
        """Return whether the worker has stopped reporting progress."""
        return self.is_under_way and self.moved_at < now - LOST_AFTER
