"""Stored speech: encrypted per session, indexed by marks of its words.

Without the session's key it is unreadable.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar, cast
from uuid import UUID

from cryptography.exceptions import InvalidTag
from django.core.exceptions import FieldError
from django.db import connection, models
from django.db.models import F, Lookup, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.runtime.generics import AnyTextField
from heygen_portal.trail.raw_values import blob
from sessions.models import speech_encryption, word_index

FORMAT_BOUND_TO_ROW = 2  # texts that are bound to their row and speaker
# Raised by reading a text that is damaged or whose key is. Text in place of bytes is a TypeError.
UNREADABLE_ERRORS = (InvalidTag, TypeError, ValueError)


class SpeechErased(Exception):
    """The session's speech was erased, so nothing can be added to it."""


class SpeechKey(models.Model):
    """The key of one session's speech, wrapped with the portal's.

    Erasure empties it and keeps the row.
    """

    session = models.OneToOneField(
        "StreamingSession",
        models.PROTECT,
        primary_key=True,
        related_name="speech_key",
        verbose_name=_("session"),
    )
    wrapped = models.BinaryField()
    erased_at = models.DateTimeField(_("erased"), null=True, blank=True)

    class Meta:
        verbose_name = _("encryption key of the text")
        verbose_name_plural = _("encryption keys of texts")
        constraints = (
            models.CheckConstraint(condition=Q(wrapped=b"") ^ Q(erased_at=None), name="speech_key_or_erased"),
        )

    def __str__(self) -> str:
        return str(self.session_id)

    @classmethod
    def wrapped_for(cls, session_id: UUID) -> bytes:
        """Return the session's wrapped key, creating it for the first text.

        In a transaction, the session's row stays locked until it ends: an erasure locks it too, so it waits for the
        text to be stored, and erases it. Whoever stores a text must therefore set it in the transaction that stores
        it. Raises SpeechErased.
        """
        if connection.in_atomic_block:
            session: Any = cls._meta.get_field("session")
            rows = session.related_model._base_manager.filter(pk=session_id)
            # Concurrent inserts may still refer to the session.
            rows.select_for_update(no_key=True).values_list("pk").first()
        # Looked up first, because get_or_create would create a key for each text.
        row = cls.objects.filter(session_id=session_id).first()
        if row is None:
            row, _is_new = cls.objects.get_or_create(
                session_id=session_id, defaults={"wrapped": speech_encryption.new_key(session_id)}
            )
        if not row.wrapped:
            raise SpeechErased
        return bytes(row.wrapped)


Row = TypeVar("Row", bound="Spoken")


class SpokenManager(models.Manager[Row]):
    def get_queryset(self) -> models.QuerySet[Row]:
        """Annotate rows with their session's key: many texts are read in one query."""
        rows: Any = super().get_queryset().annotate(wrapped_key=F("session__speech_key__wrapped"))
        return cast("models.QuerySet[Row]", rows)


class _DecryptedText:
    """Descriptor of `text`: decrypts and encrypts it with the session's key."""

    def __get__(self, row: Spoken | None, owner: type[Spoken]) -> Any:
        if row is None:
            return self
        wrapped = row.wrapped_session_key()
        if not wrapped or not row.sealed:
            return ""
        bound_to = row.bound_to if row.seal_format >= FORMAT_BOUND_TO_ROW else ""
        # Tampering may have left a number, and `bytes` of a large one would exhaust memory.
        return speech_encryption.decrypt(blob(wrapped), row.session_id, blob(row.sealed), bound_to)

    def __set__(self, row: Spoken, text: str) -> None:
        row.encrypt(text, SpeechKey.wrapped_for(row.session_id))


class SpokenText(AnyTextField):
    """A field without a column; its value is stored in `sealed`.

    It cannot be used in queries.
    """

    def get_attname_column(self) -> tuple[str, None]:  # Django's way to say "virtual"
        return self.get_attname(), None

    def get_col(self, alias: str, output_field: Any = None) -> Any:
        raise FieldError("Stored speech is encrypted: read .text of rows, and search with sessions.speech.")

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only=True)
        setattr(cls, name, _DecryptedText())


