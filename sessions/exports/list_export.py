"""Exports of lists.

Every export is a row: who requested it, from which address, for what reason, and its size.

Rows are read by key, a page at a time, without an open cursor. Memory does not grow with the number of rows, and a
job that was interrupted continues at the end of its file.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO, Any, cast
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db.models import F, Max, Q, QuerySet
from django.utils import timezone

from heygen_portal.branding.current import current
from heygen_portal.models import EventType
from heygen_portal.people.preferences import time_zones
from heygen_portal.trail import audit_log, statements
from heygen_portal.trail.models import AuditEntry
from heygen_portal.webhooks import outbox
from heygen_portal.webhooks.outbox import Notice
from sessions.exports import filters as export_filters
from sessions.exports import formats
from sessions.exports.formats import Row
from sessions.lifecycle import coverage, events, line_standing
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import Erasure, Export, SessionEvent, StreamingSession, Utterance

# Rows read and written at once.
PAGE_ROWS = 500
# Up to so many rows are streamed in the response; the worker writes more of them to a file.
MAX_STREAMED_ROWS = 5000
# The row of an export is never deleted.
FILE_LIFETIME = timedelta(days=1)
# Another worker takes over a file that has not been written to for so long.
WRITER_TIMEOUT = timedelta(minutes=1)

# A workbook cannot be continued; so many rows take some seconds. Longer lists are exported as CSV.
MAX_XLSX_ROWS = 50_000
CHUNK_BYTES = 64 * 1024
FOLDER_MODE, FILE_MODE = 0o700, 0o600

logger = logging.getLogger(__name__)


class TooManyRows(Exception):
    """The list has more rows than the format allows."""


What, Format, State = Export.What, Export.Format, Export.State
TO_WRITE = (State.WAITING, State.WRITING)
SEPARATORS: Mapping[str, str] = {Format.CSV: ",", Format.CSV_SEMICOLONS: ";"}
WITH_FILE = (*TO_WRITE, State.READY)
SESSION_COLUMNS = (
    "id", "user__username", "guest_id", "persona__name", "persona_version", "account__name", "provider_session_id",
    "status", "end_reason", "end_evidence", "limit_by", "created_at", "opened_at", "live_at", "stop_requested_at",
    "ended_at", "is_paid", "conversation_id", "continues_id",
)  # fmt: skip
EVENT_COLUMNS = ("session_id", "number", "source", "kind", "at", "data", "previous_hash", "hash")
LINE_COLUMNS = (
    "session_id", "at", "who", "by", "kind", "is_interrupted", "interruption", "source", "standing", "text",
)  # fmt: skip
# Attributes exported in place of columns: `shown` is a placeholder if a text cannot be decrypted.
READABLE_ATTRIBUTES = {"text": "shown"}
COLUMNS: Mapping[str, tuple[str, ...]] = {
    What.SESSIONS: SESSION_COLUMNS,
    What.EVENTS: EVENT_COLUMNS,
    What.LINES: LINE_COLUMNS,
}


def request_export(
    user_id: int,
    address: str | None,
    what: str,
    format: str,
    *,
    reason: str = "",
    filters: Mapping[str, str] | None = None,
    session: StreamingSession | None = None,
    as_file: bool = False,
) -> Export:
    """Record an export.

    Its state is `sent` if it can be streamed, or `waiting` if the worker must write a file: with `as_file`, it always
    does.

    The export of one session is stated in that session's record, that of a list in the audit log.
    Raises UnknownFilter and TooManyRows.
    """
    export = Export(
        asked_by_id=user_id,
        asked_from=address,
        what=what,
        format=format,
        reason=reason,
        filters=dict(filters or {}),
        session=session,
        state=State.SENT,
    )
    if session is None and (as_file or _rows(export)[: MAX_STREAMED_ROWS + 1].count() > MAX_STREAMED_ROWS):
        export.state = State.WAITING
        if format == Format.XLSX and _rows(export)[: MAX_XLSX_ROWS + 1].count() > MAX_XLSX_ROWS:
            raise TooManyRows
    with transaction.atomic():
        export.save(force_insert=True)
        stated = statements.state(coverage.EXPORT, export)
        if session is None:
            details = {"what": what, "format": format, "filters": export.filters, "reason": reason, **stated}
            audit_log.record_by(user_id, address, AuditEntry.Kind.EXPORTED, export.pk, **details)
        else:
            details = {"export": str(export.pk), "by": user_id, "from": address, "format": format, "reason": reason}
            events.record(session.pk, Entry(EventKind.EXPORTED, details | stated))
    return export


def mark_sent(export: Export, rows_done: int) -> None:
    """Store how many rows a streamed export had."""
    export.rows_done = rows_done
    _mark_answer(export, State.SENT)


def mark_cut_off(export: Export) -> None:
    """Store that a streamed export ended early, and how many rows were handed over.

    The client disconnected, or a row could not be read. Rows in the operating system's buffers count as sent.
    """
    _mark_answer(export, State.CUT_OFF)


def _mark_answer(export: Export, state: Export.State) -> None:
    with transaction.atomic():
        rows = Export.objects.filter(pk=export.pk, state=State.SENT)
        if rows.update(state=state, rows_done=export.rows_done):
            _record_state(export.pk, export.asked_by_id, export.asked_from)


def _record_state(export_id: UUID, by_id: int | None = None, address: str | None = None) -> None:
    """State an export's progress in the record.

    The caller has changed its row in the same transaction.
    """
    export = Export.objects.get(pk=export_id)
    stated = statements.state(coverage.EXPORT, export, *sorted(coverage.EXPORT.progress.columns))
    if export.session_id is None:
        audit_log.record_by(by_id, address, AuditEntry.Kind.EXPORT_STATE, export.pk, state=str(export.state), **stated)
    else:
        details = {"export": str(export.pk), "by": by_id, "from": address, "state": str(export.state)}
        events.record(export.session_id, Entry(EventKind.EXPORT_STATE, details | stated))


def stream(export: Export) -> Iterator[bytes]:
    """Yield the content of an export, then store how many rows it had.

    `export.rows_done` is kept up to date for `mark_cut_off`.
    """
    if export.format == Format.XLSX:
        written = 0

        def counted_pages() -> Iterator[list[Row]]:
            nonlocal written
            for rows, _ in _pages(export):
                written += len(rows)
                yield rows

        yield from _workbook(export, counted_pages())
        export.rows_done = written  # part of a workbook contains no readable rows
    else:
        yield _head(export)
        for rows, _ in _pages(export):
            yield _body(export, rows)
            export.rows_done += len(rows)
    mark_sent(export, export.rows_done)


def _workbook(export: Export, pages: Iterator[list[Row]]) -> Iterator[bytes]:
    """Yield a small workbook.

    Its temporary file has no name and is deleted with the response.
    """
    with TemporaryDirectory(dir=_folder(), prefix="answer-") as scratch, TemporaryFile(dir=scratch) as file:
        formats.write_workbook(file, Path(scratch), _columns(export), pages, current().own_name)
        file.seek(0)
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def continue_writing(export_id: UUID, seconds: float) -> bool:
    """Write an export's file for about `seconds`; return whether rows remain.

    Of several callers, only one writes. File content that the row does not account for is written again. If writing
    fails, the file is deleted, unless the database was unavailable: then the next call continues.
    """
    export = _claim(export_id)
    if export is None:
        return False
    try:
        if export.format == Format.XLSX:
            is_current_writer, has_more = _write_workbook(export), False
        else:
            is_current_writer, has_more = _write_rows(export, time.monotonic() + seconds)
        if is_current_writer and not has_more:
            is_current_writer = _finish(export, state=State.READY, expires_at=timezone.now() + FILE_LIFETIME)
    except Exception as exc:
        if not isinstance(exc, OperationalError | InterfaceError) or _is_disk_full(exc):
            _remove(export)  # before the row: on a full disk, the row may not be stored either
            with suppress(DatabaseError):
                _finish(export, state=State.FAILED)
        raise
    if not is_current_writer and not Export.objects.filter(pk=export.pk, state__in=WITH_FILE).exists():
        _remove(export)  # it was cancelled meanwhile
    return is_current_writer and has_more


def _is_disk_full(exc: Exception) -> bool:
    return any(words in str(exc) for words in ("disk is full", "No space left"))  # as SQLite and PostgreSQL say


def _write_rows(export: Export, pause_at: float) -> tuple[bool, bool]:
    """Append rows until `pause_at`.

    Returns whether this is still the writer, and whether rows remain.
    """
    with _open_file(export) as file:
        for rows, key in _pages(export):
            file.write(_body(export, rows))
            file.flush()
            if not _update_progress(export, written=file.tell(), rows_done=F("rows_done") + len(rows), last_key=key):
                return False, False
            if time.monotonic() > pause_at:
                return True, True
    return True, False


class _Abandoned(Exception):
    """Another worker took the export over, or it was cancelled."""


def _write_workbook(export: Export) -> bool:
    """Write the whole workbook; return whether this is still the writer."""

    def pages() -> Iterator[list[Row]]:
        done = 0
        for rows, _ in _pages(export):
            done += len(rows)
            if not _update_progress(export, rows_done=done):
                raise _Abandoned
            yield rows

    export.written = 0
    with suppress(_Abandoned), _new_scratch(export) as scratch, _open_file(export) as file:
        formats.write_workbook(file, scratch, _columns(export), pages(), current().own_name)
        return _update_progress(export, written=file.seek(0, os.SEEK_END))
    return False


def _claim(export_id: UUID) -> Export | None:
    export = Export.objects.filter(pk=export_id, state__in=TO_WRITE).first()
    if export is None:
        return None
    if export.state == State.WAITING:
        export.rows_total = _rows(export).count()
    is_current_writer = _update_progress(export, state=State.WRITING, rows_total=export.rows_total)
    return export if is_current_writer else None


def _folder() -> Path:
    """Return the folder of all exports.

    Only the portal's operating system user can enter it.
    """
    folder = Path(settings.MEDIA_ROOT) / "exports"
    folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    if folder.stat().st_mode & 0o077:  # created by an earlier version
        folder.chmod(FOLDER_MODE)
    return folder


@contextmanager
def _new_scratch(export: Export) -> Iterator[Path]:
    _folder()
    shutil.rmtree(export.scratch, ignore_errors=True)  # left by a worker that was killed
    export.scratch.mkdir(mode=FOLDER_MODE)
    try:
        yield export.scratch
    finally:
        shutil.rmtree(export.scratch, ignore_errors=True)


def _open_file(export: Export) -> IO[bytes]:
    """Open the file at the end that the row states.

    Only the portal's operating system user can read it.
    """
    _folder()
    if not export.written:
        export.path.unlink(missing_ok=True)
        flags = os.O_CREAT | os.O_EXCL
    else:
        flags = 0
    file = os.fdopen(os.open(export.path, os.O_RDWR | os.O_NOFOLLOW | flags, FILE_MODE), "r+b")
    try:
        file.truncate(export.written)
        file.seek(export.written)
        if not export.written:
            file.write(_head(export))
    except BaseException:
        file.close()
        raise
    return file


def _remove(export: Export) -> None:
    """Delete an export's file and temporary files."""
    shutil.rmtree(export.scratch, ignore_errors=True)
    try:
        export.path.unlink(missing_ok=True)
    except OSError:
        logger.exception("the file of export %s could not be deleted; the next run tries again", export.pk)


