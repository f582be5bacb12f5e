"""Store answers: their beginning, their sentences, and their end with its event."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from avatars.models import Chunk
from avatars.models.model_services import MAX_TOKENS
from heygen_portal.postgresql import clock
from heygen_portal.providers.openai.messages import Message, Usage
from heygen_portal.runtime import stored_json
from heygen_portal.runtime.jobs import each_row
from heygen_portal.runtime.text import comparison
from heygen_portal.trail import statements
from sessions import errors
from sessions.brain.answering import LONGEST_ANSWER, Outcome
from sessions.brain.interfaces import Passage
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
from sessions.models.conversations import ANSWER_REF
from sessions.speech import speech_sql

# An answer that is older must have lost its process, which ends it sooner and then stores the end.
LONGEST_TIME = LONGEST_ANSWER + timedelta(seconds=30)
# How long after an answer its last sentences may still be spoken.
SPEAKING_TIME = timedelta(minutes=3)
ANSWERS_PER_TICK = 200
# Nobody speaks faster. Where a provider does not tell which sentence it speaks, those that it cannot have reached by
# then were not spoken.
FASTEST_CHARACTERS_PER_S = 30
LINES_REMEMBERED = 12
SENTENCES_REMEMBERED = 40
# So many events of speaking are read to see what of an answer was spoken: more than an answer has sentences.
SPEECH_REMEMBERED = 300

logger = logging.getLogger(__name__)

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
            "prompt_tokens": min(max(self.usage.prompt_tokens, 0), MAX_TOKENS),
            "completion_tokens": min(max(self.usage.completion_tokens, 0), MAX_TOKENS),
            "is_estimated": self.usage.is_estimated,
            "cost": self.cost,
            "first_sentence": self.first_sentence,
        }


def begin(task: SessionTask, reason: str) -> tuple[Answer | None, list[int]]:
    """Store that a user's text is being answered, and which answers it interrupts, for this reason.

    The text counts as sent. If the session is over, it fails, and there is no answer.
    """
    now = clock.now()
    with transaction.atomic():
        session = StreamingSession.objects.select_for_update().only("status").get(pk=task.session_id)
        answer, interrupted = None, interrupt(task.session_id, reason)
        task.status, task.latency = SessionTask.Status.SENT, now - task.created_at
        if session.status == Status.LIVE:
            answer = Answer.objects.create(
                session_id=task.session_id, task=task, created_at=task.created_at, deadline_at=now + LONGEST_TIME
            )
        else:
            task.status, task.failure = SessionTask.Status.FAILED, errors.NotLive.code
        events.record_with(task.session_id, events.task_entry(task), speech_sql.outcome_of(task))
        broadcast.publish(task.session_id, broadcast.TaskSent.of(task))
    return answer, interrupted


def note_request(answer: Answer, figures: Figures) -> bool:
    """Store what is asked of the model, so that it is charged even if this process dies.

    Return False if the answer was interrupted.
    """
    rows = Answer.objects.filter(pk=answer.pk, state=State.ANSWERING, reason="")
    return bool(rows.update(**figures.columns()))


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
            sentences = [*answer.sentences, {"task": task.pk, "citations": list(citations)}]
            if not rows.update(sentences=sentences):  # interrupted just now
                transaction.set_rollback(True)
                return None
            answer.sentences = sentences
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


def is_spoken(answer: Answer) -> bool:
    """Whether the avatar is reported to have said the last sentence."""
    last = [key for key, _cited in sentences_of(answer)][-1:]
    task = SessionTask.objects.filter(pk__in=last).defer("sealed").first()
    if task is None or not task.provider_task_id:
        return task is None
    rows = SessionEvent.objects.filter(session_id=answer.session_id, kind=EventKind.AVATAR_STOP_TALKING)
    return any(
        stored_json.text(data, "task_id") == task.provider_task_id for data in rows.values_list("data", flat=True)
    )


def is_newest(answer: Answer) -> bool:
    """Whether the user has written nothing since the text of this answer."""
    later = Answer.objects.filter(session_id=answer.session_id, pk__gt=answer.pk)
    return not later.exists()


def has_abandoned(now: datetime) -> bool:
    return _abandoned(now).exists()


def close_abandoned(now: datetime) -> None:
    """End answers whose process died.

    One that SQL has damaged is closed without its event, and verification names it.
    """
    for key in list(_abandoned(now).order_by("deadline_at").values_list("pk", flat=True)[:ANSWERS_PER_TICK]):
        try:
            end(Answer.objects.get(pk=key), State.ABANDONED, "")
        except Exception as exc:
            if each_row.is_outage(exc):
                raise
            logger.exception("answer %s could not be closed with its event", key)
            Answer.objects.filter(pk=key).update(state=State.ABANDONED, ended_at=now, deadline_at=None)


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
    unspoken = {key for keys in cut for key in keys if isinstance(key, int)}
    answered = [(each.created_at, "assistant", each) for each in newest if each.pk not in unspoken]
    said: list[Message] = []
    for _at, role, row in sorted([*asked, *answered], key=lambda each: (each[0], each[2].pk)):
        if not row.is_readable or not row.text:
            continue
        if said and said[-1].role == role == "assistant":
            said[-1] = Message("assistant", f"{said[-1].content} {row.text}")
        else:
            said.append(Message("assistant" if role == "assistant" else "user", row.text))
    return said


def cited_chunk(session_id: UUID, answer_id: int, number: int) -> Chunk | None:
    """Return the passage that an answer cites by this number, as it was. It has no text once it was withdrawn."""
    answer = Answer.objects.filter(session_id=session_id, pk=answer_id).first()
    if answer is None or not any(number in cited for _key, cited in sentences_of(answer)):
        return None
    if (key := _chunk_of(answer, number)) is None:
        return None
    rows = Chunk.objects.select_related("version__document").filter(pk=key)
    chunk = rows.first()
    return chunk if chunk and chunk.fingerprint == answer.passages[number - 1].get("fingerprint") else None


def sentences_of(answer: Answer) -> Iterator[tuple[int, list[int]]]:
    """Yield task and citations of each sentence, without those that SQL has damaged."""
    for each in answer.sentences:
        if isinstance(each, dict) and (key := stored_json.row_key(each, "task")):
            cited = each.get("citations")
            yield key, [number for number in cited if _is_number(number, answer)] if isinstance(cited, list) else []


def _is_number(number: Any, answer: Answer) -> bool:
    return isinstance(number, int) and 0 < number <= len(answer.passages)


def _chunk_of(answer: Answer, number: int) -> int | None:
    passage = answer.passages[number - 1]
    return stored_json.row_key(passage, "chunk") if isinstance(passage, dict) else None


def source_shown(
    session: StreamingSession, answer_id: int, number: int, title: str, page: int | None
) -> dict[str, Any]:
    """Return what pages show of a cited passage. Guests have no page of a passage."""
    url = reverse("sessions:source", args=[session.pk, answer_id, number]) if session.user_id else ""
    return {"number": number, "title": title, "page": page, "url": url}


Lines = TypeVar("Lines", bound=Sequence[Utterance])


def with_sources(lines: Lines) -> Lines:
    """Set on each of the avatar's lines what it cites, and which text it answers. At most three queries."""
    named = {line.provider_task_id for line in lines if line.who == Utterance.Who.AVATAR} - {""}
    # A provider that answers speech with the brain names no tasks.
    is_of_lines = Q(provider_task_id__in=named) | Q(provider_task_id="", ref__startswith=ANSWER_REF)
    rows = SessionTask.objects.filter(is_of_lines, session__in={line.session_id for line in lines})
    said = [row for row in rows if row.is_of_answer] if named else []
    if not said:
        return lines
    tasks = {(row.session_id, row.provider_task_id): [row.pk] for row in said if row.provider_task_id}
    tasks |= _spoken_in(lines, [row for row in said if not row.provider_task_id])
    given = Answer.objects.select_related("session", "task").filter(session__in={row.session_id for row in said})
    answers = {key: (answer, cited) for answer in given for key, cited in sentences_of(answer)}
    cited_chunks = (_chunk_of(answer, number) for answer, cited in answers.values() for number in cited)
    chunks = {key for key in cited_chunks if key}
    found = Chunk.objects.filter(pk__in=chunks).values_list("pk", "version__document__title", "page")
    titles: dict[int | None, tuple[str, int | None]] = {pk: (title, page) for pk, title, page in found}
    for line in lines:
        keys = [key for key in tasks.get((line.session_id, line.provider_task_id), ()) if key in answers]
        if not keys:
            continue
        answer = answers[keys[0]][0]
        cited = sorted({number for key in keys if answers[key][0] == answer for number in answers[key][1]})
        passages = [(number, titles.get(_chunk_of(answer, number))) for number in cited]
        line.answer_to = answer.task.ref
        line.sources = [source_shown(answer.session, answer.pk, number, *shown) for number, shown in passages if shown]
    return lines


