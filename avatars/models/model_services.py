"""Model services: where the organisation's own models run, what they cost, how long to wait for them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from encrypted_fields.fields import EncryptedCharField

from avatars.models.accounts import ApiAddressField, is_readable
from heygen_portal.models import DEFAULT_ORGANISATION, Organisation
from heygen_portal.providers.contract.model_errors import ModelUnreachable
from heygen_portal.providers.openai.client import ModelClient
from heygen_portal.providers.openai.messages import Usage
from heygen_portal.runtime.text.model_fields import LimitedCharField

TOKENS_PER_PRICE = 1_000_000
# Of one request. An answer, which may take several, has a limit of its own: `sessions.brain.answering.LONGEST_ANSWER`.
LONGEST_TIMEOUT = timedelta(seconds=90)
# What the columns of an answer hold. A service may claim to have used any number of tokens.
MAX_TOKENS, MAX_COST = 2**31 - 1, Decimal(999_999)
MAX_MODEL_NAME = 200


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
