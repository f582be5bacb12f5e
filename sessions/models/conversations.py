"""Conversations, sessions, tasks, events and transcript lines.

Rows are evidence and never deleted.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from avatars.models import Persona, PersonaVersion, ProviderAccount
from avatars.models.persona_settings import DamagedSettings, PersonaSettings
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text.model_fields import ChoiceField
from sessions.models.guests import Guest, Owned
from sessions.models.speech import Spoken, SpokenManager, SpokenWord, sign_words

# What must be left of our own limits at the provider's limit, so that a conversation continues in a new session.
MIN_TIME_FOR_NEW_SESSION = timedelta(seconds=60)


class Status(models.TextChoices):
    """The status of a session. Only `lifecycle.transitions` changes it."""

    REQUESTED = "requested", _("requested")
    CREATING = "creating", _("creating")
    CONNECTING = "connecting", _("connecting")
    LIVE = "live", _("live")
    STOPPING = "stopping", _("stopping")
    ENDED = "ended", _("ended")


# No stop has been requested yet.
RUNNING = (Status.REQUESTED, Status.CREATING, Status.CONNECTING, Status.LIVE)


class EndReason(models.TextChoices):
    """Why a session ended.

    Labels are for staff and auditors; `end_evidence.own_label` addresses the user.
    """

    USER_STOPPED = "user_stopped", _("The user ended the conversation")
    TAB_CLOSED = "tab_closed", _("The tab was closed")
    IDLE = "idle", _("Ended after inactivity")
    DURATION_LIMIT = "duration_limit", _("Time is up")
    PERSONA_ENDED = "persona_ended", _("The avatar said goodbye and ended it")
    STAFF_STOPPED = "staff_stopped", _("The team ended it")
    TAKEN_OVER = "taken_over", _("The user continued on another device")
    QUOTA = "quota", _("The user’s time for this month was used up")
    SPEND_CAP = "spend_cap", _("The service reached its spending limit")
    NO_PICTURE = "no_picture", _("The video did not arrive")
    PROVIDER_ENDED = "provider_ended", _("The avatar service ended it")
    PROVIDER_REFUSED = "provider_refused", _("The avatar service refused the request")
    PROVIDER_UNREACHABLE = "provider_unreachable", _("The avatar service did not respond")
    ORPHAN_FOUND = "orphan_found", _("It was left open and the portal closed it")

    @classmethod
    def technical_failures(cls) -> frozenset[EndReason]:
        """Return the reasons that count as failures for staff.

        Something broke, here or at the provider.
        """
        return frozenset(
            {cls.NO_PICTURE, cls.PROVIDER_ENDED, cls.PROVIDER_REFUSED, cls.PROVIDER_UNREACHABLE, cls.ORPHAN_FOUND}
        )

    @classmethod
    def failures(cls) -> frozenset[EndReason]:
        """Return the reasons that the user sees as a failure.

        Something broke, or a budget ran out.
        """
        return cls.technical_failures() | {cls.QUOTA, cls.SPEND_CAP}


class Purpose(models.TextChoices):
    """What a session is for. All purposes cost the same."""

    TALK = "talk", _("conversation")
    TRIAL = "trial", _("trial")
    CHECK = "check", _("nightly check")


class LimitBy(models.TextChoices):
    """Origin of the lowest limit, which is the one that applies."""

    PERSONA = "persona", _("persona limit")
    USER = "user", _("user limit")
    GROUP = "group", _("group limit")
    ACCOUNT = "account", _("account limit")
    PROVIDER = "provider", _("provider limit")
    QUOTA = "quota", _("rest of the monthly quota")
    SPEND_CAP = "spend_cap", _("rest of the account’s monthly cap")
    GUEST = "guest", _("guest limit")
    GUEST_CAP = "guest_cap", _("rest of the daily cap for guests")


class Conversation(Owned):
    """Sessions that continue each other within one time limit. Never deleted.

    This is what a user experiences. Its ID is that of its first session, whose record states it.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    # A user or a guest.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="conversations", verbose_name=_("user")
    )
    guest = models.ForeignKey(Guest, models.PROTECT, null=True, related_name="conversations", verbose_name=_("guest"))
    # Of the first session. A later one may use the same persona in another language.
    persona = models.ForeignKey(Persona, models.PROTECT, related_name="conversations", verbose_name=_("persona"))
    started_at = models.DateTimeField(_("started"))
    # Of all its sessions together. Empty in older conversations, where only the limits of each session applied.
    time_limit = models.DurationField(_("time limit"), null=True, blank=True)
    limit_by = ChoiceField(_("effective duration limit"), max_length=10, choices=LimitBy, blank=True)
    # Empty while one of its sessions is open.
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("conversation")
        verbose_name_plural = _("conversations")
        ordering = ("-started_at",)
        constraints = (
            models.CheckConstraint(
                condition=Q(time_limit=None, limit_by="") | (Q(time_limit__gt=timedelta(0)) & ~Q(limit_by="")),
                name="conversation_limit_is_somebodys",
            ),
            models.CheckConstraint(
                condition=Q(user__isnull=True) ^ Q(guest__isnull=True), name="conversation_of_user_or_guest"
            ),
        )

    def __str__(self) -> str:
        return str(self.id)

    @staticmethod
    def ended_last() -> models.QuerySet[StreamingSession]:
        """Return the sessions of the outer query's conversation, open ones first.

        The latest ended follow. The first one's `ended_at` is that of the conversation.
        """
        rows = StreamingSession.objects.filter(conversation=OuterRef("pk"))
        return rows.order_by(F("ended_at").desc(nulls_first=True))


