"""Operations on libraries and their documents: uploads, versions, passages and searches."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils.translation import gettext_lazy as _
from ninja import Field, Path, Query, Schema
from ninja.responses import Status as Answer
from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from avatars.documents import intake, jobs, libraries, written_answers
from avatars.documents.parsing import SUFFIXES
from avatars.documents.search import MIN_SCORE, search
from avatars.models import Chunk, Document, DocumentVersion, Library, PersonaVersion
from heygen_portal.people.api_keys.callers import Caller
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.providers.http.languages import CODES
from heygen_portal.rest import pages, problems
from heygen_portal.rest.operations import ApiRequest, Operations, body_of
from heygen_portal.rest.pages import Page, PageQuery
from heygen_portal.rest.problems import Problem
from heygen_portal.rest.schemas import Input, Key, Text
from heygen_portal.runtime import budgets
from heygen_portal.runtime.in_thread import in_thread

operations = Operations("Libraries")
READ, WRITE = (Scope.LIBRARIES_READ,), (Scope.LIBRARIES_WRITE,)
FILE = "application/octet-stream"
FILE_BODY = {FILE: {"type": "string", "format": "binary"}}
MAX_QUESTION_CHARACTERS = 300
MAX_FOUND = 20


def _require_language(code: str) -> str:
    if code not in CODES:
        raise ValueError("the code of a language that personas speak")
    return code


Language = Annotated[str, AfterValidator(_require_language), WithJsonSchema({"type": "string", "enum": sorted(CODES)})]
FileName = Annotated[Text, StringConstraints(min_length=1, max_length=intake.MAX_FILE_NAME_CHARACTERS)]
State = DocumentVersion.State


class LibraryOut(Schema):
    """A named set of documents."""

    id: int
    name: str
    language: str
    version: int = Field(description="Each change of what can be found raises it. A session searches one version.")
    created_at: datetime

    @classmethod
    def of(cls, row: Library) -> LibraryOut:
        return cls(id=row.pk, name=row.name, language=row.language, version=row.version, created_at=row.created_at)


class LibrarySettings(Input):
    """The name of a library, and the language of documents whose own cannot be told."""

    name: Text = Field(min_length=1, max_length=80)
    language: Language


class UnreadablePage(Schema):
    """A page without text that could be read."""

    page: int
    reason: str = Field(description="`scan` or `damaged`.")


class DocumentVersionOut(Schema):
    """A file or web page as it was read."""

    number: int
    file_name: str
    size_bytes: int
    fingerprint: str = Field(description="SHA-256 of the file.")
    state: str = Field(description="`waiting`, `reading`, `ready`, `failed` or `withdrawn`.")
    failure: str = Field(description="A stable code; empty unless it failed.")
    failure_text: str
    language: str
    pages: int
    unreadable_pages: list[UnreadablePage]
    passages: int
    from_version: int | None = Field(description="The first version of the library in which it is found.")
    until_version: int | None = Field(description="The first version in which it is no longer found.")
    added_at: datetime

    @classmethod
    def of(cls, row: DocumentVersion) -> DocumentVersionOut:
        unread = [each for each in row.unread if isinstance(each, dict) and isinstance(each.get("page"), int)]
        return cls(
            number=row.number,
            file_name=row.file_name,
            size_bytes=row.size,
            fingerprint=row.fingerprint,
            state=row.state,
            failure=row.failure,
            failure_text=row.get_failure_display(),
            language=row.language,
            pages=row.pages,
            unreadable_pages=[UnreadablePage(page=each["page"], reason=str(each.get("reason"))) for each in unread],
            passages=row.chunk_count,
            from_version=row.from_version,
            until_version=row.until_version,
            added_at=row.added_at,
        )


class DocumentOut(Schema):
    """A document with its newest version."""

    id: int
    library: int
    title: str
    kind: str = Field(description="`file` or `web`.")
    source: str = Field(description="The address of a web page.")
    added_at: datetime
    withdrawn_at: datetime | None = Field(description="Since then it has no text.")
    newest: DocumentVersionOut | None

    @classmethod
    def of(cls, row: Document, newest: DocumentVersion | None) -> DocumentOut:
        return cls(
            id=row.pk,
            library=row.library_id,
            title=row.title,
            kind=row.kind,
            source=row.source,
            added_at=row.created_at,
            withdrawn_at=row.withdrawn_at,
            newest=DocumentVersionOut.of(newest) if newest else None,
        )


class PassageOut(Schema):
    """A passage as it is searched and cited. Once its document is withdrawn it has no text."""

    number: int
    heading: str
    page: int | None
    text: str
    fingerprint: str = Field(description="SHA-256 of the text.")

    @classmethod
    def of(cls, row: Chunk) -> PassageOut:
        return cls(number=row.ordinal, heading=row.heading, page=row.page, text=row.text, fingerprint=row.fingerprint)


class FoundPassage(Schema):
    """A passage that a search has found."""

    document_title: str
    heading: str
    page: int | None
    text: str
    score: float = Field(description="From 0 to 1.")
    is_used: bool = Field(description="It matches well enough to answer from.")
    fingerprint: str


class SearchResult(Schema):
    """What a question finds."""

    written_answer: int | None = Field(description="The answer by staff that would be said instead of any passage.")
    passages: list[FoundPassage]


class NewSearch(Input):
    """A question to try."""

    question: Text = Field(min_length=1, max_length=MAX_QUESTION_CHARACTERS)
    limit: int = Field(5, ge=1, le=MAX_FOUND)


class NewFile(Schema):
    """The name of the file in the body, by whose ending it is read."""

    name: FileName


# Libraries


@operations.get("/libraries", scopes=READ, response=Page[LibraryOut])
async def list_libraries(request: ApiRequest, query: Query[PageQuery]) -> Page[LibraryOut]:
    """List the libraries."""
    return await in_thread(_libraries)(query)


def _libraries(query: PageQuery) -> Page[LibraryOut]:
    found, next_cursor = pages.read(Library.objects.all(), query, by="pk", newest_first=False)
    return Page(items=[LibraryOut.of(row) for row in found], next_cursor=next_cursor)


@operations.post("/libraries", scopes=WRITE, response={201: LibraryOut})
async def create_library(request: ApiRequest, body: LibrarySettings) -> Answer[LibraryOut]:
    """Add an empty library."""
    await spend_staff_action(request.caller)
    return Answer(201, await in_thread(_save_library)(request.caller, Library(), body))


@operations.get("/libraries/{library_id}", scopes=READ, response=LibraryOut)
async def get_library(request: ApiRequest, library_id: Path[Key]) -> LibraryOut:
    """Return one library."""
    return await in_thread(lambda: LibraryOut.of(find_library(library_id)))()


@operations.put("/libraries/{library_id}", scopes=WRITE, response=LibraryOut)
async def change_library(request: ApiRequest, library_id: Path[Key], body: LibrarySettings) -> LibraryOut:
    """Rename a library, or change its language."""
    await spend_staff_action(request.caller)
    return await in_thread(lambda: _save_library(request.caller, changeable(request.caller, library_id), body))()


def _save_library(caller: Caller, library: Library, body: LibrarySettings) -> LibraryOut:
    library.name, library.language = body.name, body.language
    try:
        library.full_clean()
    except ValidationError as exc:
        title = _("This library is not possible.")
        raise problems.refused_form("library_refused", title, exc.message_dict) from exc
    libraries.save(library, caller.actor)
    return LibraryOut.of(library)


@operations.post("/libraries/{library_id}/search", scopes=READ, response=SearchResult)
async def search_library(request: ApiRequest, library_id: Path[Key], body: NewSearch) -> SearchResult:
    """Try a question: which passages are found, and how well each matches. It is counted and stored nowhere."""
    await spend_staff_action(request.caller)
    return await in_thread(_search)(library_id, body)


def _search(library_id: int, body: NewSearch) -> SearchResult:
    library = find_library(library_id)
    found = search(library.pk, library.version, body.question, language=library.language, limit=body.limit, min_score=0)
    written = written_answers.find_written_answer(library.pk, body.question, library.language)
    shown = [
        FoundPassage(
            document_title=passage.document_title,
            heading=passage.heading,
            page=passage.page,
            text=passage.text,
            score=passage.score,
            is_used=passage.score >= MIN_SCORE,
            fingerprint=passage.fingerprint,
        )
        for passage in found
    ]
    return SearchResult(written_answer=written.pk if written else None, passages=shown)


# Documents


@operations.get("/libraries/{library_id}/documents", scopes=READ, response=Page[DocumentOut])
async def list_documents(request: ApiRequest, library_id: Path[Key], query: Query[PageQuery]) -> Page[DocumentOut]:
    """List the documents of a library, also those that were withdrawn."""
    return await in_thread(_documents)(library_id, query)


def _documents(library_id: int, query: PageQuery) -> Page[DocumentOut]:
    rows = _with_newest(Document.objects.filter(library=find_library(library_id)))
    found, next_cursor = pages.read(rows, query, by="pk", newest_first=False)
    newest = DocumentVersion.objects.in_bulk([vars(row)["newest_id"] for row in found])
    shown = [DocumentOut.of(row, newest.get(vars(row)["newest_id"])) for row in found]
    return Page(items=shown, next_cursor=next_cursor)


@operations.post("/libraries/{library_id}/documents", scopes=WRITE, response={201: DocumentOut}, takes=FILE_BODY)
async def upload_document(request: ApiRequest, library_id: Path[Key], query: Query[NewFile]) -> Answer[DocumentOut]:
    """Add a file of at most 16 MiB as a new document.

    The worker reads it: `newest.state` says how far it is. Should the answer get lost, look for its `fingerprint` in
    the list before you send it again.
    """
    await spend_staff_action(request.caller)
    return Answer(201, await in_thread(_upload)(request, library_id, query.name))


def _upload(request: ApiRequest, library_id: int, name: str) -> DocumentOut:
    library = changeable(request.caller, library_id)
    version = intake.add_file(library, _file_of(request, name), name, request.caller.actor)
    jobs.read_soon(version)
    return DocumentOut.of(version.document, version)


@operations.get("/documents/{document_id}", scopes=READ, response=DocumentOut)
async def get_document(request: ApiRequest, document_id: Path[Key]) -> DocumentOut:
    """Return one document."""
    return await in_thread(lambda: _shown(document_id))()


@operations.get("/documents/{document_id}/versions", scopes=READ, response=Page[DocumentVersionOut])
async def list_document_versions(
    request: ApiRequest, document_id: Path[Key], query: Query[PageQuery]
) -> Page[DocumentVersionOut]:
    """List the versions of a document, the newest first."""
    return await in_thread(_versions)(document_id, query)


def _versions(document_id: int, query: PageQuery) -> Page[DocumentVersionOut]:
    found, next_cursor = pages.read(_document(document_id).versions.all(), query, by="pk")
    return Page(items=[DocumentVersionOut.of(row) for row in found], next_cursor=next_cursor)


@operations.post("/documents/{document_id}/versions", scopes=WRITE, response={201: DocumentOut}, takes=FILE_BODY)
async def replace_document(request: ApiRequest, document_id: Path[Key], query: Query[NewFile]) -> Answer[DocumentOut]:
    """Add a file of at most 16 MiB as the next version. The one before is found until the worker has read it."""
    await spend_staff_action(request.caller)
    return Answer(201, await in_thread(_replace)(request, document_id, query.name))


def _replace(request: ApiRequest, document_id: int, name: str) -> DocumentOut:
    document = _document(document_id)
    changeable(request.caller, document.library_id)
    if document.withdrawn_at:
        raise Problem(409, "document_withdrawn", _("The document was withdrawn."))
    if document.kind != Document.Kind.FILE:
        raise Problem(409, "document_refused", _("This document is read from its address."))
    version = intake.replace_file(document, _file_of(request, name), name, request.caller.actor)
    jobs.read_soon(version)
    return DocumentOut.of(document, version)


@operations.get("/documents/{document_id}/versions/{number}/passages", scopes=READ, response=Page[PassageOut])
async def list_passages(
    request: ApiRequest, document_id: Path[Key], number: Path[Key], query: Query[PageQuery]
) -> Page[PassageOut]:
    """List the passages of a version, as they are searched and cited."""
    return await in_thread(_passages)(document_id, number, query)


def _passages(document_id: int, number: int, query: PageQuery) -> Page[PassageOut]:
    version = DocumentVersion.objects.filter(document=document_id, number=number).first()
    if version is None:
        raise problems.not_found()
    found, next_cursor = pages.read(version.chunks.all(), query, by="ordinal", newest_first=False)
    return Page(items=[PassageOut.of(row) for row in found], next_cursor=next_cursor)


@operations.post("/documents/{document_id}/withdraw", scopes=WRITE, response=DocumentOut)
async def withdraw_document(request: ApiRequest, document_id: Path[Key]) -> DocumentOut:
    """Withdraw a document: its text is erased everywhere. Repeating it changes nothing.

    Title and fingerprints are kept, so that the record of sessions still says what they were told.
    """
    await spend_staff_action(request.caller)
    return await in_thread(_withdraw)(request.caller, document_id)


def _withdraw(caller: Caller, document_id: int) -> DocumentOut:
    document = _document(document_id)
    changeable(caller, document.library_id)
    intake.withdraw(document, caller.actor)
    return _shown(document_id)


def find_library(library_id: int) -> Library:
    row = Library.objects.filter(pk=library_id).first()
    if row is None:
        raise problems.not_found()
    return row


def changeable(caller: Caller, library_id: int) -> Library:
    """Return a library that the caller may change. Raises Problem if the key is for tests, and the library is not."""
    library = find_library(library_id)
    if caller.is_test:
        users = PersonaVersion.objects.filter(library=library).select_related("avatar__account", "model_service")
        services = {row.model_service for row in users if row.model_service} | {row.avatar.account for row in users}
        if not all(service.is_emulated for service in services):
            raise problems.test_key()
    return library


async def spend_staff_action(caller: Caller) -> None:
    await budgets.spend("staff_action", person=caller.user_id, address=caller.address)


def _with_newest(rows: QuerySet[Document]) -> QuerySet[Document]:
    newest = DocumentVersion.objects.filter(document=OuterRef("pk")).order_by("-number").values("pk")[:1]
    return rows.annotate(newest_id=Subquery(newest))


def _document(document_id: int) -> Document:
    row = Document.objects.filter(pk=document_id).first()
    if row is None:
        raise problems.not_found()
    return row


def _shown(document_id: int) -> DocumentOut:
    document = _document(document_id)
    return DocumentOut.of(document, document.versions.order_by("-number").first())


def _file_of(request: ApiRequest, name: str) -> Any:
    """Return the file in the body. Raises Problem if its kind cannot be read, or it is too large."""
    if PurePosixPath(name.lower()).suffix not in SUFFIXES:
        title = _("This document is not possible.")
        raise Problem(409, "document_refused", title, detail=DocumentVersion.Failure.UNSUPPORTED.label)
    return io.BytesIO(body_of(request, intake.MAX_FILE_BYTES, FILE))
