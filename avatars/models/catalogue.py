"""The catalogue: what a provider offers, and the personas that staff make of it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _
from encrypted_fields.fields import EncryptedCharField

from heygen_portal import livekit
from heygen_portal.providers import KINDS, capabilities_of
from heygen_portal.providers.base import Capabilities
from heygen_portal.providers.base import Interactivity as ProviderInteractivity
from heygen_portal.providers.base import Quality as ProviderQuality


def validate_web_address(address: str) -> None:
    """Refuse what no call can be sent to: another scheme, a path, a password, a port that is none."""
    try:
        is_usable = bool(re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+", address)) and urlsplit(address).port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValidationError(_("An address like https://api.example.com, without a path."))


def provider_kinds() -> list[tuple[str, str]]:
    """The providers there are; a function, so that another one needs no migration."""
    return [(kind, provider.label) for kind, provider in KINDS.items()]


class ProviderAccount(models.Model):
    """A key at a provider. The key is encrypted at rest and never shown again."""

    class Rooms(models.TextChoices):
        PROVIDER = "provider", _("the provider's rooms")
        OWN = "own", _("our own LiveKit")

    class KeyHeader(models.TextChoices):
        X_API_KEY = "x-api-key", "X-API-KEY"
        BEARER = "bearer", "Authorization: Bearer"

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
    credits_per_minute = models.DecimalField(
        _("credits a minute"),
        max_digits=6,
        decimal_places=3,
        default=Decimal("0.2"),
        validators=[MinValueValidator(Decimal("0.001"))],
        help_text=_("What a minute of a session costs, for the monthly cap."),
    )
    speech_days = models.PositiveIntegerField(
        _("speech is kept for"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Days after the session's end; then it is erased for good. Empty: no limit here."),
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
        if other.exists() and Avatar.objects.filter(account=self.pk).exists():
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
    def duration_limit(self) -> timedelta | None:
        """How long a session may last here, as far as it is known."""
        sandbox_limit = self.capabilities.sandbox_limit if self.is_sandbox else None
        return min(filter(None, (self.longest_session, sandbox_limit)), default=None)


class Offered(models.Model):
    """One thing the provider offers. It is marked gone, never deleted, when the provider stops listing it."""

    account = models.ForeignKey(ProviderAccount, models.PROTECT, verbose_name=_("account"))
    name = models.CharField(_("name"), max_length=200)
    last_seen_at = models.DateTimeField(_("last seen"), editable=False)
    gone_at = models.DateTimeField(_("gone since"), null=True, blank=True, editable=False)

    class Meta:
        abstract = True
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Avatar(Offered):
    provider_avatar_id = models.CharField(_("provider's ID"), max_length=200)
    default_provider_voice_id = models.CharField(_("provider's default voice"), max_length=200, blank=True)
    is_active = models.BooleanField(_("active at the provider"), default=True)
    preview = models.FileField(_("preview"), upload_to="previews/", blank=True, editable=False)
    # Where the preview came from, without the query, which is often a signature of its own for each listing.
    preview_source = models.CharField(max_length=500, blank=True, editable=False)

    class Meta(Offered.Meta):
        verbose_name = _("avatar")
        verbose_name_plural = _("avatars")
        constraints = (
            models.UniqueConstraint(fields=("account", "provider_avatar_id"), name="avatar_once_per_account"),
        )

    @property
    def preview_url(self) -> str:
        """The portal's own address of the preview, or an empty string where the provider gave none."""
        return reverse("avatars:preview", args=[self.pk]) if self.preview else ""


class Voice(Offered):
    provider_voice_id = models.CharField(_("provider's ID"), max_length=200)
    language = models.CharField(_("language"), max_length=20, blank=True, help_text=_("Empty: several."))
    gender = models.CharField(_("gender"), max_length=20, blank=True)
    has_emotions = models.BooleanField(_("takes emotions"), default=False)
    preview_url = models.URLField(_("sample"), max_length=500, blank=True)

    class Meta(Offered.Meta):
        verbose_name = _("voice")
        verbose_name_plural = _("voices")
        constraints = (models.UniqueConstraint(fields=("account", "provider_voice_id"), name="voice_once_per_account"),)

    def __str__(self) -> str:
        return " · ".join(filter(None, (self.name, self.language, self.gender)))


class KnowledgeBase(Offered):
    provider_knowledge_base_id = models.CharField(_("provider's ID"), max_length=200)
    opening = models.TextField(_("opening"), blank=True)
    prompt = models.TextField(_("prompt"), blank=True)

    class Meta(Offered.Meta):
        verbose_name = _("knowledge base")
        verbose_name_plural = _("knowledge bases")
        constraints = (
            models.UniqueConstraint(
                fields=("account", "provider_knowledge_base_id"), name="knowledge_base_once_per_account"
            ),
        )


class PersonaQuerySet(models.QuerySet["Persona"]):
    def published(self) -> PersonaQuerySet:
        """Personas that end users may talk with."""
        return self.filter(status=Persona.Status.PUBLISHED)