def _update_progress(export: Export, **changes: Any) -> bool:
    """Store changes; return False if another writer took over."""
    now = timezone.now()
    own = Export.objects.filter(pk=export.pk, state__in=TO_WRITE, touched_at=export.touched_at)
    if not own.update(touched_at=now, **changes):
        return False
    export.touched_at = now
    return True


def _finish(export: Export, **changes: Any) -> bool:
    """Store and record the final state; return whether this was still the writer."""
    with transaction.atomic():
        is_current_writer = _update_progress(export, **changes)
        if is_current_writer:
            _record_state(export.pk)
            if changes["state"] == State.READY:
                outbox.write(EventType.EXPORT_READY, lambda: _ready_notice(export))
    return is_current_writer


def _ready_notice(export: Export) -> Notice:
    about = {"export": str(export.pk), "what": str(export.what), "format": str(export.format)}
    rows = Export.objects.values_list("rows_done", flat=True).get(pk=export.pk)
    return Notice(EventType.EXPORT_READY, {**about, "rows": rows, "requested_by": export.asked_by_id})


def stale_exports(now: datetime) -> list[UUID]:
    """Return the exports without an active writer: their job was lost or died."""
    return list(
        Export.objects.filter(state__in=TO_WRITE, touched_at__lte=now - WRITER_TIMEOUT).values_list("pk", flat=True)
    )


