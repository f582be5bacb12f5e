"""How documents enter a library, are replaced and leave it.

The worker reads a file and stores its passages, which nobody finds yet. Then one transaction raises the library's
version, from which on they are found instead of those of the document's earlier version.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from uuid import uuid4

from django.core.files import File
from django.db import connection, transaction
from django.db.models import F, Max
from django.utils import timezone

from avatars.documents import chunks, index, words
from avatars.documents.parsing import Parsed, Unreadable
from avatars.documents.reader import read as read_file
from avatars.models import Chunk, Document, DocumentVersion, Library, LibraryWord
from avatars.models.documents import MAX_TITLE_CHARACTERS, READER_TIMEOUT
from avatars.models.stated import DOCUMENT, DOCUMENT_VERSION, LIBRARY
from heygen_portal.models import EventType
from heygen_portal.runtime.text import limits
from heygen_portal.trail import audit_log, change_log, statements
from heygen_portal.trail.change_log import SERVER, Actor
from heygen_portal.trail.models import AuditEntry
from heygen_portal.webhooks import outbox
from heygen_portal.webhooks.outbox import Notice

State, Failure = DocumentVersion.State, DocumentVersion.Failure
UNDER_WAY = (State.WAITING, State.READING)
STORED_AT_ONCE = 500
MAX_FILE_NAME_CHARACTERS = 255
MAX_FILE_BYTES = 16 * 1024 * 1024


@transaction.atomic
def add_file(library: Library, file: BinaryIO, name: str, actor: Actor) -> DocumentVersion:
    """Store a file as a new document, which the worker will read."""
    document = Document(
        library=library,
        title=limits.shortened(PurePosixPath(name).stem, MAX_TITLE_CHARACTERS),
        created_by_id=actor.user_id,
    )
    audit_log.lock_head()
    document.save(force_insert=True)
    version = _new_version(document, 1, file, name, actor)
    _record(actor, document, statements.state(DOCUMENT, document), statements.state(DOCUMENT_VERSION, version))
    return version


@transaction.atomic
def replace_file(document: Document, file: BinaryIO, name: str, actor: Actor) -> DocumentVersion:
    """Store a file as the next version of a document. The current one is found until the worker has read it."""
    audit_log.lock_head()
    newest = document.versions.select_for_update().aggregate(number=Max("number"))["number"] or 0
    version = _new_version(document, newest + 1, file, name, actor)
    _record(actor, document, statements.state(DOCUMENT_VERSION, version))
    return version


def _new_version(document: Document, number: int, file: BinaryIO, name: str, actor: Actor) -> DocumentVersion:
    content = File(file)
    digest, size = hashlib.sha256(), 0
    for part in content.chunks():  # from its beginning
        digest.update(part)
        size += len(part)
    version = DocumentVersion(
        document=document,
        number=number,
        file_name=PurePosixPath(name).name[-MAX_FILE_NAME_CHARACTERS:],
        size=size,
        fingerprint=digest.hexdigest(),
        added_by_id=actor.user_id,
    )
    version.file.save(uuid4().hex, content, save=False)
    version.save(force_insert=True)
    return version


class _Abandoned(Exception):
    """The document was withdrawn or has a newer version, or the reading was given up as lost."""


def read(version_id: int) -> None:
    """Read the file of a waiting version and make its passages findable.

    Does nothing if another worker has begun to.
    """
    waiting = DocumentVersion.objects.filter(pk=version_id, state=State.WAITING)
    if not waiting.update(state=State.READING, moved_at=timezone.now()):
        return
    version = DocumentVersion.objects.select_related("document__library").get(pk=version_id)
    try:
        parsed = read_file(Path(version.file.path), version.file_name)
        _store_chunks(version, parsed)
        _publish(version, parsed)
    except _Abandoned:
        _fail(version, Failure.LOST)
    except (Unreadable, FileNotFoundError) as exc:
        _fail(version, Failure(exc.code) if isinstance(exc, Unreadable) else Failure.LOST)


def fail_lost(now: datetime) -> None:
    """Give up on files whose worker died while it read them."""
    for version in DocumentVersion.objects.filter(state=State.READING, moved_at__lt=now - READER_TIMEOUT):
        _fail(version, Failure.LOST)


def waiting(now: datetime) -> list[int]:
    """Return the versions that wait for a worker."""
    return list(DocumentVersion.objects.filter(state=State.WAITING).order_by("pk").values_list("pk", flat=True))


def _store_chunks(version: DocumentVersion, parsed: Parsed) -> None:
    """Store the passages in parts, so that other writers need not wait. Raises Unreadable."""
    library = version.document.library
    _delete_chunks(version)  # of a worker that died
    if version.number == 1 and parsed.title and not version.file_name.lower().endswith(".pdf"):  # PDFs have any title
        version.document.title = limits.shortened(parsed.title, MAX_TITLE_CHARACTERS)
    passages = list(islice(chunks.split(parsed.blocks), chunks.MAX_CHUNKS + 1))
    if len(passages) > chunks.MAX_CHUNKS:
        raise Unreadable("too_large")
    sample = " ".join(passage.text for passage in passages[:50])
    version.language = words.language_of(sample, library.language)
    title = version.document.title
    for start in range(0, len(passages), STORED_AT_ONCE):
        rows = [
            Chunk(
                version=version,
                ordinal=ordinal,
                heading=passage.heading,
                page=passage.page,
                anchor=passage.anchor,
                text=passage.text,
                words=" ".join(words.of_passage(f"{title}\n{passage.heading}\n{passage.text}", version.language)),
                fingerprint=passage.fingerprint,
            )
            for ordinal, passage in enumerate(passages[start : start + STORED_AT_ONCE], start + 1)
        ]
        with transaction.atomic():
            # The row is locked: a document that is withdrawn meanwhile gets no more text.
            if not DocumentVersion.objects.filter(pk=version.pk, state=State.READING).update(moved_at=timezone.now()):
                raise _Abandoned
            index.add(library.pk, Chunk.objects.bulk_create(rows))
    fingerprints = "\n".join(passage.fingerprint for passage in passages)
    version.chunk_count = len(passages)
    version.chunks_fingerprint = hashlib.sha256(fingerprints.encode()).hexdigest()


@transaction.atomic
def _publish(version: DocumentVersion, parsed: Parsed) -> None:
    audit_log.lock_head()
    library = Library.objects.select_for_update().get(pk=version.document.library_id)
    if not DocumentVersion.objects.filter(pk=version.pk, state=State.READING).update(moved_at=timezone.now()):
        raise _Abandoned
    document = Document.objects.get(pk=version.document_id)
    newer = document.versions.filter(number__gt=version.number, from_version__isnull=False)
    if document.withdrawn_at or newer.exists():
        raise _Abandoned
    stated = [statements.changed(DOCUMENT, document, version.document)]
    version.document.save(update_fields=["title"])
    stated.append(_raise_version(library))
    stated += [_end(earlier, library) for earlier in _current(version.document_id)]
    version.state, version.moved_at = State.READY, timezone.now()
    version.pages, version.unread = parsed.pages, [asdict(page) for page in parsed.unread]
    version.from_version = library.version
    _count_words(library.pk, version, 1)
    _finish(version)
    stated.append(statements.state(DOCUMENT_VERSION, version, *sorted(DOCUMENT_VERSION.progress.columns)))
    _record(SERVER, version.document, *stated)
    figures = {"language": version.language, "pages": version.pages, "unreadable_pages": len(version.unread)}
    about = figures | {"passages": version.chunk_count, "library_version": library.version}
    _tell_webhooks(EventType.DOCUMENT_READ, version.document, version=version.number, **about)


@transaction.atomic
def _fail(version: DocumentVersion, failure: DocumentVersion.Failure) -> None:
    audit_log.lock_head()
    version = DocumentVersion.objects.select_for_update(of=("self",)).select_related("document").get(pk=version.pk)
    if version.state != State.READING:
        return
    _delete_chunks(version)
    version.state, version.failure, version.moved_at = State.FAILED, failure, timezone.now()
    _finish(version)
    columns = sorted(DOCUMENT_VERSION.progress.columns)
    _record(SERVER, version.document, statements.state(DOCUMENT_VERSION, version, *columns))
    about = {"version": version.number, "failure": str(failure)}
    _tell_webhooks(EventType.DOCUMENT_FAILED, version.document, **about)


@transaction.atomic
def withdraw(document: Document, actor: Actor) -> None:
    """Remove a document's text everywhere, also from what running sessions find. Fingerprints and title are kept."""
    audit_log.lock_head()
    library = Library.objects.select_for_update().get(pk=document.library_id)
    before = Document.objects.select_for_update().get(pk=document.pk)
    if before.withdrawn_at:
        return
    document.withdrawn_at = timezone.now()
    document.save(update_fields=["withdrawn_at"])
    stated = [statements.changed(DOCUMENT, before, document), _raise_version(library)]
    for version in _current(document.pk):
        _end(version, library)
    for version in document.versions.all():
        index.remove(version.chunks.values_list("pk", flat=True))
        version.chunks.update(text="", heading="", anchor="", words="")
        version.state, version.moved_at = State.WITHDRAWN, timezone.now()
        _finish(version)
        stated.append(statements.state(DOCUMENT_VERSION, version, *sorted(DOCUMENT_VERSION.progress.columns)))
    index.forget_removed()
    _record(actor, document, *stated)
    _tell_webhooks(EventType.DOCUMENT_WITHDRAWN, document, library_version=library.version)