def _spoken_in(lines: Sequence[Utterance], sentences: Sequence[SessionTask]) -> dict[tuple[UUID, str], list[int]]:
    """Return, for each of the avatar's lines, the sentences that it has in their words."""
    said = [(task.session_id, task.pk, comparison.words(task.shown)) for task in sentences]
    found: dict[tuple[UUID, str], list[int]] = {}
    for line in lines if said else ():
        if line.who == Utterance.Who.AVATAR and line.provider_task_id:
            spoken = f" {comparison.words(line.shown)} "
            keys = [pk for session_id, pk, words in said if session_id == line.session_id and f" {words} " in spoken]
            found |= {(line.session_id, line.provider_task_id): keys} if keys else {}
    return found


def _unspoken(answer: Answer) -> list[int]:
    """Return the tasks of sentences that the avatar has not begun to speak.

    A provider that names no tasks does not tell; then these are the sentences that it did not accept, or cannot have
    reached yet.
    """
    sentences = [key for key, _cited in sentences_of(answer)]
    tasks = SessionTask.objects.filter(pk__in=sentences)
    accepted = {task.pk: task for task in tasks if task.status == SessionTask.Status.SENT}
    begun = SessionEvent.objects.filter(session_id=answer.session_id, kind=EventKind.AVATAR_START_TALKING)
    newest = begun.order_by("-number").values_list("data", flat=True)[:SPEECH_REMEMBERED]
    named = {stored_json.text(data, "task_id") for data in newest} - {""}
    reached = _reached([accepted[key] for key in sentences if key in accepted], clock.now())

    def is_spoken(key: int) -> bool:
        if key not in accepted:
            return False
        name = accepted[key].provider_task_id
        return (not named or name in named) if name else key in reached

    return [key for key in sentences if not is_spoken(key)]


def _reached(sentences: Sequence[SessionTask], now: datetime) -> set[int]:
    """Return the sentences whose turn to be spoken may have come by now."""
    reached: set[int] = set()
    begins_at: datetime | None = None
    for task in sentences:
        begins_at = max(begins_at or task.created_at, task.created_at)
        if begins_at > now:
            break
        reached.add(task.pk)
        begins_at += timedelta(seconds=len(task.shown) / FASTEST_CHARACTERS_PER_S)
    return reached


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
