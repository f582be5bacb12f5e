"""The organisation, and who on its staff belongs to it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text.model_fields import LimitedCharField, PageAddressField
from heygen_portal.trail.statements import Table

DEFAULT_ORGANISATION = 1
"""Primary key of the organisation that a migration creates."""


class Organisation(models.Model):
    """Owner of provider accounts, personas, staff and quotas.

    There is one; nothing separates several yet.
    """

    name = LimitedCharField(_("name"), max_characters=80, unique=True)
    privacy_url = PageAddressField(
        _("privacy notice"), blank=True, default="", db_default="", help_text=_("Address of a page.")
    )
    terms_url = PageAddressField(
        _("terms of use"), blank=True, default="", db_default="", help_text=_("Address of a page.")
    )
    imprint_url = PageAddressField(
        _("imprint"), blank=True, default="", db_default="", help_text=_("Address of a page.")
    )
    requires_consent = models.BooleanField(
        _("consent required"),
        default=False,
        db_default=False,
        help_text=_("Users accept the notice before they talk with any persona. Takes effect when you save."),
    )
    # What users accept, by language code. A language without a text uses the portal's own.
    consent_texts = stored_json.ObjectField(_("text to accept"), default=dict, db_default={}, blank=True)
    # Grows with each change of these texts, the addresses above, or the name.
    consent_version = models.PositiveIntegerField(_("version of the notice"), default=1, db_default=1, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    # A change of one of these columns changes what users accept.
    NOTICE_COLUMNS = ("name", "privacy_url", "terms_url", "imprint_url", "consent_texts")

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
