"""Outgoing webhooks: who receives which events, and what became of each message."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from encrypted_fields.fields import EncryptedCharField

from heygen_portal.models.organisation import DEFAULT_ORGANISATION, Organisation
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text.model_fields import ChoiceField, LimitedCharField

MAX_URL_CHARACTERS = 500
MAX_ANSWER_CHARACTERS = 500
"""How much of a receiver's answer is kept."""


class EventType(models.TextChoices):
    """What a webhook can be told. The values are on the wire, and documented in docs/webhooks.md."""

    CONVERSATION_STARTED = "conversation.started", _("Conversation started")
    SESSION_LIVE = "session.live", _("Session live")
    SESSION_ENDED = "session.ended", _("Session ended")
    TRANSCRIPT_READY = "transcript.ready", _("Transcript ready")
    SPENDING_ALARM = "spending.alarm", _("Spending alert")
    PERSONA_PUBLISHED = "persona.published", _("Persona published")
    PERSONA_UNPUBLISHED = "persona.unpublished", _("Persona unpublished")
    PERSONA_HIDDEN = "persona.hidden", _("Persona hidden by a check")
    PERSONA_SHOWN = "persona.shown", _("Persona shown again after a check")
    PERSONA_TESTED = "persona.tested", _("Tests of a persona ended")
    DOCUMENT_READ = "document.read", _("Document read")
    DOCUMENT_FAILED = "document.failed", _("Document not readable")
    DOCUMENT_WITHDRAWN = "document.withdrawn", _("Document withdrawn")
    QUESTION_UNANSWERED = "question.unanswered", _("Question without an answer")
    PERSON_ASKED = "person.asked", _("User asked for a person")
    MESSAGE_LEFT = "message.left", _("User left a message")
    INTEGRITY_ALARM = "integrity.alarm", _("Integrity check found problems")
    INCIDENT_OPENED = "incident.opened", _("Incident opened")
    INCIDENT_CLOSED = "incident.closed", _("Incident over")
    EXPORT_READY = "export.ready", _("Export ready")
    TEST = "webhook.test", _("Test")

    @classmethod
    def selectable(cls) -> list[EventType]:
        """Return the events that staff choose from. Any webhook can be tested."""
        return [event for event in cls if event is not cls.TEST]


class Webhook(models.Model):
    """A receiver of events: an address of the organisation, and the secret that signs what it gets.

    While a secret is replaced, messages carry both signatures.
    """

    class DisabledBecause(models.TextChoices):
        STAFF = "staff", _("paused by staff")
        FAILING = "failing", _("paused: every attempt failed for three days")
        GONE = "gone", _("paused: the receiver answered 410 (gone)")

    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        default=DEFAULT_ORGANISATION,
        editable=False,
        related_name="webhooks",
        verbose_name=_("organisation"),
    )
    name = LimitedCharField(_("name"), max_characters=80, unique=True)
    url = models.CharField(_("address"), max_length=MAX_URL_CHARACTERS)
    events = stored_json.ListField(_("events"), default=list)
    includes_speech = models.BooleanField(
        _("send transcripts"),
        default=False,
        help_text=_("“Transcript ready” then contains what was said. Otherwise only IDs and counts are sent."),
    )
    secret = EncryptedCharField(_("signing secret"), max_length=500, editable=False)
    # Signs beside the new one until then, so that a receiver can change over without losing a message.
    former_secret = EncryptedCharField(max_length=500, null=True, blank=True, editable=False)
    former_secret_until = models.DateTimeField(_("former secret valid until"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    is_enabled = models.BooleanField(_("enabled"), default=True, editable=False)
    disabled_because = ChoiceField(
        _("paused because"), max_length=10, choices=DisabledBecause, blank=True, editable=False
    )
    disabled_at = models.DateTimeField(_("paused"), null=True, blank=True, editable=False)
    # When staff were mailed that it was paused; empty while that is due.
    told_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Failures since the last success, and when the first of them was.
    failures = models.PositiveIntegerField(_("failed attempts in a row"), default=0, editable=False)
    failing_since = models.DateTimeField(_("failing since"), null=True, blank=True, editable=False)
    # After several failures nothing is sent before this time, however many messages wait.
    resumes_at = models.DateTimeField(_("next attempt"), null=True, blank=True, editable=False)
    # The run that sends to this receiver. If its process dies, another one takes over then.
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                condition=Q(is_enabled=True, disabled_because="", disabled_at=None)
                | (Q(is_enabled=False, disabled_at__isnull=False) & ~Q(disabled_because="")),
                name="paused_webhook_says_why",
            ),
            models.CheckConstraint(
                condition=Q(failures=0) ^ Q(failing_since__isnull=False), name="failing_webhook_says_since_when"
            ),
        )

    def __str__(self) -> str:
        return self.name