class Spoken(models.Model):
    """A row with encrypted speech."""

    session_id: UUID
    wrapped_key: bytes | None
    sealed = models.BinaryField(_("text"), editable=False)
    # What the ciphertext is bound to: 1, its session; 2, its row and speaker, too.
    seal_format = models.PositiveSmallIntegerField(default=1, db_default=1, editable=False)
    # What was said; an empty string once it has been erased. Writing it raises SpeechErased then.
    text = SpokenText(_("text"), editable=False)

    class Meta:
        abstract = True

    def encrypt(self, text: str, wrapped_key: bytes) -> None:
        """Set the text, given the session's wrapped key.

        A new row gets its primary key now.
        """
        if self.pk is None:
            self.pk = next_primary_key(type(self))
        self.wrapped_key, self.seal_format = wrapped_key, FORMAT_BOUND_TO_ROW
        self.sealed = speech_encryption.encrypt(wrapped_key, self.session_id, text, self.bound_to) if text else b""

    @property
    def bound_to(self) -> str:
        """Identifies row and speaker: the ciphertext cannot be decrypted in another row."""
        raise NotImplementedError

    def wrapped_session_key(self) -> bytes | None:
        """Return the wrapped key from this row's query or a new one.

        Empty or None once it was destroyed.
        """
        if "wrapped_key" not in vars(self):
            row = SpeechKey.objects.filter(session_id=self.session_id).first()
            self.wrapped_key = blob(row.wrapped) if row else None
        return self.wrapped_key

    @property
    def is_readable(self) -> bool:
        """Whether `text` can be decrypted."""
        try:
            _ = self.text
        except UNREADABLE_ERRORS:
            return False
        return True

    @property
    def shown(self) -> str:
        """The text for a reader, or a placeholder if it cannot be decrypted.

        The rest of a transcript stays readable.
        """
        try:
            return str(self.text)
        except UNREADABLE_ERRORS:
            return gettext("[This text could not be decrypted.]")

    @property
    def fingerprint(self) -> str:
        """The hash of the text that the chained record contains."""
        return speech_encryption.fingerprint(bytes(self.sealed))


def next_primary_key(model: type[models.Model]) -> int:
    """Reserve the next primary key, for a row whose text is encrypted before storing."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id'))", [table])
        else:
            cursor.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = %s RETURNING seq", [table])
        if row := cursor.fetchone():
            return int(row[0])
        cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (%s, 1)", [table])
    return 1


class SpokenWord(models.Model):
    """The mark of a line's word or of its first letters.

    Only this portal can compute it. Deleted with the text.
    """

    utterance = models.ForeignKey("Utterance", models.CASCADE, related_name="words")
    mark = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint("mark", "utterance", name="word_once_per_line"),)

    def __str__(self) -> str:
        return str(self.pk)


class WordIndexRebuild(models.Model):
    """Progress of rebuilding the word index with a key.

    Each batch of `rebuild_word_index` advances it. A new portal has one row without a key ID, because none of its
    lines needs a rebuild.
    """

    NONE_FROM_BEFORE = ""

    key_id = models.CharField(max_length=8, primary_key=True)
    # `word_index.FORMAT` of the index.
    format = models.PositiveSmallIntegerField(default=1, db_default=1)
    last_line = models.BigIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("word index rebuild")
        verbose_name_plural = _("word index rebuilds")

    def __str__(self) -> str:
        return self.key_id


def sign_words(line: Any) -> list[int]:
    """Set the signature of an utterance's marks, and return the marks.

    Erased speech has neither. A new line has had its primary key since its text was set.
    """
    marks = word_index.marks_of_line(line.session.user_id or word_index.GUESTS, line.text)
    line.words_signature = word_index.sign(line.pk, marks) if line.wrapped_session_key() else ""
    return marks


@models.BigIntegerField.register_lookup
class AnyOf(Lookup):
    """Lookup `mark__any_of`: like `in`, but with one parameter for the whole list.

    The list may have thousands of values.
    """

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        lhs, params = self.process_lhs(compiler, connection)
        return f"{lhs} IN (SELECT value FROM json_each(%s))", (*params, json.dumps(self.rhs))

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        lhs, params = self.process_lhs(compiler, connection)
        return f"{lhs} = ANY(%s)", (*params, list(self.rhs))
