"""Speech that is stored: found by its words. Texts themselves are read as `.text` of their rows."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from heygen_portal.trail import signing
from sessions.models import SpeechKey, SpokenWord, Utterance, WordIndexRebuild, word_index
from sessions.models.speech import words_of

MAX_RESOLVED_LINES = 20_000
"""Lines with a word that are looked up first. From thousands of marks the database cannot tell how few these are, and
would read all sessions; where there are more, reading the newest sessions finds enough of them soon."""
REBUILD_BATCH_LINES = 200
"""Lines of one transaction."""


def matching(lines: QuerySet[Utterance], query: str, *, people: Iterable[int] | None = None) -> QuerySet[Utterance]:
    """Return those of the lines in which all words of the query were said, whatever their accents and case.

    The first letters of a word will do, from three on. `people` are those whose sessions the lines are of; without
    it everybody's keys are tried.
    """
    words = word_index.words_to_look_for(query)
    if not words:
        return lines.none()
    user_ids = list(people if people is not None else User.objects.values_list("pk", flat=True))
    key_ids, candidates = _keys_in_use(), None
    for word in words:
        rows = SpokenWord.objects.filter(mark__any_of=word_index.of_query(word, user_ids, key_ids))
        if candidates is not None:
            rows = rows.filter(utterance__in=Utterance.objects.filter(pk__any_of=candidates).values("pk"))
        found = list(rows.values_list("utterance", flat=True)[: MAX_RESOLVED_LINES + 1])
        if len(found) <= MAX_RESOLVED_LINES:
            candidates = list(dict.fromkeys(found))
        else:
            lines = lines.filter(pk__in=rows.values("utterance"))
    return lines if candidates is None else lines.filter(pk__any_of=candidates)


def index(lines: Iterable[Utterance]) -> None:
    """Make lines that were stored with bulk_create findable; those stored one by one are already."""
    SpokenWord.objects.bulk_create([word for line in lines for word in words_of(line)], ignore_conflicts=True)


def rebuild_batch() -> int:
    """Index the next lines with the current key and their people's; return how many, 0 once all have been.

    Lines are taken in the order in which they were stored, and each batch notes how far it came: an interrupted
    rebuild goes on there, and two at once take turns. Lines that cannot be read keep the marks that they have.
    """
    current = signing.key_id()
    with transaction.atomic():
        WordIndexRebuild.objects.exclude(key_id=current).delete()  # what has been stored since is not in them
        WordIndexRebuild.objects.get_or_create(key_id=current)
        state = WordIndexRebuild.objects.select_for_update().get(key_id=current)
        later = Utterance.objects.filter(pk__gt=state.last_line).order_by("pk")
        pks = [] if state.finished_at else list(later.values_list("pk", flat=True)[:REBUILD_BATCH_LINES])
        if pks:
            _reindex(pks)
            state.last_line = pks[-1]
        elif not state.finished_at:
            state.finished_at = timezone.now()
        state.save()
    return len(pks)


def left_to_rebuild() -> int:
    """Return how many lines may have marks of an earlier version or key, and `rebuild_batch` has not looked at yet."""
    current, *retired = signing.keys(word_index.PURPOSE)
    states = WordIndexRebuild.objects.in_bulk([current, WordIndexRebuild.NONE_FROM_BEFORE])
    state = states.get(current)
    if state and state.finished_at:
        return 0
    if WordIndexRebuild.NONE_FROM_BEFORE in states and not retired:
        return 0  # a new portal: lines get the marks of the only key as they are stored
    return Utterance.objects.filter(pk__gt=state.last_line if state else 0).order_by().count()


def _reindex(pks: list[int]) -> None:
    # Held first: an erasure destroys the key, then deletes the words. It waits, and finds those made here, too.
    sessions = Utterance.objects.filter(pk__in=pks).order_by().values("session")
    list(SpeechKey.objects.select_for_update().filter(pk__in=sessions).order_by("pk").values_list("pk"))
    found: dict[int, list[SpokenWord]] = {}
    for line in Utterance.objects.filter(pk__in=pks).select_related("session"):
        with suppress(InvalidTag):
            found[line.pk] = words_of(line)
    SpokenWord.objects.filter(utterance__in=found).delete()
    SpokenWord.objects.bulk_create([word for words in found.values() for word in words], batch_size=5000)


def _keys_in_use() -> list[str]:
    """Return the IDs of the keys under which there may be marks of people."""
    current, *retired = signing.keys(word_index.PURPOSE)
    if retired and WordIndexRebuild.objects.filter(key_id=current, finished_at__isnull=False).exists():
        return [current]
    return [current, *retired]