class Persona(models.Model):
    """What staff publish: an avatar with its voice, knowledge base, language and limits."""

    class Status(models.TextChoices):
        DRAFT = "draft", _("draft")
        PUBLISHED = "published", _("published")

    class Language(models.TextChoices):
        SPANISH = "es", "Español"
        ENGLISH = "en", "English"

    class Quality(models.TextChoices):
        HIGH = ProviderQuality.HIGH.value, _("high (720p)")
        MEDIUM = ProviderQuality.MEDIUM.value, _("medium (480p)")
        LOW = ProviderQuality.LOW.value, _("low (360p)")

    class Interactivity(models.TextChoices):
        HANDS_FREE = ProviderInteractivity.HANDS_FREE.value, _("all the time")
        PUSH_TO_TALK = ProviderInteractivity.PUSH_TO_TALK.value, _("while the button is held")

    slug = models.SlugField(_("address"), unique=True)
    name = models.CharField(_("name"), max_length=80)
    role = models.CharField(_("role"), max_length=80, blank=True)
    summary = models.CharField(_("summary"), max_length=300, blank=True)
    language = models.CharField(_("language"), max_length=5, choices=Language, default=Language.SPANISH)
    avatar = models.ForeignKey(Avatar, models.PROTECT, verbose_name=_("avatar"))
    voice = models.ForeignKey(
        Voice, models.PROTECT, null=True, blank=True, verbose_name=_("voice"), help_text=_("Empty: the avatar's own.")
    )
    voice_rate = models.DecimalField(
        _("voice rate"),
        max_digits=3,
        decimal_places=2,
        default=Decimal(1),
        # HeyGen's documented range.
        validators=[MinValueValidator(Decimal("0.5")), MaxValueValidator(Decimal("1.5"))],
    )
    voice_emotion = models.CharField(_("voice emotion"), max_length=20, blank=True)
    knowledge_base = models.ForeignKey(
        KnowledgeBase, models.PROTECT, null=True, blank=True, verbose_name=_("knowledge base")
    )
    # An avatar without knowledge answers with whatever the provider's model believes: that must be somebody's decision.
    is_improvising = models.BooleanField(
        _("answers without a knowledge base"),
        default=False,
        help_text=_("Needed to publish a persona that has none: it then says what the provider's model believes."),
    )
    interactivity = models.CharField(
        _("listens"), max_length=20, choices=Interactivity, default=Interactivity.HANDS_FREE
    )
    breaks_silence = models.BooleanField(
        _("breaks a silence"), default=False, help_text=_("Speaks up by itself when nobody says anything.")
    )
    quality = models.CharField(_("quality"), max_length=10, choices=Quality, default=Quality.HIGH, blank=True)
    is_voice_enabled = models.BooleanField(
        _("people may speak to it"),
        default=True,
        help_text=_("Off: it only reads what people write, and their microphone is not asked for."),
    )
    greeting = models.TextField(_("greeting"), max_length=500, blank=True, help_text=_("Said when the picture stands."))
    duration_limit = models.DurationField(_("longest session"), default=timedelta(minutes=20))
    idle_timeout = models.DurationField(_("ends when idle for"), default=timedelta(minutes=3))
    speech_days = models.PositiveIntegerField(
        _("speech is kept for"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Days after the session's end; then it is erased for good. Empty: no limit here."),
    )
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.DRAFT, editable=False)
    version = models.PositiveIntegerField(_("version"), default=0, editable=False)

    objects = PersonaQuerySet.as_manager()

    class Meta:
        verbose_name = _("persona")
        verbose_name_plural = _("personas")
        ordering = ("name",)
        permissions = (("publish_persona", "Can publish a persona"),)
        constraints = (
            models.CheckConstraint(
                condition=Q(duration_limit__gt=timedelta(0)) & Q(idle_timeout__gt=timedelta(0)),
                name="persona_limits_above_zero",
            ),
            models.CheckConstraint(
                condition=Q(status="draft") | Q(version__gt=0), name="published_persona_has_version"
            ),
        )

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("sessions:room", args=[self.slug])

    @property
    def capabilities(self) -> Capabilities:
        """What can be done with it: what its provider can do, as far as it was set up for it."""
        offered = self.avatar.account.capabilities
        holds_button = self.interactivity == self.Interactivity.PUSH_TO_TALK
        can_hold = holds_button or not offered.listening_is_settled
        return replace(
            offered,
            takes_voice=offered.takes_voice and self.is_voice_enabled,
            hands_free=offered.hands_free and not holds_button,
            push_to_talk=offered.push_to_talk if can_hold else None,
        )

    @property
    def takes_text(self) -> bool:
        """Whether one can type to it."""
        return self.capabilities.takes_text

    @property
    def takes_voice(self) -> bool:
        """Whether one can speak to it."""
        return self.capabilities.takes_voice

    def snapshot(self) -> dict[str, Any]:
        """Return the settings as they are now, for the session that is about to use them."""
        return {
            "avatar_id": self.avatar.provider_avatar_id,
            "voice_id": self.voice.provider_voice_id if self.voice else "",
            "voice_rate": float(self.voice_rate),
            "voice_emotion": self.voice_emotion,
            "knowledge_base_id": self.knowledge_base.provider_knowledge_base_id if self.knowledge_base else "",
            "language": self.language,
            "interactivity": self.interactivity,
            "breaks_silence": self.breaks_silence,
            "quality": self.quality,
            "takes_voice": self.takes_voice,
            "greeting": self.greeting,
            "duration_limit_s": int(self.duration_limit.total_seconds()),
            "idle_timeout_s": int(self.idle_timeout.total_seconds()),
        }