class StreamingSessionQuerySet(models.QuerySet["StreamingSession"]):
    def open(self) -> StreamingSessionQuerySet:
        """Sessions that have not ended. Each holds a slot and may cost money."""
        return self.exclude(status=Status.ENDED)

    def due(self, when: datetime) -> StreamingSessionQuerySet:
        """Sessions whose deadline has passed, the earliest first."""
        # Only open rows have a deadline. Filtering on it lets the database use the partial index.
        return self.open().filter(deadline_at__lte=when).order_by("deadline_at")


class StreamingSession(Owned):
    """One session at the provider. Rows are kept for auditors and never deleted."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # A user or a guest.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="streaming_sessions", verbose_name=_("user")
    )
    guest = models.ForeignKey(
        Guest, models.PROTECT, null=True, related_name="streaming_sessions", verbose_name=_("guest")
    )
    conversation = models.ForeignKey(
        Conversation, models.PROTECT, related_name="sessions", verbose_name=_("conversation")
    )
    account = models.ForeignKey(ProviderAccount, models.PROTECT, verbose_name=_("account"))
    persona = models.ForeignKey(Persona, models.PROTECT, verbose_name=_("persona"))
    persona_version = models.PositiveIntegerField(_("persona version"))
    # Exactly what staff had saved. Empty in sessions from before versions were kept.
    version = models.ForeignKey(PersonaVersion, models.PROTECT, null=True, related_name="sessions", editable=False)
    purpose = ChoiceField(_("purpose"), max_length=10, choices=Purpose, default=Purpose.TALK)
    # The settings of the request. The persona may change later, the record may not.
    persona_settings = stored_json.ObjectField(_("settings at the time"))
    status = ChoiceField(_("status"), max_length=10, choices=Status, default=Status.REQUESTED)
    end_reason = ChoiceField(_("end reason"), max_length=20, choices=EndReason, blank=True)
    # A code and its values, without keys or speech; `lifecycle.end_evidence` renders it as text.
    end_evidence = stored_json.ObjectField(_("evidence"), default=dict, blank=True, editable=False)

    provider_session_id = models.CharField(_("provider’s ID"), max_length=200, null=True, blank=True)
    provider_duration_limit = models.DurationField(_("provider’s limit"), null=True, blank=True)
    is_paid = models.BooleanField(_("billed by the provider"), null=True, blank=True)
    # The room's name on our own LiveKit; empty if the room is the provider's.
    room = models.CharField(_("room"), max_length=80, blank=True)
    # The session of the same conversation that this one continues: after missing video, at the provider's limit, or at
    # the user's request.
    continues = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="continued_by", verbose_name=_("continues")
    )

    created_at = models.DateTimeField(_("created"), default=timezone.now)
    # When the provider created it, as far as the portal knows. Time and cost count from here, whatever browsers report.
    # Empty before that, and in older rows, which count from `created_at`.
    opened_at = models.DateTimeField(_("created at the provider"), null=True, blank=True)
    # With the first frame, or when the user continued with sound or text only.
    live_at = models.DateTimeField(_("live since"), null=True, blank=True)
    ends_at = models.DateTimeField(_("limit"), help_text=_("When the duration limit is reached."))
    limit_by = ChoiceField(_("effective duration limit"), max_length=10, choices=LimitBy, default=LimitBy.PERSONA)
    idle_limit_by = ChoiceField(_("effective idle limit"), max_length=10, choices=LimitBy, default=LimitBy.PERSONA)
    # When the stop was requested. The user's quota counts until then, the cost until the provider confirms.
    stop_requested_at = models.DateTimeField(_("stop requested"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    # The last sign of activity. Idle sessions write nothing.
    active_at = models.DateTimeField(_("last activity"), default=timezone.now)
    # Set when the last tab left, cleared when one returns.
    abandoned_at = models.DateTimeField(_("last tab closed"), null=True, blank=True)
    # Next time the worker must act on this row: a warning or a limit while it runs, a retry while it is stopping.
    # Stored so that one indexed query finds everything that is due.
    deadline_at = models.DateTimeField(_("next check"), null=True, blank=True)
    # Next time the worker reads the provider's record, after the end. Empty once it was read, or if there is none.
    record_due_at = models.DateTimeField(_("provider record due"), null=True, blank=True, editable=False)
    stop_attempts = models.PositiveIntegerField(_("stop attempts"), default=0)
    # Why the last attempt was not confirmed, in the format of `end_evidence`.
    stop_trouble = stored_json.ObjectField(_("not confirmed because"), default=dict, blank=True, editable=False)
    # What its record states: 1, texts and receipts; 2, every shown column; 3, its conversation, too
    # (`sessions.lifecycle.coverage`).
    record_format = models.PositiveSmallIntegerField(default=1, db_default=1, editable=False)
    # When it was added to the totals, soon after its end.
    booked_at = models.DateTimeField(_("added to totals"), null=True, blank=True, editable=False)

    wrapped_key: bytes | None  # of its speech, on rows that were read with it

    objects = StreamingSessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("session")
        verbose_name_plural = _("sessions")
        ordering = ("-created_at",)
        permissions = (
            ("start_streamingsession", gettext_noop("Can talk with an avatar")),
            ("stop_streamingsession", gettext_noop("Can stop any session")),
            ("observe_streamingsession", gettext_noop("Can observe any live session")),
        )
        indexes = (
            # For due(): a handful of open rows in a long history.
            models.Index("deadline_at", name="session_due", condition=~Q(status="ended")),
            models.Index(
                "record_due_at",
                name="session_record_due",
                condition=Q(status="ended", record_due_at__isnull=False),
            ),
            models.Index(fields=("user", "-created_at"), name="session_of_user"),
            models.Index(fields=("-created_at",), name="session_newest"),
            models.Index(fields=("account", "-created_at"), name="session_of_account"),
            # For what the totals do not have yet.
            models.Index(fields=("account", "created_at"), name="session_unbooked", condition=Q(booked_at=None)),
            # For staff's list: a rare reason must not be looked for through the whole history.
            models.Index(fields=("end_reason", "-created_at"), name="session_of_reason"),
            models.Index(fields=("provider_session_id",), name="session_at_provider"),
            # For what an upgrade has still to state.
            models.Index(fields=("id",), name="session_of_old_format", condition=Q(record_format__lt=3)),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(status="ended", deadline_at__isnull=True)
                | (~Q(status="ended") & Q(deadline_at__isnull=False)),
                name="open_session_has_deadline",
            ),
            models.CheckConstraint(
                condition=Q(status__in=("stopping", "ended")) ^ Q(end_reason=""), name="session_that_stops_has_reason"
            ),
            models.CheckConstraint(
                condition=Q(status="ended") ^ Q(ended_at__isnull=True), name="ended_session_has_moment"
            ),
            models.UniqueConstraint("account", "provider_session_id", name="provider_session_once"),
            models.UniqueConstraint("room", condition=~Q(room=""), name="own_room_once"),
            models.CheckConstraint(
                condition=Q(user__isnull=True) ^ Q(guest__isnull=True), name="session_of_user_or_guest"
            ),
            # A user and a guest have one running session at a time.
            models.UniqueConstraint(
                "user",
                condition=Q(status__in=("requested", "creating", "connecting", "live")),
                name="one_running_session_per_user",
            ),
            models.UniqueConstraint(
                "guest",
                condition=Q(status__in=("requested", "creating", "connecting", "live")),
                name="one_running_session_per_guest",
            ),
        )

    def __str__(self) -> str:
        return str(self.id)

    @property
    def started_with(self) -> PersonaSettings:
        """The persona's settings at the start. Raises DamagedSettings."""
        return PersonaSettings.of(self.persona_settings)

    @property
    def readable_settings(self) -> PersonaSettings | None:
        """The persona's settings at the start, or None if they are damaged."""
        try:
            return self.started_with
        except DamagedSettings:
            return None

    @property
    def idle_timeout(self) -> timedelta:
        """Time without activity after which the session ends."""
        return self.started_with.idle_timeout

    @property
    def own_limit_at(self) -> datetime:
        """When our own limit would end it if the provider's did not end it sooner."""
        return self.created_at + self.started_with.duration_limit

    @property
    def conversation_ends_at(self) -> datetime:
        """When time is up for the user.

        At the provider's limit the conversation continues in a new session if our own limit leaves enough time.
        """
        is_worth_it = self.own_limit_at - self.ends_at >= MIN_TIME_FOR_NEW_SESSION
        return self.own_limit_at if self.limit_by == LimitBy.PROVIDER and is_worth_it else self.ends_at

    @property
    def billed_from(self) -> datetime:
        """When time and cost start to count."""
        return self.opened_at or self.created_at

    @property
    def duration(self) -> timedelta | None:
        """Time open at the provider; None before the end or if it was never created."""
        if not self.ended_at or not self.provider_session_id:
            return None
        return max(self.ended_at - self.billed_from, timedelta(0))  # the provider's answer may come after the end


