"""Questions for which nothing was found, grouped by their words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from avatars.documents import words
from avatars.documents.search import Passage
from avatars.models import UnansweredQuestion
from heygen_portal.models import EventType
from heygen_portal.runtime.text import limits
from heygen_portal.trail import signing
from heygen_portal.webhooks import outbox
from heygen_portal.webhooks.outbox import Notice

# What people said is deleted so long after it was last asked.
KEPT = timedelta(days=60)
MAX_QUESTIONS = 2000
MAX_WORDING_CHARACTERS = 300


def record(library_id: int, question: str, language: str, session_id: UUID, closest: Sequence[Passage] = ()) -> None:
    """Count a question of a session that found no answer.

    `closest` are the passages that were not good enough, the best first.
    """
    terms = words.of_query(question, [language])
    if not terms:
        return
    mark = signing.sign("unanswered", library_id, *sorted(min(term) for term in terms))
    passage = closest[0] if closest else None
    found = {"closest_id": passage.chunk_id if passage else None, "closest_score": passage.score if passage else 0.0}
    now = timezone.now()
    wording = limits.shortened(" ".join(question.split()), MAX_WORDING_CHARACTERS)
    with transaction.atomic():
        known = UnansweredQuestion.objects.filter(library=library_id, mark=mark)
        if known.update(times=F("times") + 1, last_asked_at=now, **found):
            known.filter(asked_in=None).update(wording=wording, asked_in=session_id)
            return
        # Strangers ask, and must not fill the table.
        if UnansweredQuestion.objects.filter(library=library_id).count() >= MAX_QUESTIONS:
            return
        row, is_new = UnansweredQuestion.objects.get_or_create(
            library_id=library_id,
            mark=mark,
            defaults={
                "wording": wording,
                "asked_in": session_id,
                "language": language,
                "first_asked_at": now,
                "last_asked_at": now,
                **found,
            },
        )
        if is_new:
            about = {"library": library_id, "question": row.pk, "language": language}
            event = EventType.QUESTION_UNANSWERED
            outbox.write(event, lambda: Notice(event, about))  # what was asked is speech


def erase(session_id: UUID) -> None:
    """Erase the wordings of a session. How often they were asked stays."""
    UnansweredQuestion.objects.filter(asked_in=session_id).update(wording=None, asked_in=None)


def forget(now: datetime) -> None:
    """Delete questions that were not asked for a while."""
    UnansweredQuestion.objects.filter(last_asked_at__lt=now - KEPT).delete()
