"""What answers and acts for personas with a brain of the organisation's own: its model services and its tools.

A model service is where models run. A tool is an HTTPS request that a model may make in an answer: its own columns have
its newest version, every save is kept as a version, and a session keeps those that it began with.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from encrypted_fields.fields import EncryptedCharField, EncryptedTextField

from avatars.models.accounts import ApiAddressField, is_readable
from heygen_portal.models import DEFAULT_ORGANISATION, Organisation
from heygen_portal.providers.contract.model_errors import ModelUnreachable
from heygen_portal.providers.openai.client import ModelClient
from heygen_portal.providers.openai.messages import Usage
from heygen_portal.runtime.text.model_fields import ChoiceField, LimitedCharField, LimitedTextField

TOKENS_PER_PRICE = 1_000_000
# Of one request. An answer, which may take several, has a limit of its own: `sessions.brain.answering.LONGEST_ANSWER`.
LONGEST_TIMEOUT = timedelta(seconds=90)
# What the columns of an answer hold. A service may claim to have used any number of tokens.
MAX_TOKENS, MAX_COST = 2**31 - 1, Decimal(999_999)
MAX_MODEL_NAME = 200
# Of a tool's request.
MAX_ANSWER_BYTES = 8000
LONGEST_CALL = timedelta(seconds=15)


class ModelService(models.Model):
    """A service with OpenAI's API. The key is encrypted at rest and never shown again."""

    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        default=DEFAULT_ORGANISATION,
        editable=False,
        related_name="model_services",
        verbose_name=_("organisation"),
    )
    name = LimitedCharField(_("name"), max_characters=80, unique=True)
    base_url = ApiAddressField(
        _("address"),
        max_length=200,
        help_text=_("Address of an API like OpenAI’s, with its path: https://api.openai.com/v1."),
    )
    api_key = EncryptedCharField(_("API key"), max_length=500)
    chat_model = models.CharField(
        _("model for answers"), max_length=MAX_MODEL_NAME, help_text=_("The name that the service gives it.")
    )
    embeddings_model = models.CharField(
        _("model for embeddings"),
        max_length=MAX_MODEL_NAME,
        blank=True,
        help_text=_("For search by meaning. Not used yet: documents are searched by their words."),
    )
    moderation_model = models.CharField(
        _("model for moderation"),
        max_length=MAX_MODEL_NAME,
        blank=True,
        help_text=_("For personas that are moderated: checks what users write and each sentence of an answer."),
    )
    transcription_model = models.CharField(_("model for speech recognition"), max_length=MAX_MODEL_NAME, blank=True)
    speech_model = models.CharField(_("model for speech synthesis"), max_length=MAX_MODEL_NAME, blank=True)
    input_price = models.DecimalField(
        _("input price"),
        max_digits=12,
        decimal_places=4,
        default=Decimal(0),
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("Credits per million tokens of prompts."),
    )
    output_price = models.DecimalField(
        _("output price"),
        max_digits=12,
        decimal_places=4,
        default=Decimal(0),
        validators=[MinValueValidator(Decimal(0))],
        help_text=_("Credits per million tokens of answers."),
    )
    first_token_timeout = models.DurationField(
        _("time limit per word"),
        default=timedelta(seconds=10),
        help_text=_("Hours:minutes:seconds. For the first word of an answer, and for each further one."),
    )
    total_timeout = models.DurationField(
        _("time limit per answer"),
        default=timedelta(minutes=1),
        validators=[MaxValueValidator(LONGEST_TIMEOUT)],
        help_text=_("Hours:minutes:seconds, for a whole answer."),
    )

    class Meta:
        verbose_name = _("model service")
        verbose_name_plural = _("model services")
        constraints = (
            models.CheckConstraint(
                condition=Q(first_token_timeout__gt=timedelta(0)) & Q(total_timeout__gte=F("first_token_timeout")),
                name="model_service_waits",
                violation_error_message=_("A wait must be longer than zero, and the whole answer at least as long."),
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def is_emulated(self) -> bool:
        """Whether it is the emulator of the settings, which costs nothing."""
        return bool(settings.EMULATOR_URL and self.base_url == emulator_address())

    def client(self) -> ModelClient:
        """Return the running event loop's client, with warm connections.

        Raises ModelUnreachable if the key cannot be decrypted.
        """
        self._require_key()
        return ModelClient.shared(self.base_url, self.api_key, **self._timeouts)

    def own_client(self) -> ModelClient:
        """Return a client of its own, for callers that close it."""
        self._require_key()
        return ModelClient(self.base_url, self.api_key, **self._timeouts)

    def cost(self, usage: Usage) -> Decimal:
        """Return the cost of an answer in credits, in millionths at the least."""
        read, written = (min(max(tokens, 0), MAX_TOKENS) for tokens in (usage.prompt_tokens, usage.completion_tokens))
        cost = (read * self.input_price + written * self.output_price) / TOKENS_PER_PRICE
        return min(cost, MAX_COST).quantize(Decimal("0.000001"))

    @property
    def _timeouts(self) -> dict[str, float]:
        return {
            "first_token_timeout_s": self.first_token_timeout.total_seconds(),
            "total_timeout_s": self.total_timeout.total_seconds(),
        }

    def _require_key(self) -> None:
        if not is_readable(self.api_key):
            raise ModelUnreachable("the key cannot be decrypted: enter it again in the admin")


def emulator_address() -> str:
    """Return the address of the emulator's models."""
    return f"{settings.EMULATOR_URL}/v1"


class ToolContent(models.Model):
    """The versioned fields of a tool."""

    class Method(models.TextChoices):
        GET = "GET", "GET"
        POST = "POST", "POST"
        PUT = "PUT", "PUT"
        PATCH = "PATCH", "PATCH"
        DELETE = "DELETE", "DELETE"

    description = LimitedTextField(
        _("description"),
        max_characters=1000,
        help_text=_("For the model: what the tool does, and when to use it."),
    )
    is_read_only = models.BooleanField(
        _("only reads"),
        default=False,
        help_text=_(
            "On: it changes nothing, so the model may call it whatever a document says. Off: it is called only if the "
            "user’s own words ask for it."
        ),
    )
    arguments = LimitedTextField(
        _("arguments"),
        max_characters=6000,
        default='{\n  "type": "object",\n  "properties": {}\n}',
        help_text=_("JSON Schema of an object. The model’s arguments must fit it."),
    )
    method = ChoiceField(_("method"), max_length=6, choices=Method, default=Method.GET)
    url = models.CharField(
        _("address"),
        max_length=500,
        help_text=_(
            "HTTPS. An argument’s name in braces can be a part of the path or a value of the query: "
            "https://api.example.com/orders/{order}?lang={language}."
        ),
    )
    body = LimitedTextField(
        _("body"),
        max_characters=4000,
        blank=True,
        default="",
        help_text=_("JSON, in which a text such as “{order}” is replaced with the argument. Empty: none."),
    )
    headers = LimitedTextField(
        _("headers"),
        max_characters=2000,
        blank=True,
        default="",
        help_text=_("One per line, as “Accept-Language: es”."),
    )
    secret_headers = EncryptedTextField(_("secret headers"), null=True, blank=True)
    timeout = models.DurationField(
        _("time limit"),
        default=timedelta(seconds=5),
        validators=[MinValueValidator(timedelta(milliseconds=100)), MaxValueValidator(LONGEST_CALL)],
        help_text=_("Hours:minutes:seconds."),
    )
    max_answer_bytes = models.PositiveIntegerField(
        _("longest response"),
        default=MAX_ANSWER_BYTES,
        validators=[MinValueValidator(100), MaxValueValidator(MAX_ANSWER_BYTES)],
        help_text=_("In bytes. A longer one counts as a failure."),
    )

    class Meta:
        abstract = True

    @property
    def secrets(self) -> str:
        """The secret headers, one per line."""
        return self.secret_headers or ""

    @classmethod
    def content_fields(cls) -> tuple[str, ...]:
        """Return the names of the versioned fields."""
        return tuple(field.name for field in ToolContent._meta.get_fields())


class HttpTool(ToolContent):
    """A tool that personas can switch on by its name. Changed only by `avatars.tools.versions`."""

    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        default=DEFAULT_ORGANISATION,
        editable=False,
        related_name="http_tools",
        verbose_name=_("organisation"),
    )
    # Personas refer to it by this name, so it is never changed.
    name = models.CharField(
        _("name"),
        max_length=60,
        unique=True,
        validators=[RegexValidator(r"\A[a-z][a-z0-9_]*\Z", _("Lower-case letters, digits and underscores."))],
        help_text=_("What the model calls it, such as order_status. It cannot be changed later."),
    )
    is_active = models.BooleanField(
        _("switched on"), default=True, help_text=_("Off: no session can use it, also those that are under way.")
    )
    version = models.PositiveIntegerField(_("version"), default=0, editable=False)

    class Meta:
        verbose_name = _("tool")
        verbose_name_plural = _("tools")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class HttpToolVersionQuerySet(models.QuerySet["HttpToolVersion"]):
    def current(self, names: Iterable[str]) -> HttpToolVersionQuerySet:
        """Return the newest versions of these tools, of those that are switched on."""
        return self.filter(tool__name__in=names, tool__is_active=True, number=models.F("tool__version"))


class HttpToolVersion(ToolContent):
    """One saved version of a tool, never changed."""

    tool = models.ForeignKey(HttpTool, models.PROTECT, related_name="versions", verbose_name=_("tool"))
    number = models.PositiveIntegerField(_("version"))
    saved_at = models.DateTimeField(_("saved"), default=timezone.now)
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("saved by")
    )

    objects = HttpToolVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("tool version")
        verbose_name_plural = _("tool versions")
        ordering = ("tool", "-number")
        constraints = (models.UniqueConstraint(fields=("tool", "number"), name="http_tool_version_once"),)

    def __str__(self) -> str:
        return f"{self.tool} {self.number}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store a new version. Raises TypeError for a stored one, because sessions refer to it."""
        if not self._state.adding:
            raise TypeError("a version of a tool is never changed")
        super().save(*args, **kwargs)
