from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from avatars.documents import intake, jobs, reader
from avatars.documents.search import search
from avatars.models import Chunk, DocumentVersion, Library, LibraryWord
from heygen_portal.trail.change_log import SERVER
from sessions.integrity import audit_statements, verification
from tests.avatars.documents.files import SCAN, pdf
from tests.avatars.documents.uploads import replace, upload

State = DocumentVersion.State


def texts(library: Library, version: int, question: str = "deposit") -> list[str]:
    return [passage.text for passage in search(library.pk, version, question, language="en")]


def stored_files() -> list[Path]:
    return [path for path in (Path(settings.MEDIA_ROOT) / "documents").glob("*") if path.is_file()]


@pytest.mark.both_databases
def test_a_session_keeps_what_it_could_know(library: Library) -> None:
    document = upload(library, "Terms.txt", "The deposit is 100 euros.")
    first = library.version
    replace(document, "Terms 2.txt", "The deposit is 150 euros.")
    library.refresh_from_db()
    assert library.version > first
    assert texts(library, first) == ["The deposit is 100 euros."]
    assert texts(library, library.version) == ["The deposit is 150 euros."]
    assert list(LibraryWord.objects.values_list("word", "chunks").order_by("word")) == [
        ("150", 1),
        ("deposit", 1),
        ("euro", 1),
        ("term", 1),
    ]


@pytest.mark.both_databases
def test_a_withdrawn_document_has_no_text_anywhere(library: Library) -> None:
    document = upload(library, "Terms.txt", "The deposit is 100 euros.")
    replace(document, "Terms.txt", "The deposit is 150 euros.")
    library.refresh_from_db()
    before = library.version
    fingerprints = list(Chunk.objects.values_list("fingerprint", flat=True))
    intake.withdraw(document, SERVER)
    library.refresh_from_db()
    assert texts(library, before) == texts(library, library.version) == []
    assert set(Chunk.objects.values_list("text", "words", "heading")) == {("", "", "")}
    assert list(Chunk.objects.values_list("fingerprint", flat=True)) == fingerprints
    assert not LibraryWord.objects.exists()
    assert set(document.versions.values_list("state", flat=True)) == {State.WITHDRAWN}
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM avatars_chunk_index_data WHERE instr(block, 'deposit') > 0")
            assert cursor.fetchone() == (0,)


def test_pages_that_were_not_read_are_named(library: Library) -> None:
    document = upload(library, "Terms.pdf", pdf(["The deposit is 100 euros."], SCAN))
    version = document.versions.get()
    assert (version.state, version.pages, version.unread) == (State.READY, 2, [{"page": 2, "reason": "scan"}])
    assert search(library.pk, library.version, "deposit", language="en")[0].page == 1


def test_a_file_that_cannot_be_read_leaves_the_earlier_version_in_use(library: Library) -> None:
    document = upload(library, "Terms.txt", "The deposit is 100 euros.")
    failed = replace(document, "Terms.pdf", "no PDF")
    assert (failed.state, failed.failure, failed.from_version) == (State.FAILED, "damaged", None)
    assert texts(library, library.version) == ["The deposit is 100 euros."]


def test_a_file_is_deleted_once_it_was_read(library: Library) -> None:
    upload(library, "Terms.txt", "The deposit is 100 euros.")
    upload(library, "Broken.pdf", "no PDF")
    assert stored_files() == []


def test_a_document_that_is_withdrawn_while_it_is_read_gets_no_text(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = intake.add_file(library, io.BytesIO(b"The deposit is 100 euros."), "Terms.txt", SERVER)
    read = reader.read

    def read_slowly(path: Path, name: str) -> object:
        found = read(path, name)
        intake.withdraw(version.document, SERVER)
        return found

    monkeypatch.setattr(intake, "read_file", read_slowly)
    intake.read(version.pk)
    version.refresh_from_db()
    assert version.state == State.WITHDRAWN
    assert not Chunk.objects.exists()
    assert stored_files() == []


def test_waiting_files_are_offered_again_and_lost_ones_given_up(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, lost = (intake.add_file(library, io.BytesIO(b"Text."), f"{name}.txt", SERVER) for name in ("a", "b"))
    long_ago = timezone.now() - timedelta(hours=1)
    DocumentVersion.objects.filter(pk=lost.pk).update(state=State.READING, moved_at=long_ago)
    offered: list[int] = []
    monkeypatch.setattr(jobs.read_document, "delay", offered.append)
    jobs.maintain_documents.run()
    assert offered == []  # the message was sent just now
    DocumentVersion.objects.filter(pk=waiting.pk).update(moved_at=long_ago)
    jobs.maintain_documents.run()
    jobs.maintain_documents.run()
    lost.refresh_from_db()
    assert offered == [waiting.pk]
    assert (lost.state, lost.failure) == (State.FAILED, "lost")


def test_a_file_that_is_read_after_a_newer_one_does_not_replace_it(library: Library) -> None:
    document = upload(library, "Rules.md", "# Rules\n\nThe deposit is 10 euros.")
    older = intake.replace_file(document, io.BytesIO(b"# Rules\n\nThe deposit is 20 euros."), "Rules.md", SERVER)
    replace(document, "Rules.md", "# Rules\n\nThe deposit is 30 euros.")
    intake.read(older.pk)
    library.refresh_from_db()
    (text,) = texts(library, library.version)
    assert "30 euros" in text
    older.refresh_from_db()
    assert (older.state, older.chunks.count()) == (State.FAILED, 0)


def test_only_one_worker_reads_a_file(library: Library) -> None:
    version = intake.add_file(library, io.BytesIO(b"The deposit."), "a.txt", SERVER)
    intake.read(version.pk)
    intake.read(version.pk)
    assert Chunk.objects.count() == 1


@pytest.mark.both_databases
def test_every_change_is_in_the_audit_log(library: Library) -> None:
    audit_statements.upgrade()  # the library itself was made by the test
    document = upload(library, "Terms.txt", "The deposit is 100 euros.")
    replace(document, "Terms.txt", "The deposit is 150 euros.")
    upload(library, "Broken.pdf", "no PDF")
    intake.withdraw(document, SERVER)
    assert list(verification.faults()) == []
    DocumentVersion.objects.filter(document=document, number=1).update(chunks_fingerprint="0" * 64)
    assert [(fault.table, fault.column) for fault in verification.faults()] == [
        ("document_version", "chunks_fingerprint")
    ]
