"""Answers by staff: found by the wording of the question, and kept current in the audit log."""

from __future__ import annotations

from functools import lru_cache

from django.db import transaction
from django.utils import timezone

from avatars.documents import words
from avatars.models import WrittenAnswer
from avatars.models.stated import WRITTEN_ANSWER
from heygen_portal.runtime.accents import fold_accents
from heygen_portal.runtime.text import comparison
from heygen_portal.trail import audit_log, change_log, statements
from heygen_portal.trail.change_log import Actor
from heygen_portal.trail.models import AuditEntry

# Of the words of both that carry a topic, so many must be shared. A question of few words must have the same.
MIN_SHARED = 0.8
MAX_ANSWERS = 500
# These turn a question around.
NEGATIONS = frozenset({
    "no", "not", "never", "without", "sin", "nunca", "ni", "nao", "sem", "non", "mai", "senza", "ne", "pas", "jamais",
    "sans", "nicht", "kein", "nie", "ohne",
})  # fmt: skip


def find_written_answer(library_id: int, query: str, language: str) -> WrittenAnswer | None:
    """Return the answer that staff wrote to a question, worded like this or nearly so."""
    asked, asked_forms = _folded(query), _topic(query, language)
    best: tuple[float, WrittenAnswer] | None = None
    for answer in WrittenAnswer.objects.filter(library=library_id).order_by("pk")[:MAX_ANSWERS]:
        for wording in answer.wordings:
            if not isinstance(wording, str):  # changed by SQL
                continue
            if _folded(wording) == asked:
                return answer
            score = _shared(asked_forms, _topic(wording, language))
            if score >= MIN_SHARED and (best is None or score > best[0]):
                best = score, answer
    return best[1] if best else None


@transaction.atomic
def save(answer: WrittenAnswer, actor: Actor) -> None:
    """Store a new or changed answer, which is used at once."""
    audit_log.lock_head()
    before = WrittenAnswer.objects.select_for_update().filter(pk=answer.pk).first()
    answer.saved_at, answer.saved_by_id = timezone.now(), actor.user_id
    answer.save()
    change_log.record(
        actor, AuditEntry.Kind.LIBRARY_CHANGED, answer, {}, statements.changed(WRITTEN_ANSWER, before, answer)
    )


@transaction.atomic
def delete(answer: WrittenAnswer, actor: Actor) -> None:
    audit_log.lock_head()
    stated = statements.deleted((WRITTEN_ANSWER, answer))
    about = str(answer)
    answer.delete()
    change_log.record(actor, AuditEntry.Kind.LIBRARY_CHANGED, about, {}, stated)


def as_wordings(text: str) -> list[str]:
    """Return the wordings of a field with one per line."""
    return list(dict.fromkeys(filter(None, (" ".join(line.split()) for line in text.splitlines()))))


def _shared(asked: frozenset[frozenset[str]], wording: frozenset[frozenset[str]]) -> float:
    """Return the share of words that two questions have in common, by any of their forms."""
    if not asked or not wording:
        return 0.0
    same = sum(any(word & other for other in wording) for word in asked)
    return same / (len(asked) + len(wording) - same)


@lru_cache(maxsize=10_000)
def _topic(text: str, language: str) -> frozenset[frozenset[str]]:
    negations = NEGATIONS & set(_folded(text).split())
    return frozenset([*words.of_query(text, [language]), *([frozenset(("no",))] if negations else [])])


def _folded(text: str) -> str:
    return comparison.words(fold_accents(text))
