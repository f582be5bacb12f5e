"""Documents of the organisation from which personas answer, their passages, and answers that staff wrote."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from encrypted_fields.fields import EncryptedTextField

from avatars.models.languages import LanguageField
from heygen_portal.models import DEFAULT_ORGANISATION, Organisation
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.text.model_fields import ChoiceField, LimitedCharField, LimitedTextField

MAX_TITLE_CHARACTERS = 200
MAX_ANSWER_CHARACTERS = 1000
MAX_WORD_CHARACTERS = 32
# A file whose reading made no progress for so long was lost with its worker.
READER_TIMEOUT = timedelta(minutes=10)


class Library(models.Model):
    """A named set of documents.

    Each change of what can be found raises `version`. A session searches the version with which it began.
    """

    organisation = models.ForeignKey(
        Organisation,
        models.PROTECT,
        default=DEFAULT_ORGANISATION,
        editable=False,
        related_name="libraries",
        verbose_name=_("organisation"),
    )
    name = LimitedCharField(_("name"), max_characters=80, unique=True)
    language = LanguageField(
        _("language"),
        max_length=5,
        default="es",
        help_text=_("Of documents whose own language cannot be told from their text."),
    )
    version = models.PositiveIntegerField(_("version"), default=0, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("library")
        verbose_name_plural = _("libraries")
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Document(models.Model):
    """One document of a library. Withdrawn, it keeps its title and fingerprints, and no text."""

    class Kind(models.TextChoices):
        FILE = "file", _("file")
        WEB = "web", _("web page")

    library = models.ForeignKey(Library, models.PROTECT, related_name="documents", verbose_name=_("library"))
    title = LimitedCharField(_("title"), max_characters=MAX_TITLE_CHARACTERS)
    kind = ChoiceField(_("kind"), max_length=10, choices=Kind, default=Kind.FILE)
    # The address of a web page.
    source = models.CharField(_("source"), max_length=1000, blank=True)
    created_at = models.DateTimeField(_("added"), default=timezone.now)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("added by")
    )
    withdrawn_at = models.DateTimeField(pgettext_lazy("document", "withdrawn"), null=True, blank=True)

    class Meta:
        verbose_name = _("document")
        verbose_name_plural = _("documents")
        ordering = ("title", "pk")
        default_permissions = ()

    def __str__(self) -> str:
        return self.title


class DocumentVersion(models.Model):
    """One file or fetched page as it was read. `avatars.documents.intake` changes its state."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waiting for the worker")
        READING = "reading", _("being read")
        READY = "ready", _("ready")
        FAILED = "failed", _("not readable")
        WITHDRAWN = "withdrawn", pgettext_lazy("document", "withdrawn")

    class Failure(models.TextChoices):
        UNSUPPORTED = "unsupported", _("This kind of file cannot be read.")
        DAMAGED = "damaged", _("The file is damaged or not what its name says.")
        ENCRYPTED = "encrypted", _("The file is protected by a password.")
        EMPTY = "empty", _("No text was found. A scan has to be recognised before it is uploaded.")
        TOO_LARGE = "too_large", _("It has too many pages or too much text. Split it.")
        TOO_LONG = "too_long", _("Reading it took too long or too much memory.")
        LOST = "lost", _("The worker stopped while reading it. Upload it again.")

    document = models.ForeignKey(Document, models.PROTECT, related_name="versions", verbose_name=_("document"))
    number = models.PositiveIntegerField(_("version"))
    file_name = models.CharField(_("file"), max_length=255, blank=True)
    # Until it has been read.
    file = models.FileField(upload_to="documents/", max_length=200, blank=True, editable=False)
    size = models.PositiveBigIntegerField(_("bytes"), default=0)
    # SHA-256 of the bytes.
    fingerprint = models.CharField(_("fingerprint"), max_length=64)
    state = ChoiceField(_("status"), max_length=10, choices=State, default=State.WAITING)
    failure = ChoiceField(_("reason"), max_length=20, choices=Failure, blank=True)
    # Time of the latest progress.
    moved_at = models.DateTimeField(default=timezone.now, editable=False)
    added_at = models.DateTimeField(_("added"), default=timezone.now)
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("added by")
    )
    language = models.CharField(_("language"), max_length=5, blank=True)
    pages = models.PositiveIntegerField(_("pages"), default=0)
    # Pages without readable text: [{"page": 7, "reason": "scan"}].
    unread = stored_json.ListField(_("pages not read"), default=list, blank=True)
    chunk_count = models.PositiveIntegerField(_("passages"), default=0)
    # SHA-256 of the fingerprints of its chunks, one per line.
    chunks_fingerprint = models.CharField(max_length=64, blank=True)
    # The versions of the library in which it is found: from the first up to, but not with, the second.
    from_version = models.PositiveIntegerField(_("in the library since version"), null=True, blank=True)
    until_version = models.PositiveIntegerField(_("until version"), null=True, blank=True)

    class Meta:
        verbose_name = _("document version")
        verbose_name_plural = _("document versions")
        ordering = ("document", "-number")
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(fields=("document", "number"), name="document_version_once"),
            models.UniqueConstraint(
                fields=("document",),
                condition=Q(from_version__isnull=False, until_version=None),
                name="one_current_document_version",
            ),
            models.CheckConstraint(
                condition=Q(until_version=None) | Q(until_version__gt=F("from_version")),
                name="document_version_ends_after_it_begins",
            ),
        )
        indexes = (models.Index("moved_at", name="document_to_read", condition=Q(state__in=("waiting", "reading"))),)

    def __str__(self) -> str:
        return f"{self.document} {self.number}"

    @property
    def is_under_way(self) -> bool:
        return self.state in (self.State.WAITING, self.State.READING)


