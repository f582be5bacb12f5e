"""The organisation, and who on its staff belongs to it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime.text.model_fields import LimitedCharField
from heygen_portal.trail.statements import Table

DEFAULT_ORGANISATION = 1
"""Primary key of the organisation that a migration creates."""


class Organisation(models.Model):
    """Owner of provider accounts, personas, staff and quotas.

    There is one; nothing separates several yet.
    """

    name = LimitedCharField(_("name"), max_characters=80, unique=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("organisation")
        verbose_name_plural = _("organisations")

    def __str__(self) -> str:
        return self.name


ORGANISATION = Table("organisation", Organisation, "pk")
"""The rows that the audit log states."""


class Membership(models.Model):
    """The organisation that a member of staff belongs to."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="membership", verbose_name=_("user")
    )
    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        default=DEFAULT_ORGANISATION,
        related_name="memberships",
        verbose_name=_("organisation"),
    )

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")

    def __str__(self) -> str:
        return f"{self.user_id} {self.organisation_id}"