def _finish(version: DocumentVersion) -> None:
    """Save a version that needs its file no longer."""
    if version.file:
        transaction.on_commit(partial(version.file.storage.delete, str(version.file.name)))
        version.file = ""
    version.save()


def _delete_chunks(version: DocumentVersion) -> None:
    """Delete the passages of a version that was never found."""
    with transaction.atomic():
        stored = version.chunks.all()
        index.remove(stored.values_list("pk", flat=True))
        stored._raw_delete(stored.db)  # no other table refers to them yet


def _current(document_id: int) -> list[DocumentVersion]:
    return list(DocumentVersion.objects.filter(document=document_id, from_version__isnull=False, until_version=None))


def _end(version: DocumentVersion, library: Library) -> dict[str, Any]:
    """Let sessions that begin now no longer find a version. Returns what to state."""
    version.until_version = library.version
    version.save(update_fields=["until_version"])
    _count_words(library.pk, version, -1)
    return statements.state(DOCUMENT_VERSION, version, "until_version")


def _raise_version(library: Library) -> dict[str, Any]:
    library.version += 1
    library.save(update_fields=["version"])
    return statements.state(LIBRARY, library, "version")


def _count_words(library_id: int, version: DocumentVersion, sign: int) -> None:
    """Add a version's passages to the frequencies of the library's words, or take them away."""
    counts: Counter[str] = Counter()
    for stored in version.chunks.values_list("words", flat=True).iterator(chunk_size=STORED_AT_ONCE):
        counts.update(set(stored.split()))
    known = LibraryWord.objects.filter(library=library_id)
    if sign > 0:
        _add_counts(library_id, counts)
        return
    by_count: dict[int, list[str]] = {}
    for word, count in counts.items():
        by_count.setdefault(count, []).append(word)
    for count, found in by_count.items():
        for start in range(0, len(found), STORED_AT_ONCE):
            part = known.filter(word__in=found[start : start + STORED_AT_ONCE])
            part.filter(chunks__gt=count).update(chunks=F("chunks") - count)
            part.filter(chunks__lte=count).delete()


def _add_counts(library_id: int, counts: Counter[str]) -> None:
    table = LibraryWord._meta.db_table
    # In the order of the words, so that two workers cannot wait for each other.
    rows = [(library_id, word, count) for word, count in sorted(counts.items())]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} (library_id, word, chunks) VALUES (%s, %s, %s)"
            f" ON CONFLICT (library_id, word) DO UPDATE SET chunks = {table}.chunks + excluded.chunks",
            rows,
        )


def _tell_webhooks(event: EventType, document: Document, **more: Any) -> None:
    about = {"library": document.library_id, "document": document.pk, "title": document.title} | more
    outbox.write(event, lambda: Notice(event, about))


def _record(actor: Actor, document: Document, *stated: dict[str, Any]) -> None:
    change_log.record(actor, AuditEntry.Kind.LIBRARY_CHANGED, document, {}, statements.merged(*stated))
