"""Personas and their saved versions.

A persona's own columns have its published version or, while it is a draft, the version saved last. Every save is kept
as a version.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from avatars.models.accounts import SpeechRetention
from avatars.models.catalogue import Avatar, KnowledgeBase, Voice
from avatars.models.documents import Library
from avatars.models.languages import LanguageField, direction
from avatars.models.model_services import HttpToolVersion, ModelService
from avatars.models.persona_settings import PersonaSettings
from heygen_portal.models import DEFAULT_ORGANISATION, Organisation
from heygen_portal.providers.contract.provider import Capabilities
from heygen_portal.providers.contract.provider import Interactivity as ProviderInteractivity
from heygen_portal.providers.contract.provider import Quality as ProviderQuality
from heygen_portal.runtime import client_address, stored_json
from heygen_portal.runtime.text.model_fields import ChoiceField, LimitedCharField, LimitedTextField

# The default of the longest answer, in characters: about a minute of speech.
LONGEST_ANSWER = 800
BRAIN_PATH = "/brain/v1"
MAX_STARTERS, MAX_STARTER_CHARACTERS = 4, 100


def brain_url() -> str:
    """Return where providers find the brain; empty unless PORTAL_URL is an address that a token may be sent to."""
    is_usable = client_address.is_api_url(settings.PORTAL_URL) and client_address.is_safe_for_keys(settings.PORTAL_URL)
    return f"{settings.PORTAL_URL}{BRAIN_PATH}" if is_usable else ""


def starter_lines(text: str) -> list[str]:
    """Read suggested questions, one per line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


class BuiltInTool(models.TextChoices):
    """The portal's own tools, which the organisation's own model may call. Values are what the model calls them."""

    SEARCH = "search_knowledge", _("search the documents again")
    END = "end_conversation", _("end the conversation")
    PERSON = "ask_for_person", _("ask for a person")
    MESSAGE = "leave_message", _("leave a message")


