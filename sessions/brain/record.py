"""Store answers: their beginning, their sentences, and their end with its event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from avatars.models import Chunk
from heygen_portal.postgresql import clock
from heygen_portal.runtime.jobs import each_row
from heygen_portal.trail import statements
from sessions.brain.answering import Outcome
from sessions.brain.interfaces import Message, Passage, Usage
from sessions.lifecycle import broadcast, coverage, events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry, Source
from sessions.models import (
    Answer,
    SessionEvent,
    SessionTask,
    SpeechErased,
    SpeechKey,
    Status,
    StreamingSession,
    Utterance,
)
from sessions.speech import speech_sql

# An answer that is older must have lost its process.
LONGEST_TIME = timedelta(minutes=4)
# How long after an answer its last sentences may still be spoken.
SPEAKING_TIME = timedelta(minutes=3)
ANSWERS_PER_TICK = 200
LINES_REMEMBERED = 12
SENTENCES_REMEMBERED = 40

State = Answer.State
STATES: Mapping[Outcome, State] = {outcome: State(outcome.value) for outcome in Outcome}


@dataclass
class Figures:
    """What is known of an answer when it ends."""

    service: str = ""
    model: str = ""
    prompt_version: str = ""
    passages: Sequence[Passage] = ()
    usage: Usage = field(default_factory=Usage)
    cost: Decimal = Decimal(0)
    first_sentence: timedelta | None = None

    def columns(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "model": self.model,
            "prompt_version": self.prompt_version,
            "passages": [{"chunk": each.chunk_id, "fingerprint": each.fingerprint} for each in self.passages],
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "is_estimated": self.usage.is_estimated,
            "cost": self.cost,
            "first_sentence": self.first_sentence,
        }


def begin(task: SessionTask) -> Answer:
    """Store that a user's text is being answered. The text counts as sent."""
    now = clock.now()
    with transaction.atomic():
        answer = Answer.objects.create(
            session_id=task.session_id, task=task, created_at=task.created_at, deadline_at=now + LONGEST_TIME
        )
        task.status, task.latency = SessionTask.Status.SENT, now - task.created_at
        events.record_with(task.session_id, events.task_entry(task), speech_sql.outcome_of(task))
        broadcast.publish(task.session_id, broadcast.TaskSent.of(task))
    return answer


def interrupt(session_id: UUID, reason: str) -> list[int]:
    """Let no process say a further sentence of the session's answers. Return which were being given."""
    rows = Answer.objects.filter(session_id=session_id, state=State.ANSWERING, reason="")
    keys = list(rows.values_list("pk", flat=True))
    if keys:
        rows.filter(pk__in=keys).update(reason=reason)
        broadcast.interrupt_answers(session_id, keys, reason)
    return keys


def store_sentence(answer: Answer, text: str, citations: Sequence[int]) -> SessionTask | None:
    """Store a sentence before it is sent. Return None if the answer was interrupted or the session is over."""
    try:
        with transaction.atomic():
            wrapped = SpeechKey.wrapped_for(answer.session_id)  # locks the session's row
            rows = Answer.objects.filter(pk=answer.pk, state=State.ANSWERING, reason="")
            if not rows.filter(session__status=Status.LIVE).exists():
                return None
            number = len(answer.sentences) + 1
            task = SessionTask(
                session_id=answer.session_id,
                kind=SessionTask.Kind.REPEAT,
                ref=answer.ref_of(number),
                created_at=clock.now(),
            )
            task.encrypt(text, wrapped)
            task.save(force_insert=True)
            answer.sentences = [*answer.sentences, {"task": task.pk, "citations": list(citations)}]
            rows.update(sentences=answer.sentences)
            return task
    except SpeechErased:
        return None


def end(answer: Answer, state: State, reason: str, figures: Figures | None = None) -> bool:
    """Store how an answer ended, with its event. Return whether this call did it."""
    with transaction.atomic():
        # The session's row first, as whoever stores a sentence does.
        session = StreamingSession.objects.select_for_update().only("status").get(pk=answer.session_id)
        row = Answer.objects.filter(pk=answer.pk, state=State.ANSWERING).first()
        if row is None:
            return False
        for name, value in (figures.columns() if figures else {}).items():
            setattr(row, name, value)
        row.state = State.INTERRUPTED if row.reason else state
        row.reason = (row.reason or reason)[:80]
        row.ended_at, row.deadline_at = clock.now(), None
        if row.state in (State.INTERRUPTED, State.ABANDONED):
            row.unspoken = _unspoken(row)
        row.save()
        entry = Entry(EventKind.ANSWER, _details(row) | statements.state(coverage.ANSWER, row))
        events.append(row.session_id, entry, is_over=session.status == Status.ENDED)
        broadcast.publish(row.session_id, broadcast.AnswerEnded.of(row))
    return True


