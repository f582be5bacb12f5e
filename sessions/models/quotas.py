"""Quotas of users and groups."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from heygen_portal.models import DEFAULT_ORGANISATION, Organisation

ABOVE_ZERO = MinValueValidator(timedelta(seconds=1), message=_("It must be longer than zero."))


class Quota(models.Model):
    """Limits of one user or of each member of one group.

    An empty field limits nothing. The lowest limit that applies to a session binds. Only `minutes_per_month` of a
    user's own row replaces the groups', so that one user can get more.
    """

    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        default=DEFAULT_ORGANISATION,
        editable=False,
        related_name="quotas",
        verbose_name=_("organisation"),
    )
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="quota",
        verbose_name=_("user"),
        help_text=_("Choose a user or a group, not both."),
    )
    group = models.OneToOneField(
        Group,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="quota",
        verbose_name=_("group"),
        help_text=_("The quota applies to each member."),
    )
    duration_limit = models.DurationField(
        _("maximum session length"),
        null=True,
        blank=True,
        validators=[ABOVE_ZERO],
        help_text=_("Hours:minutes:seconds."),
    )
    idle_timeout = models.DurationField(
        _("idle limit"), null=True, blank=True, validators=[ABOVE_ZERO], help_text=_("Hours:minutes:seconds.")
    )
    minutes_per_month = models.PositiveIntegerField(
        _("minutes per month"),
        null=True,
        blank=True,
        help_text=_("Time at the provider per calendar month. A user’s quota overrides the group quotas."),
    )

    class Meta:
        verbose_name = _("quota")
        verbose_name_plural = _("quotas")
        # Names from when quotas were called allowances: they are stored.
        db_table = "avatar_sessions_allowance"
        default_permissions = ()
        permissions = (
            ("view_allowance", "Can view quota"),
            ("add_allowance", "Can add quota"),
            ("change_allowance", "Can change quota"),
            ("delete_allowance", "Can delete quota"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(user__isnull=True) ^ Q(group__isnull=True),
                name="allowance_of_user_or_group",
                violation_error_message=_("Choose a user or a group, not both."),
            ),
            models.CheckConstraint(
                condition=(Q(duration_limit=None) | Q(duration_limit__gt=timedelta(0)))
                & (Q(idle_timeout=None) | Q(idle_timeout__gt=timedelta(0))),
                name="allowance_above_zero",
            ),
        )

    def __str__(self) -> str:
        return str(self.user or self.group)
