"""Keys with which programs call the REST API."""

from __future__ import annotations

from uuid import uuid4

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from heygen_portal.models.organisation import DEFAULT_ORGANISATION, Organisation
from heygen_portal.runtime.text.model_fields import LimitedCharField
from heygen_portal.trail.statements import NOT_SHOWN, Table

MAX_REQUESTS_PER_MINUTE = 10_000


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def active(self) -> ApiKeyQuerySet:
        """Return the keys that are neither revoked nor expired. Their owners may still have lost access."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), revoked_at=None)


class ApiKey(models.Model):
    """A secret that acts for its owner within its scopes. The secret itself is not stored.

    `people.api_keys` creates, replaces and revokes keys. Rows are kept, because the record names them.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        default=DEFAULT_ORGANISATION,
        editable=False,
        related_name="api_keys",
        verbose_name=_("organisation"),
    )
    name = LimitedCharField(_("name"), max_characters=80, help_text=_("Which program uses it?"))
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="api_keys",
        verbose_name=_("owner"),
        help_text=_("The key can never do more than this user."),
    )
    # Shown to people, so that they recognise the key.
    prefix = models.CharField(_("key"), max_length=24, unique=True, editable=False)
    # The portal's signature of the secret, the owner and the scopes. Changing a row by SQL makes the key invalid.
    signature = models.CharField(max_length=64, blank=True, editable=False)
    # Separated by spaces, as in OAuth.
    scopes = models.CharField(_("scopes"), max_length=1000)
    # IP networks, separated by spaces.
    addresses = models.CharField(
        _("only from these addresses"),
        max_length=1000,
        blank=True,
        help_text=_("For example 203.0.113.0/28. Leave empty to allow any address."),
    )
    per_minute = models.PositiveIntegerField(
        _("requests per minute"),
        default=120,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_REQUESTS_PER_MINUTE)],
    )
    is_test = models.BooleanField(
        _("test key"), default=False, help_text=_("Works with the emulator only and costs nothing.")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", editable=False, verbose_name=_("created by")
    )
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    # The key that takes its place. Both work until this one expires.
    replaced_by = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, editable=False, related_name="replaces", verbose_name=_("key")
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ("-created_at",)
        constraints = (
            models.CheckConstraint(condition=~Q(scopes=""), name="api_key_has_scopes"),
            models.CheckConstraint(condition=Q(revoked_at=None) ^ Q(signature=""), name="revoked_api_key_is_dead"),
        )

    def __str__(self) -> str:
        return self.name


API_KEY = Table(
    "api_key",
    ApiKey,
    "pk",
    uncovered={
        "signature": f"{NOT_SHOWN}: it covers the secret, the owner and the scopes",
        "last_used_at": "changes with each use",
    },
)
"""The rows that the audit log states."""
