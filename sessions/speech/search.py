"""Search for stored speech by its words.

The texts themselves are read as `.text` of their rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from heygen_portal.trail import signing
from sessions.models import SpeechKey, SpokenWord, Utterance, WordIndexRebuild, word_index
from sessions.models.speech import UNREADABLE_ERRORS, sign_words
from sessions.speech import word_coverage

# Lines with a word that are looked up first. Given thousands of marks, the database cannot estimate how few lines
# match, and would read all sessions. With more lines than this, reading the newest sessions soon finds enough.
MAX_RESOLVED_LINES = 20_000
# Lines of one transaction.
REBUILD_BATCH_LINES = 200


def matching(lines: QuerySet[Utterance], query: str, *, people: Iterable[int] | None = None) -> QuerySet[Utterance]:
    """Return the lines that contain all words of the query.

    Case and accents are ignored.

    Words also match by their first letters, at least three. `people` are the users whose sessions the lines belong
    to; without it, the keys of all users and of the guests are tried.
    """
    words = word_index.search_words(query)
    if not words:
        return lines.none()
    user_ids = list(people if people is not None else [word_index.GUESTS, *User.objects.values_list("pk", flat=True)])
    key_ids, candidates = keys_in_use(), None
    for word in words:
        rows = SpokenWord.objects.filter(mark__any_of=word_index.marks_of_query(word, user_ids, key_ids))
        if candidates is not None:
            rows = rows.filter(utterance__in=Utterance.objects.filter(pk__any_of=candidates).values("pk"))
        found = list(rows.values_list("utterance", flat=True)[: MAX_RESOLVED_LINES + 1])
        if len(found) <= MAX_RESOLVED_LINES:
            candidates = list(dict.fromkeys(found))
        else:
            lines = lines.filter(pk__in=rows.values("utterance"))
    return lines if candidates is None else lines.filter(pk__any_of=candidates)


def index(lines: Iterable[Utterance]) -> None:
    """Index lines stored with bulk_create.

    Lines stored one by one are indexed when saved.
    """
    with transaction.atomic():
        _store({line: sign_words(line) for line in lines})


def rebuild_batch() -> int:
    """Index the next lines with the current keys.

    Returns how many, or 0 once all are indexed.

    Lines are indexed in the order in which they were stored, and each batch stores its progress: an interrupted
    rebuild continues there, and concurrent rebuilds take turns. Unreadable lines keep their marks. Once all are
    indexed, the audit log states that every line is signed.
    """
    current = signing.key_id()
    with transaction.atomic():
        WordIndexRebuild.objects.exclude(key_id=current).delete()  # they do not cover lines stored since
        WordIndexRebuild.objects.get_or_create(key_id=current, defaults={"format": word_index.FORMAT})
        state = WordIndexRebuild.objects.select_for_update().get(key_id=current)
        if state.format != word_index.FORMAT:  # covers words of an earlier version
            state.format, state.last_line, state.finished_at = word_index.FORMAT, 0, None
        later = Utterance.objects.filter(pk__gt=state.last_line).order_by("pk")
        pks = [] if state.finished_at else list(later.values_list("pk", flat=True)[:REBUILD_BATCH_LINES])
        if pks:
            _reindex(pks)
            state.last_line = pks[-1]
        elif not state.finished_at:
            state.finished_at = timezone.now()
            word_coverage.state_all_lines()
        state.save()
    return len(pks)


def restart_rebuild() -> None:
    """Let `rebuild_batch` start from the first line again."""
    WordIndexRebuild.objects.all().delete()


def left_to_rebuild() -> int:
    """Return how many lines may still have marks of an earlier version or key."""
    current, *retired = signing.keys(word_index.PURPOSE)
    states = WordIndexRebuild.objects.filter(format=word_index.FORMAT).in_bulk(
        [current, WordIndexRebuild.NONE_FROM_BEFORE]
    )
    state = states.get(current)
    if state and state.finished_at:
        return 0
    if WordIndexRebuild.NONE_FROM_BEFORE in states and not retired:
        return 0  # a new portal: all marks were made with its only key
    return Utterance.objects.filter(pk__gt=state.last_line if state else 0).order_by().count()


def _reindex(pks: list[int]) -> None:
    # Locked first: an erasure destroys the key and then deletes the words. It waits, and deletes those made here too.
    sessions = Utterance.objects.filter(pk__in=pks).order_by().values("session")
    list(SpeechKey.objects.select_for_update().filter(pk__in=sessions).order_by("pk").values_list("pk"))
    found: dict[Utterance, list[int]] = {}
    for line in Utterance.objects.filter(pk__in=pks).select_related("session"):
        if line.wrapped_key is None:
            continue  # its key was deleted, and not by an erasure
        with suppress(*UNREADABLE_ERRORS):
            found[line] = sign_words(line)
    _store(found)


def _store(marks_by_line: dict[Utterance, list[int]]) -> None:
    """Replace the marks of lines, and store the signatures."""
    SpokenWord.objects.filter(utterance__in=[line.pk for line in marks_by_line]).delete()
    rows = [SpokenWord(utterance=line, mark=mark) for line, marks in marks_by_line.items() for mark in marks]
    SpokenWord.objects.bulk_create(rows, batch_size=5000)
    Utterance._base_manager.bulk_update(marks_by_line, ["words_signature"])


def keys_in_use() -> list[str]:
    """Return the IDs of the keys with which marks may have been made."""
    current, *retired = signing.keys(word_index.PURPOSE)
    if retired and WordIndexRebuild.objects.filter(key_id=current, finished_at__isnull=False).exists():
        return [current]
    return [current, *retired]