class PersonaContent(SpeechRetention):
    """The versioned fields of a persona."""

    class BrainKind(models.TextChoices):
        PROVIDER = "provider", _("the provider’s model")
        OWN = "own", _("the organisation’s own model")

    class Quality(models.TextChoices):
        HIGH = ProviderQuality.HIGH.value, _("high (720p)")
        MEDIUM = ProviderQuality.MEDIUM.value, _("medium (480p)")
        LOW = ProviderQuality.LOW.value, _("low (360p)")

    class Interactivity(models.TextChoices):
        HANDS_FREE = ProviderInteractivity.HANDS_FREE.value, _("always on")
        PUSH_TO_TALK = ProviderInteractivity.PUSH_TO_TALK.value, _("push to talk")

    name = LimitedCharField(_("name"), max_characters=80)
    role = LimitedCharField(_("role"), max_characters=80, blank=True)
    summary = LimitedCharField(_("summary"), max_characters=300, blank=True)
    language = LanguageField(_("language"), max_length=5, default="es")
    avatar = models.ForeignKey(Avatar, models.PROTECT, verbose_name=_("avatar"))
    voice = models.ForeignKey(
        Voice,
        models.PROTECT,
        null=True,
        blank=True,
        verbose_name=_("voice"),
        help_text=_("Empty: the avatar’s own voice."),
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
    # Settings specific to the provider, such as stability: the name, and a value within its limits.
    voice_settings = stored_json.ObjectField(_("other voice settings"), default=dict, blank=True)
    knowledge_base = models.ForeignKey(
        KnowledgeBase, models.PROTECT, null=True, blank=True, verbose_name=_("knowledge base")
    )
    # Without a knowledge base, answers come from the provider's model alone, so staff must choose that explicitly.
    is_improvising = models.BooleanField(
        _("answers without a knowledge base"),
        default=False,
        help_text=_(
            "Required to publish a persona without a knowledge base. It then answers from the provider’s model alone."
        ),
    )
    interactivity = ChoiceField(
        _("listening mode"), max_length=20, choices=Interactivity, default=Interactivity.HANDS_FREE
    )
    breaks_silence = models.BooleanField(
        _("speaks during silences"), default=False, help_text=_("Speaks on its own initiative during silences.")
    )
    quality = ChoiceField(_("quality"), max_length=10, choices=Quality, default=Quality.HIGH, blank=True)
    is_voice_enabled = models.BooleanField(
        _("voice input allowed"),
        default=True,
        help_text=_("If off, users can only write, and the microphone is not requested."),
    )
    greeting = LimitedTextField(
        _("greeting"), max_characters=500, blank=True, help_text=_("Said when the video starts.")
    )
    duration_limit = models.DurationField(_("maximum session length"), default=timedelta(minutes=20))
    idle_timeout = models.DurationField(_("idle limit"), default=timedelta(minutes=3))
    reads_aloud = models.BooleanField(
        _("reading aloud allowed"),
        default=True,
        db_default=True,
        help_text=_("Users can have a text read aloud. Always off with the organisation’s own model."),
    )

    # Answers by the organisation's own model.
    brain = ChoiceField(
        _("answers come from"),
        max_length=10,
        choices=BrainKind,
        default=BrainKind.PROVIDER,
        db_default=BrainKind.PROVIDER.value,
    )
    model_service = models.ForeignKey(
        ModelService, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("model service")
    )
    library = models.ForeignKey(
        Library,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("library"),
        help_text=_("The documents that it answers from. Empty: it answers from the instructions alone."),
    )
    instructions = LimitedTextField(
        _("instructions"),
        max_characters=6000,
        blank=True,
        default="",
        db_default="",
        help_text=_("For the model: who it is, whom it helps with what, and how it speaks. Users do not see them."),
    )
    longest_answer = models.PositiveIntegerField(
        _("longest answer"),
        default=LONGEST_ANSWER,
        db_default=LONGEST_ANSWER,
        validators=[MinValueValidator(100), MaxValueValidator(5000)],
        help_text=_("In characters. An answer ends with the last sentence that fits."),
    )
    filler_sentence = LimitedCharField(
        _("sentence while it thinks"),
        max_characters=200,
        blank=True,
        default="",
        db_default="",
        help_text=_("Said if an answer takes its time. Empty: none."),
    )
    filler_after_seconds = models.DecimalField(
        _("said after"),
        max_digits=3,
        decimal_places=1,
        default=Decimal(2),
        db_default=Decimal(2),
        validators=[MinValueValidator(Decimal("0.5")), MaxValueValidator(Decimal(20))],
        help_text=_("Seconds without a first sentence."),
    )
    fallback_sentence = LimitedCharField(
        _("sentence for failures"),
        max_characters=200,
        blank=True,
        default="",
        db_default="",
        help_text=_("Said if the model does not answer. Empty: a sentence of the portal."),
    )
    refused_topics = LimitedTextField(
        _("topics to refuse"),
        max_characters=2000,
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "One per line: the topic, a colon, and the words that tell of it, with commas between them. "
            "An asterisk means any ending."
        ),
    )
    refusal_sentence = LimitedCharField(
        _("sentence for refusals"),
        max_characters=200,
        blank=True,
        default="",
        db_default="",
        help_text=_("Said instead of an answer. Empty: a sentence of the portal."),
    )
    forbidden_words = LimitedTextField(
        _("words that are never said"),
        max_characters=2000,
        blank=True,
        default="",
        db_default="",
        help_text=_("One word or phrase per line. A sentence that has one is replaced with the refusal."),
    )
    is_masking = models.BooleanField(
        _("personal data masked"),
        default=True,
        db_default=True,
        help_text=_(
            "E-mail addresses and phone, card and identity numbers are replaced before a user’s text leaves for the "
            "model."
        ),
    )
    tools = LimitedTextField(
        _("tools"),
        max_characters=2000,
        blank=True,
        default="",
        db_default="",
        help_text=_("What the model may do besides answering. Users get a form for their message."),
    )
    is_moderated = models.BooleanField(
        _("moderated"),
        default=False,
        db_default=False,
        help_text=_(
            "The model service’s moderation model checks what users write and each sentence of an answer. If it does "
            "not respond, nothing is answered."
        ),
    )

    session_tokens = models.PositiveIntegerField(
        _("tokens per conversation"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1000)],
        help_text=_("Read and written by the model. Then the sentence for failures is said. Empty: no limit."),
    )
    day_tokens = models.PositiveIntegerField(
        _("tokens per day"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1000)],
        help_text=_("Of all conversations that begin on one day. Empty: no limit."),
    )
    starters = LimitedTextField(
        _("suggested questions"),
        max_characters=MAX_STARTERS * (MAX_STARTER_CHARACTERS + 2),
        blank=True,
        default="",
        db_default="",
        help_text=_("One per line, up to four. Users can choose one instead of typing."),
    )

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    @classmethod
    def content_fields(cls) -> tuple[str, ...]:
        """Return the names of the versioned fields, in the order of their definition."""
        return tuple(field.name for field in PersonaContent._meta.get_fields())

    @property
    def capabilities(self) -> Capabilities:
        """Return the provider's capabilities, as far as the persona is set up for them."""
        offered = self.avatar.account.capabilities
        holds_button = self.interactivity == self.Interactivity.PUSH_TO_TALK
        can_hold = holds_button or not offered.listening_mode_is_fixed
        return replace(
            offered,
            takes_voice=offered.takes_voice and self.is_voice_enabled and not self.spoken_turns_problem,
            hands_free=offered.hands_free and not holds_button,
            push_to_talk=offered.push_to_talk if can_hold else None,
        )

    @property
    def has_own_brain(self) -> bool:
        """Whether the organisation's own model answers."""
        return self.brain == self.BrainKind.OWN

    @property
    def spoken_turns_problem(self) -> str:
        """Why the organisation's own model cannot answer what is spoken; empty if it can, or does not answer at all.

        The provider's own model would answer instead, which knows neither documents nor limits.
        """
        if not self.has_own_brain:
            return ""
        if not self.avatar.account.capabilities.takes_custom_model:
            return gettext("Users can only write: this provider has no way to call your own model.")
        if not brain_url():
            return gettext(
                "Users can only write: PORTAL_URL does not say where the provider finds this portal by HTTPS."
            )
        if self.knowledge_base_id is None:
            return gettext("Users can only write until you choose a knowledge base: the provider needs one to answer.")
        return ""

    @property
    def is_heard_by_own_brain(self) -> bool:
        """Whether the provider hears the user and the organisation's own model answers."""
        return self.has_own_brain and self.takes_voice

    @property
    def tool_names(self) -> frozenset[str]:
        """The tools that the organisation's own model may call."""
        return frozenset(filter(None, map(str.strip, self.tools.splitlines())))

    @property
    def own_tool_names(self) -> frozenset[str]:
        """Those of its tools that staff made."""
        return self.tool_names - frozenset(BuiltInTool.values)

    @property
    def may_read_aloud(self) -> bool:
        """Whether users can have a text read aloud."""
        return self.reads_aloud and not self.has_own_brain

    @property
    def suggested_questions(self) -> list[str]:
        """What users can choose instead of typing."""
        return starter_lines(self.starters) if self.takes_text else []

    @property
    def text_direction(self) -> str:
        """The attribute `dir` of what is said and written in a conversation."""
        return direction(self.language)

    @property
    def takes_text(self) -> bool:
        """Whether one can type to it."""
        return self.capabilities.takes_text

    @property
    def takes_voice(self) -> bool:
        """Whether one can speak to it."""
        return self.capabilities.takes_voice

    def settings(self) -> PersonaSettings:
        """Return the current settings for a new session."""
        return PersonaSettings(
            avatar_id=self.avatar.provider_avatar_id,
            voice_id=self.voice.provider_voice_id if self.voice else "",
            voice_rate=float(self.voice_rate),
            voice_emotion=self.voice_emotion,
            voice_settings=self.voice_settings,
            knowledge_base_id=self.knowledge_base.provider_knowledge_base_id if self.knowledge_base else "",
            language=self.language,
            interactivity=self.interactivity,
            breaks_silence=self.breaks_silence and not self.has_own_brain,
            quality=self.quality,
            takes_voice=self.takes_voice,
            greeting=self.greeting,
            duration_limit_s=int(self.duration_limit.total_seconds()),
            idle_timeout_s=int(self.idle_timeout.total_seconds()),
            brain=self.brain,
            **(self._documents() if self.has_own_brain else {}),
            tools=self._own_tools() if self.has_own_brain else {},
            reads_aloud=self.may_read_aloud,
        )

    def _documents(self) -> dict[str, Any]:
        """Return the library's settings of a session that starts now: it searches the library as it is now."""
        if self.library_id is None:
            return {}
        version = Library.objects.values_list("version", flat=True).get(pk=self.library_id)
        return {"library_id": self.library_id, "library_version": version}

    def _own_tools(self) -> dict[str, int]:
        """Return the IDs of the tools' versions that a session that starts now can call, by name."""
        if not (names := self.own_tool_names):
            return {}
        return dict(HttpToolVersion.objects.current(names).values_list("tool__name", "pk"))

    def snapshot(self) -> dict[str, Any]:
        """Return the settings as they are stored with a session."""
        return self.settings().as_stored()


