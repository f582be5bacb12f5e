"""What people said: sealed with their session's key, found by marks of its words, gone for good without the key."""

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
from sessions.models import sealing, word_index

BOUND = 2
"""The format of sealed texts that are bound to their row and speaker."""


class SpeechErased(Exception):
    """The session's speech was erased; nothing can be added to it."""


class SpeechKey(models.Model):
    """The key of one session's speech, wrapped with the portal's. Erasing empties it and keeps the row."""

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
        """Return the session's wrapped key; the first text makes it. Raises SpeechErased."""
        # Looked for first: get_or_create would build a key for each text, only to throw it away.
        row = cls.objects.filter(session_id=session_id).first()
        if row is None:
            row, _is_new = cls.objects.get_or_create(
                session_id=session_id, defaults={"wrapped": sealing.new_key(session_id)}
            )
        if not row.wrapped:
            raise SpeechErased
        return bytes(row.wrapped)


Row = TypeVar("Row", bound="Spoken")


class SpokenManager(models.Manager[Row]):
    def get_queryset(self) -> models.QuerySet[Row]:
        """Rows that carry their session's key, so that reading a hundred texts is one query."""
        rows: Any = super().get_queryset().annotate(wrapped_key=F("session__speech_key__wrapped"))
        return cast("models.QuerySet[Row]", rows)


class _Sealed:
    """Reads and writes `text` through the session's key."""

    def __get__(self, row: Spoken | None, owner: type[Spoken]) -> Any:
        if row is None:
            return self
        wrapped = row.find_key()
        if not wrapped or not row.sealed:
            return ""
        bound_to = row.bound_to if row.seal_format >= BOUND else ""
        return sealing.unseal(wrapped, row.session_id, bytes(row.sealed), bound_to)

    def __set__(self, row: Spoken, text: str) -> None:
        row.seal(text, SpeechKey.wrapped_for(row.session_id))


class SpokenText(AnyTextField):
    """A field without a column: what it holds is in `sealed`. It cannot be asked of the database."""

    def get_attname_column(self) -> tuple[str, None]:  # Django's way to say "virtual"
        return self.get_attname(), None

    def get_col(self, alias: str, output_field: Any = None) -> Any:
        raise FieldError("What was said is sealed: read .text of rows, and search with sessions.speech.")

    def contribute_to_class(self, cls: type[models.Model], name: str, private_only: bool = False) -> None:
        super().contribute_to_class(cls, name, private_only=True)
        setattr(cls, name, _Sealed())


class Spoken(models.Model):
    """A row with speech in it."""

    session_id: UUID
    wrapped_key: bytes | None
    sealed = models.BinaryField(_("text"), editable=False)
    # What the sealed text is bound to: 1, its session; 2, its row and speaker too.
    seal_format = models.PositiveSmallIntegerField(default=1, db_default=1, editable=False)
    # What was said; an empty string once it has been erased. Writing it raises SpeechErased then.
    text = SpokenText(_("text"), editable=False)

    class Meta:
        abstract = True

    def seal(self, text: str, wrapped_key: bytes) -> None:
        """Set the text, for who has the session's wrapped key at hand; a new row gets its key now."""
        if self.pk is None:
            self.pk = next_key(type(self))
        self.wrapped_key, self.seal_format = wrapped_key, BOUND
        self.sealed = sealing.seal(wrapped_key, self.session_id, text, self.bound_to) if text else b""

    @property
    def bound_to(self) -> str:
        """Which row's and whose text it is: sealed, it reads as nothing in another row's place."""
        raise NotImplementedError

    def find_key(self) -> bytes | None:
        """Return the wrapped key, of this row's query or asked for now; nothing once it has been destroyed."""
        if "wrapped_key" not in vars(self):
            row = SpeechKey.objects.filter(session_id=self.session_id).first()
            self.wrapped_key = bytes(row.wrapped) if row else None
        return self.wrapped_key

    @property
    def is_readable(self) -> bool:
        """Whether `text` can be opened."""
        try:
            _ = self.text
        except (InvalidTag, TypeError, ValueError):
            return False
        return True

    @property
    def shown(self) -> str:
        """The text for a reader; where no key of ours opens it, words that say so: the rest is still to be read."""
        try:
            return str(self.text)
        except (InvalidTag, TypeError, ValueError):  # text in place of bytes is a TypeError
            return gettext("[This text could not be decrypted.]")

    @property
    def fingerprint(self) -> str:
        """What the chained record keeps of the text."""
        return sealing.fingerprint(bytes(self.sealed))


def next_key(model: type[models.Model]) -> int:
    """Take the next key of a table, for a row whose text is sealed before it is stored."""
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
    """One word of a line, or its first letters, as a mark that only this portal can make. Deleted with the text."""

    utterance = models.ForeignKey("Utterance", models.CASCADE, related_name="words")
    mark = models.BigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint("mark", "utterance", name="word_once_per_line"),)

    def __str__(self) -> str:
        return str(self.pk)


class WordIndexRebuild(models.Model):
    """How far the word index has been made again with a key: each of `rebuild_word_index`'s batches moves it on.

    A new portal has one row for no key: none of its lines is from a version that marked words in another way.
    """

    NONE_FROM_BEFORE = ""

    key_id = models.CharField(max_length=8, primary_key=True)
    last_line = models.BigIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = _("word index rebuild")
        verbose_name_plural = _("word index rebuilds")

    def __str__(self) -> str:
        return self.key_id


def words_of(line: Any) -> list[SpokenWord]:
    """Return the rows by which an utterance is found."""
    marks = word_index.of_line(line.session.user_id, line.text)
    return [SpokenWord(utterance=line, mark=mark) for mark in marks]


@models.BigIntegerField.register_lookup
class AnyOf(Lookup):
    """`mark__any_of`: one parameter for a list of thousands, each of which `in` would put into the statement."""

    lookup_name = "any_of"
    prepare_rhs = False

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        lhs, params = self.process_lhs(compiler, connection)
        return f"{lhs} IN (SELECT value FROM json_each(%s))", (*params, json.dumps(self.rhs))

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        lhs, params = self.process_lhs(compiler, connection)
        return f"{lhs} = ANY(%s)", (*params, list(self.rhs))
