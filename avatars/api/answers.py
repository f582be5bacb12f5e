"""Operations on written answers, and on questions that found no answer."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from ninja import Field, Path, Query, Schema
from ninja.responses import Status as Answer
from pydantic import StringConstraints

from avatars.api.libraries import READ, WRITE, Language, changeable, find_library, spend_staff_action
from avatars.documents import written_answers
from avatars.documents.unanswered import MAX_WORDING_CHARACTERS
from avatars.models import Library, UnansweredQuestion, WrittenAnswer
from avatars.models.documents import MAX_ANSWER_CHARACTERS
from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest import pages, problems
from heygen_portal.rest.operations import ApiRequest, Operations
from heygen_portal.rest.pages import Page, PageQuery
from heygen_portal.rest.problems import Problem
from heygen_portal.rest.schemas import Input, Key
from heygen_portal.runtime.in_thread import in_thread
from heygen_portal.runtime.text import limits

operations = Operations("Answers and questions")
MAX_WORDINGS = 50
VISIBLE = r"^[^\x00]*[^\s\x00][^\x00]*$"
Wording = Annotated[str, StringConstraints(max_length=MAX_WORDING_CHARACTERS, pattern=VISIBLE)]


class WrittenAnswerOut(Schema):
    """An answer by staff, said word for word before anything is searched."""

    id: int
    library: int
    language: str
    wordings: list[str]
    answer: str
    saved_at: datetime

    @classmethod
    def of(cls, row: WrittenAnswer) -> WrittenAnswerOut:
        return cls(
            id=row.pk,
            library=row.library_id,
            language=row.language,
            wordings=[wording for wording in row.wordings if isinstance(wording, str)],
            answer=row.answer,
            saved_at=row.saved_at,
        )


class WrittenText(Input):
    """Ways to ask a question, and the answer."""

    wordings: Annotated[list[Wording], Field(min_length=1, max_length=MAX_WORDINGS)]
    answer: Annotated[str, StringConstraints(max_length=MAX_ANSWER_CHARACTERS, pattern=VISIBLE)]
    language: Language | None = Field(None, description="null: that of the library, or as it was.")


class NewWrittenAnswer(WrittenText):
    """A new answer. It may close a question that found none."""

    question: Key | None = Field(None, description="The question that is answered by it.")


class QuestionOut(Schema):
    """A question that found no answer, and how often it was asked. Equal questions are counted together."""

    id: int
    wording: str | None = Field(description="null once the speech of the session in which it was asked is erased.")
    language: str
    times: int
    first_asked_at: datetime
    last_asked_at: datetime
    closest_document: str | None = Field(description="The best passage is from this document.")
    closest_score: float = Field(description="How well it matches, from 0 to 1. It was not good enough.")
    closed_at: datetime | None = Field(description="When staff wrote an answer, or dismissed it.")

    @classmethod
    def of(cls, row: UnansweredQuestion) -> QuestionOut:
        return cls(
            id=row.pk,
            wording=row.wording,
            language=row.language,
            times=row.times,
            first_asked_at=row.first_asked_at,
            last_asked_at=row.last_asked_at,
            closest_document=row.closest.version.document.title if row.closest else None,
            closest_score=row.closest_score,
            closed_at=row.closed_at,
        )


class DismissedQuestion(Schema):
    """A question that needs no answer."""

    id: int
    closed_at: datetime


class QuestionQuery(PageQuery):
    is_closed: bool | None = None


@operations.get("/libraries/{library_id}/answers", scopes=READ, response=Page[WrittenAnswerOut])
async def list_answers(request: ApiRequest, library_id: Path[Key], query: Query[PageQuery]) -> Page[WrittenAnswerOut]:
    """List the written answers of a library."""
    return await in_thread(_answers)(library_id, query)


def _answers(library_id: int, query: PageQuery) -> Page[WrittenAnswerOut]:
    rows = find_library(library_id).written_answers.all()
    found, next_cursor = pages.read(rows, query, by="pk", newest_first=False)
    return Page(items=[WrittenAnswerOut.of(row) for row in found], next_cursor=next_cursor)


@operations.post("/libraries/{library_id}/answers", scopes=WRITE, response={201: WrittenAnswerOut})
async def write_answer(request: ApiRequest, library_id: Path[Key], body: NewWrittenAnswer) -> Answer[WrittenAnswerOut]:
    """Write an answer, which is used at once."""
    await spend_staff_action(request.caller)
    return Answer(201, await in_thread(_write)(request.caller, library_id, body))


def _write(caller: Caller, library_id: int, body: NewWrittenAnswer) -> WrittenAnswerOut:
    library = changeable(caller, library_id)
    question = _question(library, body.question) if body.question else None
    saved = _save(caller, WrittenAnswer(library=library, language=library.language), body)
    if question:
        _close(question)
    return saved


@operations.get("/libraries/{library_id}/answers/{answer_id}", scopes=READ, response=WrittenAnswerOut)
async def get_answer(request: ApiRequest, library_id: Path[Key], answer_id: Path[Key]) -> WrittenAnswerOut:
    """Return one written answer."""
    return await in_thread(lambda: WrittenAnswerOut.of(_answer(find_library(library_id), answer_id)))()


@operations.put("/libraries/{library_id}/answers/{answer_id}", scopes=WRITE, response=WrittenAnswerOut)
async def change_answer(
    request: ApiRequest, library_id: Path[Key], answer_id: Path[Key], body: WrittenText
) -> WrittenAnswerOut:
    """Replace the wordings and text of an answer."""
    await spend_staff_action(request.caller)
    caller = request.caller
    return await in_thread(lambda: _save(caller, _answer(changeable(caller, library_id), answer_id), body))()


@operations.delete("/libraries/{library_id}/answers/{answer_id}", scopes=WRITE, response={204: None})
async def delete_answer(request: ApiRequest, library_id: Path[Key], answer_id: Path[Key]) -> Answer[None]:
    """Delete an answer. The question is searched again."""
    await spend_staff_action(request.caller)
    await in_thread(_delete)(request.caller, library_id, answer_id)
    return Answer(204, None)


def _delete(caller: Caller, library_id: int, answer_id: int) -> None:
    written_answers.delete(_answer(changeable(caller, library_id), answer_id), caller.actor)


def _save(caller: Caller, answer: WrittenAnswer, body: WrittenText) -> WrittenAnswerOut:
    text, wordings = body.answer.strip(), written_answers.as_wordings("\n".join(body.wordings))
    if not text or not wordings or limits.length(text, MAX_ANSWER_CHARACTERS) > MAX_ANSWER_CHARACTERS:
        words = _("Write a question and an answer of at most %(most)d characters.") % {"most": MAX_ANSWER_CHARACTERS}
        raise Problem(409, "answer_refused", words)
    answer.wordings, answer.answer = wordings, text
    answer.language = body.language or answer.language
    written_answers.save(answer, caller.actor)
    return WrittenAnswerOut.of(answer)


@operations.get("/libraries/{library_id}/questions", scopes=(Scope.QUESTIONS_READ,), response=Page[QuestionOut])
async def list_questions(request: ApiRequest, library_id: Path[Key], query: Query[QuestionQuery]) -> Page[QuestionOut]:
    """List the questions that found no answer, the newest first, in the words of one who asked."""
    return await in_thread(_questions)(library_id, query)


def _questions(library_id: int, query: QuestionQuery) -> Page[QuestionOut]:
    rows = find_library(library_id).unanswered.select_related("closest__version__document")
    rows = rows if query.is_closed is None else rows.filter(closed_at__isnull=not query.is_closed)
    found, next_cursor = pages.read(rows, query, by="pk")
    return Page(items=[QuestionOut.of(row) for row in found], next_cursor=next_cursor)


@operations.post("/libraries/{library_id}/questions/{question_id}/dismiss", scopes=WRITE, response=DismissedQuestion)
async def dismiss_question(request: ApiRequest, library_id: Path[Key], question_id: Path[Key]) -> DismissedQuestion:
    """Take a question off the list of open ones. Repeating it changes nothing."""
    await spend_staff_action(request.caller)
    return await in_thread(_dismiss)(request.caller, library_id, question_id)


def _dismiss(caller: Caller, library_id: int, question_id: int) -> DismissedQuestion:
    question = _question(changeable(caller, library_id), question_id)
    return DismissedQuestion(id=question.pk, closed_at=_close(question))


def _close(question: UnansweredQuestion) -> datetime:
    """Close a question unless it is closed. Return when it was."""
    if question.closed_at is None:
        question.closed_at = timezone.now()
        question.save(update_fields=["closed_at"])
    return question.closed_at


def _answer(library: Library, answer_id: int) -> WrittenAnswer:
    row = library.written_answers.filter(pk=answer_id).first()
    if row is None:
        raise problems.not_found()
    return row


def _question(library: Library, question_id: int) -> UnansweredQuestion:
    row = library.unanswered.filter(pk=question_id).first()
    if row is None:
        raise problems.not_found()
    return row
