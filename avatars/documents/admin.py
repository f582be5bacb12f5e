"""Libraries in the admin: their documents, a test question, written answers and questions without one."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.core.paginator import Paginator
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action, display

from avatars.documents import intake, jobs, libraries, written_answers
from avatars.documents.parsing import SUFFIXES
from avatars.documents.search import MIN_SCORE, search
from avatars.models import Chunk, Document, DocumentVersion, Library, WrittenAnswer
from avatars.models.documents import MAX_ANSWER_CHARACTERS
from heygen_portal.console.model_admin import ModelAdmin
from heygen_portal.console.widgets import NoDelete, object_or_404
from heygen_portal.runtime.text import limits
from heygen_portal.trail.change_log import Actor

MAX_FILES = 50
PASSAGES_ON_PAGE = 50
QUESTIONS_SHOWN = 50
TEST_RESULTS = 5
MAX_QUESTION_CHARACTERS = 300
State = DocumentVersion.State


@admin.register(Library)
class LibraryAdmin(NoDelete, ModelAdmin):
    """Libraries. All work on their documents is on one page."""

    empty_words = _("A library holds the documents from which personas answer.")
    list_display = ("name", "language_name", "document_count", "version")
    fields = ("name", "language")
    search_fields = ("name__folded",)
    actions_detail = ("documents",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Library]:
        rows: QuerySet[Library] = super().get_queryset(request)
        return rows.annotate(in_use=Count("documents", filter=Q(documents__withdrawn_at=None)))

    def save_model(self, request: HttpRequest, obj: Library, form: Any, change: bool) -> None:
        libraries.save(obj, Actor.of(request))

    @display(description=_("language"), ordering="language")
    def language_name(self, library: Library) -> str:
        return str(library.get_language_display())

    @display(description=_("documents"), ordering="in_use")
    def document_count(self, library: Library) -> int:
        return int(vars(library)["in_use"])

    @action(description=_("Documents and answers"), url_path="documents", permissions=["view"])
    def documents(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the documents, or with `?document=` the passages of one. On POST, change one thing."""
        library: Library = object_or_404(self, request, object_id)
        may_change = self.has_change_permission(request, library)
        if request.method == "POST":
            if not may_change:
                raise PermissionDenied
            self._change(request, library)
            return redirect(request.path)
        context = {"library": library, "may_change": may_change, "opts": self.opts, "title": str(library)}
        if "document" in request.GET:
            template, more = "admin/avatars/document.html", _passages_of(library, request)
        else:
            template, more = "admin/avatars/library.html", _overview(library, request, may_change)
        return render(request, template, self.admin_site.each_context(request) | context | more)

    def _change(self, request: HttpRequest, library: Library) -> None:
        actor, sent = Actor.of(request), request.POST
        if "upload" in sent:
            for file in self._readable(request, request.FILES.getlist("files")):
                jobs.read_soon(intake.add_file(library, _stream(file), file.name or "", actor))
        elif key := _key(sent.get("replace")):
            document = get_object_or_404(library.documents, pk=key, withdrawn_at=None)
            for file in self._readable(request, request.FILES.getlist("file")[:1]):
                jobs.read_soon(intake.replace_file(document, _stream(file), file.name or "", actor))
        elif key := _key(sent.get("withdraw")):
            document = get_object_or_404(library.documents, pk=key)
            intake.withdraw(document, actor)
            words = gettext("%(document)s was withdrawn. Its text was erased.")
            messages.success(request, words % {"document": document})
        elif "answer" in sent:
            self._save_answer(request, library)
        elif key := _key(sent.get("delete_answer")):
            written_answers.delete(get_object_or_404(library.written_answers, pk=key), actor)
            messages.success(request, gettext("The answer was deleted."))
        elif key := _key(sent.get("close")):
            library.unanswered.filter(pk=key).update(closed_at=timezone.now())

    def _readable(self, request: HttpRequest, files: list[UploadedFile[bytes]]) -> list[UploadedFile[bytes]]:
        """Return the files that can be read, and say of the others why not."""
        found = []
        for file in files[:MAX_FILES]:
            if PurePosixPath((file.name or "").lower()).suffix not in SUFFIXES:
                words = gettext("%(file)s: This kind of file cannot be read.")
            elif (file.size or 0) > intake.MAX_FILE_BYTES:
                words = gettext("%(file)s is too large.")
            else:
                found.append(file)
                continue
            messages.error(request, words % {"file": file.name})
        if found:
            words = ngettext("%(count)d file is being read.", "%(count)d files are being read.", len(found))
            messages.success(request, words % {"count": len(found)})
        else:
            messages.warning(request, gettext("No file was uploaded."))
        return found

    def _save_answer(self, request: HttpRequest, library: Library) -> None:
        sent = request.POST
        wordings = written_answers.as_wordings(sent.get("wordings", ""))
        text = sent["answer"].strip()
        if not wordings or not text or limits.length(text, MAX_ANSWER_CHARACTERS) > MAX_ANSWER_CHARACTERS:
            words = gettext("Write a question and an answer of at most %(most)d characters.")
            messages.error(request, words % {"most": MAX_ANSWER_CHARACTERS})
            return
        key = _key(sent.get("written"))
        answer = get_object_or_404(library.written_answers, pk=key) if key else WrittenAnswer(library=library)
        answer.language, answer.wordings, answer.answer = answer.language if key else library.language, wordings, text
        written_answers.save(answer, Actor.of(request))
        if question := _key(sent.get("question")):
            library.unanswered.filter(pk=question).update(closed_at=timezone.now())
        messages.success(request, gettext("The answer was saved and is used at once."))