def delete_files(exports: QuerySet[Export]) -> None:
    """Delete the files of these exports and cancel those being written.

    Their rows stay.
    """
    for export in exports.filter(state__in=WITH_FILE):
        with transaction.atomic():
            kept = Export.objects.filter(pk=export.pk, state__in=WITH_FILE)
            if kept.update(state=State.EXPIRED, touched_at=timezone.now()):
                _record_state(export.pk)
        _remove(export)


def delete_expired(now: datetime) -> None:
    """Delete files that expired, may contain erased speech, or have no export."""
    delete_files(Export.objects.filter(state=State.READY, expires_at__lte=now))
    delete_files(Export.objects.filter(state__in=TO_WRITE, asked_at__lte=now - FILE_LIFETIME))  # never finished
    erased_at = Erasure.objects.aggregate(last=Max("at"))["last"]
    if erased_at:  # the process may have died between an erasure and `delete_transcript_files`
        delete_files(Export.objects.filter(what=What.LINES, asked_at__lt=erased_at))
    _delete_orphaned_files(now)


def _delete_orphaned_files(now: datetime) -> None:
    """Delete files that no export needs.

    Deleting them failed, or their process was killed.
    """
    folder = Path(settings.MEDIA_ROOT) / "exports"
    for path in folder.iterdir() if folder.exists() else ():
        try:
            kept = TO_WRITE if path.suffix == ".tmp" else WITH_FILE
            is_kept = Export.objects.filter(pk=UUID(path.stem), state__in=kept).exists()
        except ValueError:  # temporary files of a streamed workbook
            is_kept = now.timestamp() - path.lstat().st_mtime < WRITER_TIMEOUT.total_seconds()
        except FileNotFoundError:
            continue
        if is_kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def delete_transcript_files() -> None:
    """Delete all files with transcripts.

    They may contain speech that was erased.
    """
    delete_files(Export.objects.filter(what=What.LINES))


