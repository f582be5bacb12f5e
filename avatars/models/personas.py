"""The personas that staff make of the catalogue."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from avatars.models.accounts import ForgetsSpeech
from avatars.models.catalogue import Avatar, KnowledgeBase, Voice
from heygen_portal.providers.base import Capabilities
from heygen_portal.providers.base import Interactivity as ProviderInteractivity
from heygen_portal.providers.base import Quality as ProviderQuality


class PersonaQuerySet(models.QuerySet["Persona"]):
    def published(self) -> PersonaQuerySet:
        """Personas that end users may talk with."""
        return self.filter(status=Persona.Status.PUBLISHED)


class Persona(ForgetsSpeech):
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
