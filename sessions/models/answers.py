"""Answers by the organisation's own model."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text.model_fields import ChoiceField
from sessions.models.conversations import ANSWER_REF, SessionTask, StreamingSession


class Answer(models.Model):
    """How one typed text was answered, and on what the answer rests.

    What was said is in the tasks that `sentences` names, encrypted as all speech.
    """

    class State(models.TextChoices):
        ANSWERING = "answering", _("being answered")
        ANSWERED = "answered", _("answered")
        WRITTEN = "written", _("answered in the words of staff")
        NO_ANSWER = "no_answer", _("the documents have no answer")
        REFUSED = "refused", _("refused: a topic to refuse")
        WITHHELD = "withheld", _("withheld: words that are never said")
        TOO_LONG = "too_long", _("ended at the longest length")
        FALLBACK = "fallback", _("the model failed")
        INTERRUPTED = "interrupted", _("interrupted")
        NOT_SENT = "not_sent", _("not accepted by the provider")
        ABANDONED = "abandoned", _("the portal’s process ended")

    session = models.ForeignKey(StreamingSession, models.PROTECT, related_name="answers", verbose_name=_("session"))
    task = models.OneToOneField(SessionTask, models.PROTECT, related_name="answer", verbose_name=_("text"))
    state = ChoiceField(_("outcome"), max_length=12, choices=State, default=State.ANSWERING)
    # A code for staff: who interrupted, or what failed. Set by an interruption while it is being answered.
    reason = models.CharField(_("reason"), max_length=80, blank=True)
    service = models.CharField(_("model service"), max_length=400, blank=True)
    model = models.CharField(_("model"), max_length=200, blank=True)
    prompt_version = models.CharField(_("prompt version"), max_length=12, blank=True)
    # Of each passage in the prompt, in the order of its number: the chunk's ID and its text's fingerprint.
    passages = stored_json.ListField(_("passages"), default=list, blank=True)
    # Of each sentence, in order: its task, and the numbers of the passages that it cites.
    sentences = stored_json.ListField(_("sentences"), default=list, blank=True)
    # The tasks of sentences that were not spoken because of an interruption.
    unspoken = stored_json.ListField(_("not spoken"), default=list, blank=True)
    prompt_tokens = models.PositiveIntegerField(_("tokens read"), default=0)
    completion_tokens = models.PositiveIntegerField(_("tokens written"), default=0)
    is_estimated = models.BooleanField(_("tokens estimated"), default=False)
    cost = models.DecimalField(_("cost of the model"), max_digits=12, decimal_places=6, default=Decimal(0))
    # From the text until the provider accepted the first sentence.
    first_sentence = models.DurationField(_("first sentence after"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    # When the worker closes it, because its process must have died.
    deadline_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        verbose_name = _("answer")
        verbose_name_plural = _("answers")
        ordering = ("created_at", "pk")
        indexes = (models.Index("deadline_at", name="answer_to_close", condition=Q(state="answering")),)
        constraints = (
            models.CheckConstraint(
                condition=Q(state="answering", ended_at__isnull=True, deadline_at__isnull=False)
                | (~Q(state="answering") & Q(ended_at__isnull=False, deadline_at__isnull=True)),
                name="open_answer_has_deadline",
            ),
        )

    def __str__(self) -> str:
        return str(self.pk)

    def ref_of(self, number: int) -> str:
        """Return the reference of a sentence's task. No page can choose it."""
        return f"{ANSWER_REF}{self.pk}:{number}"