def _columns(export: Export) -> list[str]:
    return [_column_name(column) for column in COLUMNS[export.what]]


def _head(export: Export) -> bytes:
    separator = SEPARATORS.get(export.format)
    return formats.csv_head(_columns(export), separator) if separator else b""


def _body(export: Export, rows: Iterable[Row]) -> bytes:
    separator = SEPARATORS.get(export.format)
    return formats.csv_rows(rows, separator) if separator else formats.json_lines(rows)


def _pages(export: Export) -> Iterator[tuple[list[Row], Any]]:
    """Yield pages of rows in order, each with the key of its last row."""
    columns, key, after = COLUMNS[export.what], export.last_key, PAGE_QUERIES[export.what]
    # Tables are for people, JSON is for programs and keeps UTC, in which events were hashed.
    zone = UTC if export.format == Format.JSONL else time_zones.of(export.asked_by_id)
    while rows := _read(export, after(_rows(export), key)[:PAGE_ROWS], columns):
        last = rows[-1]
        key = [last["created_at"].isoformat(), str(last["pk"])] if export.what == What.SESSIONS else last["pk"]
        yield [{_column_name(column): formats.json_value(row[column], zone) for column in columns} for row in rows], key
        if len(rows) < PAGE_ROWS:
            return


def _read(export: Export, rows: QuerySet[Any], columns: tuple[str, ...]) -> list[dict[str, Any]]:
    if export.what == What.LINES:  # only the model can decrypt texts
        lines = line_standing.set_standing(list(rows))
        return [{name: getattr(row, READABLE_ATTRIBUTES.get(name, name)) for name in ("pk", *columns)} for row in lines]
    return list(rows.values("pk", *columns))


def _column_name(column: str) -> str:
    """Return the name of an exported column, without the field of a joined table."""
    return column.removesuffix("__username").removesuffix("__name")


def _rows(export: Export) -> QuerySet[Any]:
    sessions = export_filters.select(export.filters).order_by()
    if export.what == What.SESSIONS:
        return cast("QuerySet[Any]", sessions)
    model: type[SessionEvent | Utterance] = SessionEvent if export.what == What.EVENTS else Utterance
    rows = model._default_manager.order_by()
    return rows.filter(session__in=sessions.values("pk")) if export.filters else rows


def _sessions_after(rows: QuerySet[Any], key: Any) -> QuerySet[Any]:
    if key:
        at, pk = datetime.fromisoformat(key[0]), key[1]
        rows = rows.filter(created_at__gte=at).filter(Q(created_at__gt=at) | Q(pk__gt=pk))
    return rows.order_by("created_at", "pk")


def _rows_after(rows: QuerySet[Any], key: Any) -> QuerySet[Any]:
    """Return the rows after `key`, in the order in which they were stored."""
    return (rows.filter(pk__gt=key) if key else rows).order_by("pk")


PAGE_QUERIES: Mapping[str, Callable[[QuerySet[Any], Any], QuerySet[Any]]] = {
    What.SESSIONS: _sessions_after,
    What.EVENTS: _rows_after,
    What.LINES: _rows_after,
}
