"""Provider accounts: credentials at a provider, and their limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from encrypted_fields.fields import EncryptedCharField

from heygen_portal import livekit
from heygen_portal.models import DEFAULT_ORGANISATION, Organisation
from heygen_portal.providers import KINDS, capabilities_of
from heygen_portal.providers.contract.provider import Capabilities
from heygen_portal.providers.http.languages import CODES
from heygen_portal.runtime import client_address, stored_json
from heygen_portal.runtime.generics import AnyCharField
from heygen_portal.runtime.text.model_fields import ChoiceField, LimitedCharField

# Every value encrypted by Fernet begins with its version and the zeros of its time.
ENCRYPTED_PREFIX = "gAAAAA"


def validate_web_address(address: str) -> None:
    """Refuse an address that is no base URL or not confidential.

    A base URL has no path and no password. Keys and speech require https. Plain http is only accepted for this machine
    and for the emulator of the settings.
    """
    if not client_address.is_base_url(address):
        raise ValidationError(_("An address like https://api.example.com, without a path."))
    if not client_address.is_safe_for_keys(address):
        raise ValidationError(_("Use https. With http, the key could be intercepted."))


def validate_api_address(address: str) -> None:
    """Refuse an address that is no URL of an API, with or without a path, or not confidential."""
    if not client_address.is_api_url(address):
        raise ValidationError(_("An address like https://api.example.com/v1, without a question mark."))
    if not client_address.is_safe_for_keys(address):
        raise ValidationError(_("Use https. With http, the key could be intercepted."))


def is_readable(key: Any) -> bool:
    """Return whether an encrypted column could be decrypted. If not, its value is what is stored."""
    return isinstance(key, str) and not key.startswith(ENCRYPTED_PREFIX)


@dataclass(frozen=True)
class UnknownSession:
    """A session that is open at the provider and was not started here.

    Times are ISO 8601, with the offset. A damaged row has no time, and its ID says that it is damaged.
    """

    id: str
    status: str
    seen_at: str

    @classmethod
    def of(cls, stored: Any) -> Self:
        """Read a row of `ProviderAccount.unknown_sessions`."""
        row = stored if isinstance(stored, dict) else {}
        known, seen_at = stored_json.text(row, "id"), stored_json.moment(row, "seen_at")
        if not known or seen_at is None:
            return cls(stored_json.label(stored), "", "")
        return cls(known, stored_json.text(row, "status"), seen_at.isoformat())


def provider_kinds() -> list[tuple[str, str]]:
    return [(kind, provider.label) for kind, provider in KINDS.items()]


class ProviderKindField(AnyCharField):
    """Text field that offers the registered providers.

    Another provider needs no migration.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"choices": provider_kinds} | kwargs)

    def deconstruct(self) -> Any:
        """Return a plain text field without choices.

        Migrations import no code of the project.
        """
        name, _path, args, kwargs = super().deconstruct()
        kwargs.pop("choices")
        return name, "django.db.models.CharField", args, kwargs