class WebhookMessage(models.Model):
    """What happened, once for all receivers. It never contains speech, which is read when it is sent."""

    # On the wire, by which receivers recognise a message that comes twice.
    message_id = models.UUIDField(_("message ID"), default=uuid4, unique=True, editable=False)
    event = ChoiceField(_("event"), max_length=40, choices=EventType)
    at = models.DateTimeField(_("time"))
    data = stored_json.ObjectField(_("data"), default=dict)
    # Messages of one session arrive in order. No foreign key: this app knows no sessions.
    session_id = models.UUIDField(_("session"), null=True, blank=True)

    class Meta:
        verbose_name = _("webhook message")
        verbose_name_plural = _("webhook messages")
        default_permissions = ()
        indexes = (models.Index("at", name="webhook_message_age"),)

    def __str__(self) -> str:
        return str(self.message_id)


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def waiting(self) -> WebhookDeliveryQuerySet:
        return self.filter(state=WebhookDelivery.State.WAITING)

    def due(self, now: datetime) -> WebhookDeliveryQuerySet:
        """Return the deliveries that may be sent now, the earliest first."""
        return self.waiting().filter(due_at__lte=now).order_by("due_at", "pk")


class WebhookDelivery(models.Model):
    """One message to one receiver, with the outcome of the last attempt."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting")
        DELIVERED = "delivered", _("delivered")
        GIVEN_UP = "given_up", _("given up")

    class Outcome(models.TextChoices):
        """What became of one attempt."""

        ACCEPTED = "accepted", _("accepted")
        REFUSED = "refused", _("refused")
        REDIRECTED = "redirected", _("redirected elsewhere, which is not followed")
        TIMED_OUT = "timed_out", _("timed out")
        UNREACHABLE = "unreachable", _("no connection")
        UNKNOWN_HOST = "unknown_host", _("host name not found")
        FORBIDDEN_ADDRESS = "forbidden_address", _("address not allowed")
        BAD_CERTIFICATE = "bad_certificate", _("invalid certificate")
        BROKEN_ANSWER = "broken_answer", _("connection closed or answer not understood")
        NO_SECRET = "no_secret", _("signing secret cannot be decrypted")
        FAILED_HERE = "failed_here", _("error in the portal")

    webhook = models.ForeignKey(
        Webhook, models.CASCADE, related_name="deliveries", verbose_name=_("webhook"), db_index=False
    )
    message = models.ForeignKey(WebhookMessage, models.CASCADE, related_name="deliveries", verbose_name=_("message"))
    # Of the message, for the index that keeps a session's messages in order.
    session_id = models.UUIDField(null=True, blank=True, editable=False)
    state = ChoiceField(_("status"), max_length=10, choices=State, default=State.WAITING)
    # When to try next. Empty while an earlier message of the session waits, and once it is delivered or given up.
    due_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    # Later for one that staff sent again.
    gives_up_at = models.DateTimeField(editable=False)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    attempted_at = models.DateTimeField(_("last attempt"), null=True, blank=True)
    outcome = ChoiceField(_("answer"), max_length=20, choices=Outcome, blank=True)
    http_status = models.PositiveIntegerField(_("HTTP status"), null=True, blank=True)
    answer = models.CharField(_("content of the answer"), max_length=MAX_ANSWER_CHARACTERS, blank=True)
    took = models.DurationField(_("took"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)

    objects = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        default_permissions = ()
        ordering = ("-pk",)
        indexes = (
            # For due(): few rows in a long log.
            models.Index("webhook", "due_at", name="webhook_due", condition=Q(state="waiting", due_at__isnull=False)),
            models.Index("gives_up_at", name="webhook_to_give_up", condition=Q(state="waiting")),
            # For the message of a session that waits behind another one.
            models.Index("webhook", "session_id", "id", name="webhook_order", condition=Q(state="waiting")),
            models.Index(fields=("webhook", "-id"), name="webhook_log"),
            models.Index("finished_at", name="webhook_finished", condition=~Q(state="waiting")),
            models.Index("webhook", "state", "finished_at", name="webhook_ended", condition=~Q(state="waiting")),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(state="waiting", finished_at=None)
                | (~Q(state="waiting") & Q(finished_at__isnull=False, due_at=None)),
                name="finished_delivery_is_never_due",
            ),
        )

    def __str__(self) -> str:
        return f"#{self.pk}"