def cut_last(session_id: UUID) -> None:
    """Mark the sentences of the newest answer that were sent, but not begun before an interruption."""
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().only("status").get(pk=session_id)
        row = Answer.objects.filter(session_id=session_id).order_by("-created_at", "-pk").first()
        if row is None or row.ended_at is None or row.ended_at < clock.now() - SPEAKING_TIME or row.unspoken:
            return
        row.unspoken = _unspoken(row)
        if row.unspoken:
            row.save(update_fields=["unspoken"])
            details = {"count": len(row.unspoken)} | statements.state(coverage.ANSWER, row, "unspoken")
            events.append(session_id, Entry(EventKind.ANSWER_CUT, details), is_over=session.status == Status.ENDED)


def has_abandoned(now: datetime) -> bool:
    return _abandoned(now).exists()


def close_abandoned(now: datetime) -> None:
    """End answers whose process died."""
    for answer in each_row.readable(_abandoned(now).order_by("deadline_at"), ANSWERS_PER_TICK):
        with each_row.log_failure(f"answer {answer.pk} could not be closed"):
            end(answer, State.ABANDONED, "")


def said_before(session: StreamingSession, task: SessionTask) -> list[Message]:
    """Return what user and avatar said before this text, in order.

    Lines that only a browser reports are left out: a page could forge them. So are sentences that were not spoken.
    """
    conversation = {"session__conversation_id": session.conversation_id}
    lines = Utterance.objects.filter(**conversation, who=Utterance.Who.USER, at__lt=task.created_at)
    lines = lines.exclude(source=Source.BROWSER).exclude(kind=SessionTask.Kind.REPEAT)
    sentences = SessionTask.objects.filter(
        **conversation, kind=SessionTask.Kind.REPEAT, status=SessionTask.Status.SENT, created_at__lt=task.created_at
    )
    asked = [(line.at, "user", line) for line in lines.order_by("-at", "-pk")[:LINES_REMEMBERED]]
    newest = sentences.order_by("-created_at", "-pk")[:SENTENCES_REMEMBERED]
    cut = Answer.objects.filter(**conversation).exclude(unspoken=[]).values_list("unspoken", flat=True)
    unspoken = {key for keys in cut for key in keys}
    answered = [(each.created_at, "assistant", each) for each in newest if each.pk not in unspoken]
    said: list[Message] = []
    for _at, role, row in sorted([*asked, *answered], key=lambda each: (each[0], each[2].pk)):
        if not row.is_readable or not row.text:
            continue
        if said and said[-1].role == role == "assistant":
            said[-1] = Message("assistant", f"{said[-1].text} {row.text}")
        else:
            said.append(Message("assistant" if role == "assistant" else "user", row.text))
    return said


def cited_chunk(session_id: UUID, answer_id: int, number: int) -> Chunk | None:
    """Return the passage that an answer cites by this number, as it was. It has no text once it was withdrawn."""
    answer = Answer.objects.filter(session_id=session_id, pk=answer_id).first()
    if answer is None or not 0 < number <= len(answer.passages):
        return None
    cited = {each for sentence in answer.sentences for each in sentence["citations"]}
    passage = answer.passages[number - 1]
    rows = Chunk.objects.select_related("version__document").filter(fingerprint=passage["fingerprint"])
    return rows.filter(pk=passage["chunk"]).first() if number in cited else None


def _unspoken(answer: Answer) -> list[int]:
    """Return the tasks of sentences that the avatar has not begun to speak.

    A provider that names no tasks does not tell; then these are the sentences that it did not accept.
    """
    tasks = SessionTask.objects.filter(pk__in=[each["task"] for each in answer.sentences]).defer("sealed")
    accepted = {task.pk: task.provider_task_id for task in tasks if task.status == SessionTask.Status.SENT}
    begun = SessionEvent.objects.filter(session_id=answer.session_id, kind=EventKind.AVATAR_START_TALKING)
    named = {data.get("task_id") for data in begun.values_list("data", flat=True) if isinstance(data, dict)} - {
        "",
        None,
    }
    return [
        each["task"]
        for each in answer.sentences
        if each["task"] not in accepted or (named and accepted[each["task"]] not in named)
    ]


def _details(answer: Answer) -> dict[str, Any]:
    """Return what the event tells to readers."""
    took = answer.first_sentence
    return {
        "state": answer.state,
        "reason": answer.reason,
        "model": answer.model,
        "prompt_version": answer.prompt_version,
        "tokens": answer.prompt_tokens + answer.completion_tokens,
        "cost": str(answer.cost),
        "ms": None if took is None else round(took / timedelta(milliseconds=1)),
        "count": len(answer.sentences),
    }


def _abandoned(now: datetime) -> QuerySet[Answer]:
    return Answer.objects.filter(state=State.ANSWERING, deadline_at__lte=now)