class WebAddressField(AnyCharField):
    """Text field for an address without a path.

    Unlike in a URLField, the host may be a single word, as in a network of containers.
    """

    default_validators = [validate_web_address]

    def deconstruct(self) -> Any:
        """Return a plain text field, because migrations import no code of the project."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs


class ApiAddressField(WebAddressField):
    """Text field for the address of an API, which may have a path."""

    default_validators = [validate_api_address]


class SpeechRetention(models.Model):
    """Abstract base of models that can limit how long transcripts are kept."""

    speech_days = models.PositiveIntegerField(
        _("transcripts kept for"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Days after the end of the session. Then the text is erased permanently. Empty: no limit here."),
    )

    class Meta:
        abstract = True


class ProviderAccount(SpeechRetention):
    """Credentials at a provider. The key is encrypted at rest and never shown again."""

    class Rooms(models.TextChoices):
        PROVIDER = "provider", _("the provider’s rooms")
        OWN = "own", _("the portal’s LiveKit server")

    class NightlyCheck(models.TextChoices):
        FREE = "free", _("only if free of charge")
        ALWAYS = "always", _("always, even if it costs credits")
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
    name = LimitedCharField(_("name"), max_characters=80, unique=True)
    kind = ProviderKindField(_("provider"), max_length=20, default="heygen")
    base_url = WebAddressField(
        _("address"), max_length=200, help_text=_("Address of the provider’s API, without a path.")
    )
    api_key = EncryptedCharField(_("API key"), max_length=500)
    key_header = ChoiceField(_("key sent as"), max_length=20, choices=KeyHeader, default=KeyHeader.X_API_KEY)
    rooms = ChoiceField(_("rooms"), max_length=10, choices=Rooms, default=Rooms.PROVIDER)
    concurrency_limit = models.PositiveIntegerField(
        _("concurrent sessions"),
        default=3,
        validators=[MinValueValidator(1)],
        help_text=_("The maximum your plan allows."),
    )
    staff_places = models.PositiveIntegerField(
        _("reserved for staff"), default=0, help_text=_("How many of these slots are reserved for staff.")
    )
    idle_timeout = models.DurationField(
        _("idle limit"), null=True, blank=True, help_text=_("Hours:minutes:seconds. Empty: the persona’s limit.")
    )
    monthly_cap = models.DecimalField(
        _("monthly cap"),
        max_digits=10,
        decimal_places=2,
        null=True,
        blank=True,
        help_text=_("In credits. Empty: no cap."),
    )
    alarm_share = models.PositiveSmallIntegerField(
        _("alert at"),
        default=80,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
        help_text=_(
            "Percent of the monthly cap. Staff get an e-mail when this share is spent, and again when the "
            "cap is reached."
        ),
    )
    credits_per_minute = models.DecimalField(
        _("credits per minute"),
        max_digits=6,
        decimal_places=3,
        default=Decimal("0.2"),
        validators=[MinValueValidator(Decimal("0.001"))],
        help_text=_("Cost of one session minute, used for the monthly cap."),
    )
    is_exclusive = models.BooleanField(
        _("used by this portal only"),
        default=False,
        help_text=_("The portal closes sessions at the provider that it did not start."),
    )
    # Sessions open at the provider and unknown here: ID, status there, first seen. Written when it changes.
    unknown_sessions = stored_json.ListField(
        _("open at the provider, not started by this portal"), default=list, blank=True, editable=False
    )
    # How many of our sessions were open when the provider last had no free slot, and when that was.
    slots_seen = models.PositiveIntegerField(
        _("slots available at the provider"), null=True, blank=True, editable=False
    )
    slots_seen_at = models.DateTimeField(null=True, blank=True, editable=False)
    is_sandbox = models.BooleanField(
        _("sandbox"),
        default=False,
        help_text=_("For testing: sessions are free, end after a minute, and may show the provider’s own avatar."),
    )
    nightly_check = ChoiceField(
        _("nightly check with a session"),
        max_length=10,
        choices=NightlyCheck,
        default=NightlyCheck.FREE,
        help_text=_("Tries each published persona with a very short session, and hides personas that fail."),
    )
    monitors_chat = models.BooleanField(
        _("record provider events"),
        default=False,
        help_text=_("Follows the provider’s own events during a session and stores them in its record."),
    )
    longest_session = models.DurationField(
        _("plan’s maximum session length"),
        null=True,
        blank=True,
        help_text=_("Hours:minutes:seconds. Empty: no limit."),
    )
    # Codes of the languages that sessions can be held in, as of the last sync.
    languages = stored_json.ListField(_("languages"), default=list, db_default=[], blank=True, editable=False)
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
                violation_error_message=_(
                    "Must be fewer than the concurrent sessions, so that end users have slots, too."
                ),
            ),
            models.CheckConstraint(
                condition=(Q(longest_session=None) | Q(longest_session__gt=timedelta(0)))
                & (Q(idle_timeout=None) | Q(idle_timeout__gt=timedelta(0))),
                name="account_limits_above_zero",
                violation_error_message=_("A limit must be longer than zero."),
            ),
        )

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        other = ProviderAccount.objects.filter(pk=self.pk).exclude(kind=self.kind)
        if other.filter(avatar__isnull=False).exists():
            words = _("Its avatars belong to another provider. Create a new account and move the personas to it.")
            raise ValidationError({"kind": words})
        if self.rooms == self.Rooms.OWN and not self.capabilities.accepts_own_rooms:
            raise ValidationError({"rooms": _("This provider’s avatars only join its own rooms.")})
        if self.key_header not in self.capabilities.key_headers:
            raise ValidationError(
                {"key_header": _("This provider does not accept the key in this form. Choose another form.")}
            )
        if self.is_sandbox and self.capabilities.sandbox_limit is None:
            raise ValidationError({"is_sandbox": _("This provider has no sandbox. Turn it off.")})
        if self.monitors_chat and not self.capabilities.has_event_socket:
            raise ValidationError({"monitors_chat": _("This provider does not offer session events. Turn this off.")})
        if self.rooms == self.Rooms.OWN and not livekit.is_set_up():
            words = _("Set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET first: docs/livekit.md.")
            raise ValidationError({"rooms": words})

    @property
    def has_own_rooms(self) -> bool:
        """Return whether the account's sessions use rooms of our own LiveKit server."""
        return self.rooms == self.Rooms.OWN

    @property
    def is_key_readable(self) -> bool:
        """Return whether the API key could be decrypted. If not, `api_key` is the stored value."""
        return is_readable(self.api_key)

    @property
    def capabilities(self) -> Capabilities:
        """Return the capabilities of the account's provider."""
        return capabilities_of(self.kind)

    @property
    def persona_languages(self) -> tuple[str, ...]:
        """Return the codes of the languages that personas may speak."""
        synced = tuple(code for code in self.languages if isinstance(code, str) and code in CODES)
        return synced or self.capabilities.languages

    @property
    def known_capabilities(self) -> Capabilities | None:
        """Return `capabilities`, or None if the provider is unknown because the row was changed by SQL."""
        return self.capabilities if self.kind in KINDS else None

    @property
    def is_emulated(self) -> bool:
        """Whether its provider is the emulator of the settings, which costs nothing."""
        return bool(settings.EMULATOR_URL and self.base_url == settings.EMULATOR_URL)

    @property
    def is_tried_nightly(self) -> bool:
        """Return whether the account's personas are tried with a session every night."""
        is_free = self.is_sandbox or self.is_emulated
        return self.nightly_check == self.NightlyCheck.ALWAYS or (
            self.nightly_check == self.NightlyCheck.FREE and is_free
        )

    @property
    def duration_limit(self) -> timedelta | None:
        """Return the longest session that the account allows, or None if unknown."""
        sandbox_limit = self.capabilities.sandbox_limit if self.is_sandbox else None
        return min(filter(None, (self.longest_session, sandbox_limit)), default=None)

    @property
    def sessions_of_others(self) -> list[UnknownSession]:
        """Return the sessions of `unknown_sessions`."""
        return [UnknownSession.of(row) for row in self.unknown_sessions]
