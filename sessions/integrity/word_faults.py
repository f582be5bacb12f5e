"""Verification of the word index against the signature that each line has of its marks.

No text is decrypted, except those of lines whose marks do not match and of lines of earlier versions without marks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from heygen_portal.trail.raw_values import AsText
from sessions.integrity.fault import Fault, FaultKind
from sessions.integrity.scope import MAX_FAULTS, CheckCounts, MemoryLimits
from sessions.lifecycle.coverage import LINE
from sessions.models import SpeechKey, SpokenWord, Utterance, word_index
from sessions.models.speech import UNREADABLE_ERRORS
from sessions.speech import search as speech_search
from sessions.speech import word_coverage

SIGNATURE = "words_signature"
# Named in place of a column, because the words are rows of another table.
WORDS = "words"
# One more than a line can have.
MAX_READ_MARKS = word_index.MAX_MARKS_PER_LINE + 1


def faults(counts: CheckCounts, limits: MemoryLimits) -> Iterator[Fault]:
    """Yield the first lines whose words in the index, or whose signature of them, were changed."""
    yield from islice(_faults(counts, limits), MAX_FAULTS)


def _faults(counts: CheckCounts, limits: MemoryLimits) -> Iterator[Fault]:
    rules = _Rules(word_coverage.first_signed_line(), frozenset(speech_search.keys_in_use()))
    for lines in _batches(limits):
        for line, marks in _with_marks(lines, limits):
            counts.rows["word"] += len(marks)
            if rules.is_unsigned(line):
                counts.unstated[f"{LINE.name}.{SIGNATURE}"] += 1
            if not rules.is_intact(line, marks) and (fault := _fault_of(line.pk, rules, limits)):
                yield fault


class _Line(NamedTuple):
    pk: int
    signature: Any  # tampering may have left any value
    receipt: str | None  # key of the erasure receipt


@dataclass(frozen=True)
class _Rules:
    """What is expected of lines, depending on the earlier version and the keys that may have indexed them."""

    first_signed_line: int | None
    key_ids: Collection[str]

    def is_unsigned(self, line: _Line) -> bool:
        """Whether an earlier version stored the line and `rebuild_word_index` has not passed it."""
        is_early = self.first_signed_line is None or line.pk < self.first_signed_line
        return is_early and line.signature == "" and not line.receipt

    def is_intact(self, line: _Line, marks: list[Any]) -> bool:
        """Whether the marks of a line need no closer look."""
        if line.receipt:
            return line.signature == "" and not marks
        if self.is_unsigned(line):
            return bool(marks)
        return self.is_signed(line, marks) and line.signature.partition(".")[0] in self.key_ids

    @staticmethod
    def is_signed(line: _Line, marks: list[Any]) -> bool:
        return isinstance(line.signature, str) and word_index.is_signed(line.signature, line.pk, marks)


def _batches(limits: MemoryLimits) -> Iterator[list[_Line]]:
    """Yield all lines in the order in which they were stored."""
    rows = Utterance._base_manager.all()
    lines = _read_lines(rows, limits.batch_rows)
    while lines:
        yield lines
        lines = _read_lines(rows.filter(pk__gt=lines[-1].pk), limits.batch_rows)


def _read_lines(rows: QuerySet[Any], most: int) -> list[_Line]:
    columns = rows.order_by("pk").values_list("pk", SIGNATURE, AsText("session__erasure__pk"))
    return [_Line._make(row) for row in columns[:most]]


def _with_marks(lines: list[_Line], limits: MemoryLimits) -> Iterator[tuple[_Line, list[Any]]]:
    """Yield each of these successive lines with its sorted marks, of which at most `MAX_READ_MARKS` are read."""
    found = _marks_between(lines[0].pk, lines[-1].pk, limits) if lines else iter(())
    pk, marks = next(found, (None, []))
    for line in lines:
        while pk is not None and pk < line.pk:  # the line was deleted
            pk, marks = next(found, (None, []))
        yield line, marks if pk == line.pk else []


def _marks_between(first: int, last: int, limits: MemoryLimits) -> Iterator[tuple[int | None, list[Any]]]:
    rows = SpokenWord.objects.filter(utterance__gte=first, utterance__lte=last).order_by("utterance_id")
    stored: Iterable[tuple[int, Any]] = rows.values_list("utterance_id", "mark").iterator(chunk_size=limits.batch_rows)
    for pk, group in groupby(stored, itemgetter(0)):
        marks = [mark for _pk, mark in islice(group, MAX_READ_MARKS)]
        yield pk, sorted(marks, key=_sort_key)


def _sort_key(mark: Any) -> int:
    return mark if isinstance(mark, int) else 0  # tampering may have left any value


def _fault_of(pk: int, rules: _Rules, limits: MemoryLimits) -> Fault | None:
    """Read a line and its marks again, with the key locked; return what is wrong."""
    with transaction.atomic(), suppress(TypeError, ValueError):  # an invalid column of the line is another's fault
        # An erasure and a rebuild lock the key before they change marks.
        held = SpeechKey.objects.filter(session__utterances=pk).select_for_update(of=("self",))
        list(held.values_list(AsText("pk")))
        for line, marks in _with_marks(_read_lines(Utterance._base_manager.filter(pk=pk), 1), limits):
            if not rules.is_intact(line, marks):
                return _describe(line, marks, rules)
    return None


def _describe(line: _Line, marks: list[Any], rules: _Rules) -> Fault | None:
    rows = Utterance.objects.select_related("session")
    row = rows.only("session__user", "who", "sealed", "seal_format").get(pk=line.pk)

    def fault(kind: FaultKind, column: str = WORDS) -> Fault:
        return Fault(kind, str(row.session_id), table=LINE.name, row=LINE.key(line.pk), column=column)

    if line.receipt:
        return fault("words_kept") if marks else fault("row_changed", SIGNATURE)
    try:
        text = row.text if row.wrapped_key else None
    except UNREADABLE_ERRORS:  # a fault of its own
        text = None
    if text is None:  # `rebuild_word_index` leaves such lines as they are
        return fault("misindexed") if line.signature and not rules.is_signed(line, marks) else None
    if rules.is_unsigned(line):
        return fault("unindexed") if any(word_index.words(text)) else None
    # Each key makes other marks. The closest ones show what was changed.
    possible = [
        word_index.marks_of_line(row.session.user_id or word_index.GUESTS, text, key_id) for key_id in rules.key_ids
    ]
    if marks in possible:
        return fault("row_changed", SIGNATURE)
    lost = min((set(expected) - set(marks) for expected in possible), key=len)
    return fault("unindexed") if lost else fault("misindexed")
