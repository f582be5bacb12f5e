"""A key at a provider, and the limits that come with it."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from encrypted_fields.fields import EncryptedCharField

from heygen_portal import livekit
from heygen_portal.providers import KINDS, capabilities_of
from heygen_portal.providers.contract.provider import Capabilities
from heygen_portal.runtime import client_address
from heygen_portal.trail.models import DEFAULT_ORGANISATION, Organisation


def validate_web_address(address: str) -> None:
    """Refuse what no call can be sent to (a path, a password, a port that is none) and what others can read.

    Keys and speech go over https. Plain http is for this machine, and for the emulator that the settings name.
    """
    if not client_address.is_base_url(address):
        raise ValidationError(_("An address like https://api.example.com, without a path."))
    if not client_address.keeps_secrets(address):
        raise ValidationError(_("Use https: over http, others on the way could read the key."))


def provider_kinds() -> list[tuple[str, str]]:
    """The providers there are; a function, so that another one needs no migration."""
    return [(kind, provider.label) for kind, provider in KINDS.items()]


class ForgetsSpeech(models.Model):
    """Something that may say for how long what is said stays."""

    speech_days = models.PositiveIntegerField(
        _("speech is kept for"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Days after the session's end; then it is erased for good. Empty: no limit here."),
    )

    class Meta:
        abstract = True


class ProviderAccount(ForgetsSpeech):
    """A key at a provider. The key is encrypted at rest and never shown again."""

    class Rooms(models.TextChoices):
        PROVIDER = "provider", _("the provider's rooms")
        OWN = "own", _("our own LiveKit")

    class NightlyCheck(models.TextChoices):
        FREE = "free", _("where sessions cost nothing")
        ALWAYS = "always", _("always, also where it costs")
        NEVER = "never", _("never")

    class KeyHeader(models.TextChoices):
        X_API_KEY = "x-api-key", "X-API-KEY"
        BEARER = "bearer", "Authorization: Bearer"

    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        default=DEFAULT_ORGANISATION,
        editable=False,
        related_name="accounts",
        verbose_name=_("organisation"),
    )
    name = models.CharField(_("name"), max_length=80, unique=True)
    kind = models.CharField(_("provider"), max_length=20, choices=provider_kinds, default="heygen")
    base_url = models.CharField(
        _("address"),
        max_length=200,
        # Not a URLField: inside a network of containers a host is one word.
        validators=[validate_web_address],
        help_text=_("Where the provider's API is, without a path."),
    )
    api_key = EncryptedCharField(_("API key"), max_length=500)
    key_header = models.CharField(_("key is sent as"), max_length=20, choices=KeyHeader, default=KeyHeader.X_API_KEY)
    rooms = models.CharField(_("rooms"), max_length=10, choices=Rooms, default=Rooms.PROVIDER)
    concurrency_limit = models.PositiveIntegerField(
        _("sessions at once"), default=3, validators=[MinValueValidator(1)], help_text=_("What the plan allows.")
    )
    staff_places = models.PositiveIntegerField(
        _("kept for staff"), default=0, help_text=_("Of these, places that only staff may use.")
    )
    idle_timeout = models.DurationField(
        _("ends when idle for"), null=True, blank=True, help_text=_("Hours:minutes:seconds. Empty: the persona's.")
    )
    monthly_cap = models.DecimalField(
        _("monthly cap"), max_digits=10, decimal_places=2, null=True, blank=True, help_text=_("Credits; empty: no cap.")
    )
    alarm_share = models.PositiveSmallIntegerField(
        _("alarm at"),
        default=80,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_("Percent of the monthly cap; when so much is spent, staff are told. At the cap they are told too."),
    )
    credits_per_minute = models.DecimalField(
        _("credits a minute"),
        max_digits=6,
        decimal_places=3,
        default=Decimal("0.2"),
        validators=[MinValueValidator(Decimal("0.001"))],
        help_text=_("What a minute of a session costs, for the monthly cap."),
    )
    is_exclusive = models.BooleanField(
        _("used by this portal alone"),
        default=False,
        help_text=_("Then sessions that nobody here owns are closed at the provider."),
    )
    # Open at the provider and unknown here: ID, state there, first seen. Written when it changes.
    strangers = models.JSONField(_("open there, not ours"), default=list, blank=True, editable=False)
    # How many sessions of ours were open when the provider last had no place for one more, and when that was.
    places_seen = models.PositiveIntegerField(_("places found there"), null=True, blank=True, editable=False)
    places_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    is_sandbox = models.BooleanField(
        _("sandbox"),
        default=False,
        help_text=_(
            "For trying out: sessions cost nothing, end after a minute, and may show the provider's own avatar."
        ),
    )
    nightly_check = models.CharField(
        _("check with a session each night"),
        max_length=10,
        choices=NightlyCheck,
        default=NightlyCheck.FREE,
        help_text=_("Each published persona is tried with the shortest session there is; what fails is hidden."),
    )
    monitors_chat = models.BooleanField(
        _("provider tells in the record"),
        default=False,
        help_text=_("The provider's own events are followed while a session runs, and stand in its record."),
    )
    longest_session = models.DurationField(
        _("longest session of the plan"), null=True, blank=True, help_text=_("Hours:minutes:seconds; empty: no limit.")
    )
    credits_left = models.DecimalField(
        _("credits left"), max_digits=14, decimal_places=2, null=True, blank=True, editable=False
    )
    synced_at = models.DateTimeField(_("last synced"), null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("provider account")
        verbose_name_plural = _("provider accounts")
        constraints = (
            models.CheckConstraint(
                condition=Q(staff_places__lt=F("concurrency_limit")),
                name="account_keeps_a_place_for_all",
                violation_error_message=_("Fewer than all sessions at once: end users need a place too."),
            ),
            models.CheckConstraint(
                condition=(Q(longest_session=None) | Q(longest_session__gt=timedelta(0)))
                & (Q(idle_timeout=None) | Q(idle_timeout__gt=timedelta(0))),
                name="account_limits_above_zero",
                violation_error_message=_("A limit must be longer than nothing."),
            ),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        other = ProviderAccount.objects.filter(pk=self.pk).exclude(kind=self.kind)
        if other.filter(avatar__isnull=False).exists():
            words = _("Its avatars are of another provider: make another account, and move the personas there.")
            raise ValidationError({"kind": words})
        if self.rooms == self.Rooms.OWN and not self.capabilities.takes_rooms:
            raise ValidationError({"rooms": _("The avatars of this provider come into its own rooms only.")})
        if self.key_header not in self.capabilities.key_headers:
            raise ValidationError({"key_header": _("This provider does not take the key in this way. Choose another.")})
        if self.is_sandbox and self.capabilities.sandbox_limit is None:
            raise ValidationError({"is_sandbox": _("This provider has no sandbox. Switch it off.")})
        if self.monitors_chat and not self.capabilities.tells_events:
            raise ValidationError({"monitors_chat": _("This provider tells nothing beside the room. Switch it off.")})
        if self.rooms == self.Rooms.OWN and not livekit.is_set_up():
            words = _("LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET must be set first: docs/operations.md.")
            raise ValidationError({"rooms": words})

    @property
    def has_own_rooms(self) -> bool:
        """Whether its sessions are in rooms of our own LiveKit."""
        return self.rooms == self.Rooms.OWN

    @property
    def capabilities(self) -> Capabilities:
        """What this kind of provider can do."""
        return capabilities_of(self.kind)

    @property
    def is_tried_nightly(self) -> bool:
        """Whether its personas are tried with a session each night."""
        is_free = self.is_sandbox or bool(settings.EMULATOR_URL and self.base_url == settings.EMULATOR_URL)
        return self.nightly_check == self.NightlyCheck.ALWAYS or (
            self.nightly_check == self.NightlyCheck.FREE and is_free
        )

    @property
    def duration_limit(self) -> timedelta | None:
        """How long a session may last here, as far as it is known."""
        sandbox_limit = self.capabilities.sandbox_limit if self.is_sandbox else None
        return min(filter(None, (self.longest_session, sandbox_limit)), default=None)