class Chunk(models.Model):
    """One passage of a document version. Once the document is withdrawn it has no text."""

    version = models.ForeignKey(DocumentVersion, models.PROTECT, related_name="chunks", verbose_name=_("version"))
    ordinal = models.PositiveIntegerField(_("number"))
    # The headings above it, from the top.
    heading = models.TextField(_("heading"), blank=True)
    page = models.PositiveIntegerField(_("page"), null=True, blank=True)
    anchor = models.CharField(_("anchor"), max_length=200, blank=True)
    text = models.TextField(_("text"), blank=True)
    # Stems of its title, headings and text, separated by spaces: `avatars.documents.words`.
    words = models.TextField(blank=True, editable=False)
    # SHA-256 of the text.
    fingerprint = models.CharField(_("fingerprint"), max_length=64, db_index=True)

    class Meta:
        verbose_name = _("passage")
        verbose_name_plural = _("passages")
        ordering = ("version", "ordinal")
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=("version", "ordinal"), name="chunk_once"),)

    def __str__(self) -> str:
        return f"{self.version_id}/{self.ordinal}"


class LibraryWord(models.Model):
    """In how many passages of a library a word is: rare words say more."""

    library = models.ForeignKey(Library, models.CASCADE, related_name="+", db_index=False)
    word = models.CharField(max_length=MAX_WORD_CHARACTERS)
    chunks = models.PositiveIntegerField()

    class Meta:
        verbose_name = _("word of a library")
        verbose_name_plural = _("words of libraries")
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=("library", "word"), name="library_word_once"),)

    def __str__(self) -> str:
        return self.word


class WrittenAnswer(models.Model):
    """An answer by staff. It is spoken word for word, before anything is searched."""

    library = models.ForeignKey(Library, models.PROTECT, related_name="written_answers", verbose_name=_("library"))
    language = LanguageField(_("language"), max_length=5, default="es")
    # Ways to ask it.
    wordings = stored_json.ListField(_("questions"), default=list)
    answer = LimitedTextField(_("answer"), max_characters=MAX_ANSWER_CHARACTERS)
    # The passage on which it rests.
    chunk = models.ForeignKey(
        Chunk, models.SET_NULL, null=True, blank=True, editable=False, related_name="+", verbose_name=_("passage")
    )
    saved_at = models.DateTimeField(_("saved"), default=timezone.now, editable=False)
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("saved by"),
    )

    class Meta:
        verbose_name = _("written answer")
        verbose_name_plural = _("written answers")
        ordering = ("library", "pk")
        default_permissions = ()

    def __str__(self) -> str:
        first: Any = next(iter(self.wordings), "")
        return first if isinstance(first, str) else f"#{self.pk}"


class UnansweredQuestion(models.Model):
    """A question for which nothing was found, and how often it was asked.

    The wording is speech of one session: encrypted, and erased with that session's. Then the count stays.
    """

    library = models.ForeignKey(Library, models.CASCADE, related_name="unanswered", verbose_name=_("library"))
    # Keyed hash of its words, by which equal questions are counted together.
    mark = models.CharField(max_length=64, editable=False)
    wording = EncryptedTextField(_("question"), editable=False, null=True)
    # The session with this wording. Without a wording there is none.
    asked_in = models.UUIDField(null=True, editable=False, db_index=True)
    language = models.CharField(_("language"), max_length=5, blank=True)
    times = models.PositiveIntegerField(_("times asked"), default=1)
    first_asked_at = models.DateTimeField(_("first asked"), default=timezone.now)
    last_asked_at = models.DateTimeField(_("last asked"), default=timezone.now)
    # The best passage, which was not good enough.
    closest = models.ForeignKey(Chunk, models.SET_NULL, null=True, related_name="+", verbose_name=_("closest passage"))
    closest_score = models.FloatField(_("match"), default=0)
    # Set by staff: written an answer, or not our topic.
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)

    class Meta:
        verbose_name = _("unanswered question")
        verbose_name_plural = _("unanswered questions")
        ordering = ("-times", "-last_asked_at")
        default_permissions = ()
        constraints = (models.UniqueConstraint(fields=("library", "mark"), name="unanswered_question_once"),)
        indexes = (models.Index("last_asked_at", name="unanswered_question_age"),)

    def __str__(self) -> str:
        return f"#{self.pk}"