class PersonaQuerySet(models.QuerySet["Persona"]):
    def published(self) -> PersonaQuerySet:
        """Return published personas that are not hidden."""
        return self.filter(status=Persona.Status.PUBLISHED, hidden_at=None)

    def open_to(self, user_id: int | None) -> PersonaQuerySet:
        """Return published personas that this user may talk with.

        These are unrestricted or restricted to one of the user's groups.
        """
        limits = Persona.groups.through.objects.filter(persona=models.OuterRef("pk"))
        return self.published().filter(~models.Exists(limits) | models.Exists(limits.filter(group__user=user_id)))

    def speaking_another_language(self, persona: Persona) -> PersonaQuerySet:
        """Return personas with the same name and avatar in another language."""
        return self.filter(name=persona.name, avatar=persona.avatar_id).exclude(language=persona.language)


class Persona(PersonaContent):
    """A persona that staff publish.

    Its versioned fields are changed only by `avatars.personas.versions` and `avatars.personas.publishing`.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", _("draft")
        PUBLISHED = "published", _("published")

    # Not versioned.
    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        default=DEFAULT_ORGANISATION,
        editable=False,
        related_name="personas",
        verbose_name=_("organisation"),
    )
    slug = models.SlugField(_("address"), unique=True)
    # Not versioned: a change takes effect at once.
    groups = models.ManyToManyField(
        Group,
        blank=True,
        verbose_name=_("restricted to"),
        help_text=_("Empty: all users who may talk. Takes effect when you save, also for the published version."),
    )
    # Not versioned: a change takes effect at once.
    requires_consent = models.BooleanField(
        _("consent required"),
        default=False,
        db_default=False,
        help_text=_(
            "Users accept the notice before they talk with this persona. Takes effect when you save, also for the "
            "published version."
        ),
    )
    status = ChoiceField(_("status"), max_length=10, choices=Status, default=Status.DRAFT, editable=False)
    # The version in the columns and its number: the published one or, of a draft, the newest.
    current = models.ForeignKey("PersonaVersion", models.RESTRICT, null=True, editable=False, related_name="+")
    version = models.PositiveIntegerField(_("version"), default=0, editable=False)
    published_at = models.DateTimeField(_("last published"), null=True, editable=False)
    # Set when a check fails, cleared when one succeeds or by publishing.
    hidden_at = models.DateTimeField(_("hidden since"), null=True, editable=False)

    objects = PersonaQuerySet.as_manager()

    class Meta:
        verbose_name = _("persona")
        verbose_name_plural = _("personas")
        ordering = ("name",)
        permissions = (("publish_persona", gettext_noop("Can publish a persona")),)
        constraints = (
            models.CheckConstraint(
                condition=Q(duration_limit__gt=timedelta(0)) & Q(idle_timeout__gt=timedelta(0)),
                name="persona_limits_above_zero",
            ),
            models.CheckConstraint(
                condition=Q(status="draft") | Q(version__gt=0), name="published_persona_has_version"
            ),
        )

    def get_absolute_url(self) -> str:
        """Return the address of its page, or that of the gallery if SQL changed the slug into none."""
        try:
            return reverse("sessions:room", args=[self.slug])
        except NoReverseMatch:
            return reverse("avatars:gallery")

    @property
    def speech_kept_days(self) -> int | None:
        """Return after how many days transcripts are erased, or None.

        The lower limit of persona and account applies.
        """
        limits = (self.speech_days, self.avatar.account.speech_days)
        return min((days for days in limits if days is not None), default=None)


class PersonaVersion(PersonaContent):
    """One saved version of a persona, never changed."""

    persona = models.ForeignKey(Persona, models.CASCADE, related_name="versions", verbose_name=_("persona"))
    number = models.PositiveIntegerField(_("version"))
    saved_at = models.DateTimeField(_("saved"), default=timezone.now)
    # Empty: saved by the portal itself, such as at its first start.
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("saved by")
    )

    class Meta:
        verbose_name = _("persona version")
        verbose_name_plural = _("persona versions")
        ordering = ("persona", "-number")
        constraints = (models.UniqueConstraint(fields=("persona", "number"), name="persona_version_once"),)

    def __str__(self) -> str:
        return f"{self.name} {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store a new version.

        Raises TypeError for a stored one, because sessions refer to it.
        """
        if not self._state.adding:
            raise TypeError("a version of a persona is never changed")
        super().save(*args, **kwargs)


class PersonaCheck(models.Model):
    """The result of one nightly check of a published persona."""

    class Outcome(models.TextChoices):
        PASSED = "passed", _("works")
        FITS = "fits", _("valid; not tried with a session")
        UNFIT = "unfit", _("no longer valid")
        REFUSED = "refused", _("refused by the provider")
        AWAY = "away", _("provider not reachable")
        SKIPPED = "skipped", _("no slot or no credits for a session")

    persona = models.ForeignKey(Persona, models.CASCADE, related_name="checks", verbose_name=_("persona"))
    version = models.PositiveIntegerField(_("version"))
    at = models.DateTimeField(_("time"), default=timezone.now)
    outcome = ChoiceField(_("result"), max_length=10, choices=Outcome)
    # The provider's answer.
    detail = models.CharField(_("provider’s message"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("persona check")
        verbose_name_plural = _("persona checks")
        ordering = ("-at", "-pk")
        indexes = (models.Index(fields=("persona", "-at"), name="check_of_persona"),)

    def __str__(self) -> str:
        return f"{self.persona} {self.at:%Y-%m-%d}"