def _key(sent: str | None) -> int | None:
    return int(sent) if sent and sent.isdecimal() and len(sent) < 19 else None


def _stream(file: UploadedFile[bytes]) -> Any:
    return file.file


def _overview(library: Library, request: HttpRequest, may_change: bool) -> dict[str, Any]:
    newest = DocumentVersion.objects.filter(document=OuterRef("pk")).order_by("-number").values("pk")[:1]
    documents = list(library.documents.annotate(newest=Subquery(newest)))
    versions = DocumentVersion.objects.in_bulk([vars(document)["newest"] for document in documents])
    rows = [(document, versions.get(vars(document)["newest"])) for document in documents]
    question = limits.shortened(request.GET.get("q", "").strip(), MAX_QUESTION_CHARACTERS)
    found = (
        search(library.pk, library.version, question, language=library.language, limit=TEST_RESULTS, min_score=0)
        if question
        else []
    )
    waiting = library.unanswered.filter(closed_at=None).select_related("closest__version__document")
    return {
        "rows": rows,
        "is_under_way": any(version and version.is_under_way for _document, version in rows),
        "accept": ",".join(SUFFIXES),
        "passage_count": sum(v.chunk_count for _d, v in rows if v and v.state == State.READY),
        "question": question,
        "found": [(passage, round(passage.score * 100), passage.score >= MIN_SCORE) for passage in found],
        "written": written_answers.find_written_answer(library.pk, question, library.language) if question else None,
        "answers": list(library.written_answers.select_related("saved_by")),
        # What people asked is for those who answer it.
        "unanswered": list(waiting[:QUESTIONS_SHOWN]) if may_change else [],
        "max_answer_characters": MAX_ANSWER_CHARACTERS,
    }


def _passages_of(library: Library, request: HttpRequest) -> dict[str, Any]:
    key = _key(request.GET.get("document"))
    if key is None:
        raise Http404
    document: Document = get_object_or_404(library.documents, pk=key)
    versions = list(document.versions.select_related("added_by"))
    shown = next((version for version in versions if version.state == State.READY), versions[0] if versions else None)
    pages = Paginator(Chunk.objects.filter(version=shown).order_by("ordinal"), PASSAGES_ON_PAGE)
    return {
        "title": document.title,
        "document": document,
        "versions": versions,
        "shown": shown,
        "page": pages.get_page(request.GET.get("page")),
    }