# The beginning of the reference of an answer's sentence. No page's reference has a colon.
ANSWER_REF = "answer:"
# The beginning of the reference of a text that the provider heard.
HEARD_REF = "heard:"


class SessionTask(Spoken):
    """One text sent to the avatar, exactly as sent, and its outcome."""

    class Kind(models.TextChoices):
        TALK = "talk", _("answers")
        REPEAT = "repeat", _("reads aloud")

    class Status(models.TextChoices):
        SENDING = "sending", _("being sent")
        SENT = "sent", _("sent")
        FAILED = "failed", _("failed")

    session = models.ForeignKey(StreamingSession, models.PROTECT, related_name="tasks", verbose_name=_("session"))
    kind = ChoiceField(_("kind"), max_length=10, choices=Kind)
    # Chosen by the page, so that it can safely repeat a text after a lost connection.
    ref = models.CharField(_("browser’s reference"), max_length=64, blank=True, editable=False)
    # Empty for the greeting, which the portal itself sends, and for a guest's text.
    sent_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("sent by")
    )
    status = ChoiceField(_("status"), max_length=10, choices=Status, default=Status.SENDING)
    provider_task_id = models.CharField(_("provider’s ID"), max_length=200, blank=True)
    failure = models.CharField(_("failure"), max_length=40, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    latency = models.DurationField(_("latency"), null=True, blank=True)

    objects: ClassVar[SpokenManager[Self]] = SpokenManager()

    line: Utterance | None  # the transcript line stored with it, on a task that was just accepted

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ("created_at", "pk")
        indexes = (
            models.Index("created_at", name="task_to_settle", condition=Q(status="sending")),
            # Partial: nearly every task is accepted, and transcripts ask for those that were not.
            models.Index("session", "created_at", name="task_not_sent", condition=~Q(status="sent")),
        )
        constraints = (
            models.CheckConstraint(condition=~Q(sealed=b""), name="task_has_text"),
            models.UniqueConstraint("session", "ref", condition=~Q(ref=""), name="task_once_per_ref"),
            models.CheckConstraint(condition=Q(status="failed") ^ Q(failure=""), name="failed_task_says_why"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def bound_to(self) -> str:
        return f"task {self.pk} {self.sent_by_id or '-'}"

    @property
    def is_greeting(self) -> bool:
        """Whether the portal itself sent it. A guest's text always has a reference."""
        return self.sent_by_id is None and not self.ref

    @property
    def is_of_answer(self) -> bool:
        """Whether it is a sentence of an answer by the organisation's own model."""
        return self.ref.startswith(ANSWER_REF)

    @property
    def is_heard(self) -> bool:
        """Whether the provider heard it, and nobody wrote it."""
        return self.ref.startswith(HEARD_REF)


class SessionEvent(models.Model):
    """One event of a session's record.

    Append-only: each row holds the hash of the one before it.
    """

    class Source(models.TextChoices):
        PORTAL = "portal", _("portal")
        BROWSER = "browser", _("browser")
        PROVIDER = "provider", _("provider")
        LIVEKIT = "livekit", "LiveKit"

    session = models.ForeignKey(StreamingSession, models.PROTECT, related_name="events", verbose_name=_("session"))
    number = models.PositiveIntegerField(_("number"))
    source = ChoiceField(_("source"), max_length=10, choices=Source)
    kind = models.CharField(_("kind"), max_length=40)
    data = stored_json.ObjectField(_("data"), default=dict)
    at = models.DateTimeField(_("time"), default=timezone.now)
    # Checksums of source, kind, data and at, which tell which one was changed. Empty in older rows.
    prints = models.CharField(max_length=40, default="", db_default="", editable=False)
    previous_hash = models.CharField(max_length=64, editable=False)
    hash = models.CharField(max_length=64, editable=False)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ("session", "number")
        constraints = (models.UniqueConstraint("session", "number", name="event_number_once_per_session"),)

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"


class Utterance(Spoken):
    """One line of the transcript."""

    class Who(models.TextChoices):
        AVATAR = "avatar", _("avatar")
        USER = "user", _("user")

    class By(models.TextChoices):
        VOICE = "voice", _("by voice")
        TEXT = "text", _("by text")

    session = models.ForeignKey(StreamingSession, models.PROTECT, related_name="utterances", verbose_name=_("session"))
    who = ChoiceField(_("who"), max_length=10, choices=Who)
    by = ChoiceField(_("input"), max_length=10, choices=By)
    # What the avatar was asked to do with the text. Empty for speech that the organisation's own model did not answer.
    kind = ChoiceField(_("kind"), max_length=10, choices=SessionTask.Kind, blank=True)
    is_interrupted = models.BooleanField(_("interrupted"), default=False)
    source = ChoiceField(_("source"), max_length=10, choices=SessionEvent.Source)
    provider_task_id = models.CharField(_("provider’s task"), max_length=200, blank=True)
    at = models.DateTimeField(_("time"), default=timezone.now)
    # `word_index.sign` of the line's rows in the word index. Empty in lines of earlier versions until
    # `rebuild_word_index` has read them, and in erased ones.
    words_signature = models.CharField(max_length=52, default="", db_default="", editable=False)

    # Set by `lifecycle.line_standing`:
    standing: str  # a `line_standing.Standing`
    is_unreported: bool  # only the provider's transcript has it
    interruption: str  # a `line_standing.Interruption`, or empty
    is_beginning: bool  # the provider's line begins with this reported one
    heard: str  # what a browser says it heard before the interruption, where the provider's text is complete

    # Set by `brain.record.with_sources` on sentences of answers:
    answer_to: str  # the reference of the text
    sources: list[dict[str, Any]]  # the passages that it cites

    objects: ClassVar[SpokenManager[Self]] = SpokenManager()

    class Meta:
        verbose_name = _("line")
        verbose_name_plural = _("lines")
        ordering = ("at", "pk")
        constraints = (
            # Several tabs may report the same line.
            models.UniqueConstraint(
                "session",
                "who",
                "provider_task_id",
                condition=~Q(provider_task_id=""),
                name="line_once_per_task",
            ),
        )

    def __str__(self) -> str:
        return f"{self.who} {self.pk}"

    @property
    def bound_to(self) -> str:
        return f"line {self.pk} {self.who}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the line and add a new one to the word index."""
        is_new = self._state.adding
        with transaction.atomic(savepoint=False):
            marks = sign_words(self) if is_new else []
            super().save(*args, **kwargs)
            SpokenWord.objects.bulk_create(SpokenWord(utterance=self, mark=mark) for mark in marks)


class Answer(models.Model):
    """How one text, typed or heard, was answered, and on what the answer rests.

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
