"""The organisation, and who on its staff belongs to it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime import stored_json
from heygen_portal.runtime.generics import StrCharField
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
    # The brand: what pages, mail and exports show. An empty value leaves the portal's own.
    portal_name = LimitedCharField(
        _("name of the portal"),
        max_characters=40,
        blank=True,
        default="",
        db_default="",
        help_text=_("On every page, in mail and in exports. Empty: HeyGen Portal."),
    )
    # SHA-256 of pictures in BrandPicture.
    logo = StrCharField(_("logo"), max_length=64, blank=True, default="", db_default="")
    icon = StrCharField(_("icon"), max_length=64, blank=True, default="", db_default="")
    accent = StrCharField(
        _("accent colour"),
        max_length=7,
        blank=True,
        default="",
        db_default="",
        help_text=_("Of buttons and links on light surfaces, such as #0b5b70."),
    )
    accent_dark = StrCharField(
        _("accent colour on dark surfaces"),
        max_length=7,
        blank=True,
        default="",
        db_default="",
        help_text=_("Of the dark theme, and around the avatar. Empty: a lighter shade of the accent colour."),
    )
    mail_name = LimitedCharField(
        _("sender’s name"),
        max_characters=60,
        blank=True,
        default="",
        db_default="",
        help_text=_("Empty: the name of the portal."),
    )
    mail_address = models.EmailField(
        _("sender’s address"),
        blank=True,
        default="",
        db_default="",
        help_text=_("The mail server must allow it. Empty: that of EMAIL_FROM."),
    )
    # Codes of the languages that pages offer. Empty: all, also those of later versions.
    languages = stored_json.ListField(_("languages offered"), default=list, db_default=[], blank=True)
    default_persona = models.ForeignKey(
        "avatars.Persona",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("default persona"),
        help_text=_("First on the start page, for users who may talk with it."),
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    # A change of one of these columns changes what users accept.
    NOTICE_COLUMNS = ("name", "privacy_url", "terms_url", "imprint_url", "consent_texts")

    class Meta:
        verbose_name = _("organisation")
        verbose_name_plural = _("organisations")

    def __str__(self) -> str:
        return self.name

    @property
    def privacy_notice_url(self) -> str:
        """Return the address of the privacy notice, or an empty string. The environment's is the default."""
        return self.privacy_url or settings.PRIVACY_NOTICE_URL


class BrandPicture(models.Model):
    """A logo or icon as PNG, under the SHA-256 of its content. The organisation's row names those in use."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    content = models.BinaryField()
    width = models.PositiveSmallIntegerField()
    height = models.PositiveSmallIntegerField()

    class Meta:
        verbose_name = _("picture of the brand")
        verbose_name_plural = _("pictures of the brand")

    def __str__(self) -> str:
        return self.sha256


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
