"""Attacks on exports: spreadsheet formulas, and files kept for too long."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any
from unittest.mock import patch
from xml.etree import ElementTree
from zipfile import ZipFile

import pytest
from cryptography.exceptions import InvalidTag
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from xlsxwriter.exceptions import FileCreateError

from sessions.exports import formats, list_export
from sessions.exports.list_export import Format, State, What
from sessions.models import Erasure, Export, Status, StreamingSession
from sessions.retention import erasure
from tests.support.factories import StreamingSessionFactory, UserFactory

SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
INVISIBLE = '" \xa0\u3000\u200b\ufeff\0'
texts = st.text(st.sampled_from("=+-@＝;,:|\t\r\n\"' \u2028\u200b\xa0a1ñ\\"), max_size=12)
# On a busy machine hypothesis generates inputs slowly, which says nothing about exports.
at_any_speed = hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cells(sent: bytes, separator: str) -> list[str]:
    """Return every cell that a program may find.

    Programs parse CSV correctly, or only split lines.
    """
    text = sent.decode("utf-8-sig")
    read = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) for cell in row]
    return [*read, *re.split(f"[{re.escape(separator)}\r\n\v\f\x1c-\x1f\x85\u2028\u2029]", text)]


@pytest.mark.parametrize("separator", [*",;\t|:^~#/&!\\", "；", "，"])
@at_any_speed
@given(text=texts, other=texts)
@example(text="vale;=1+1;gracias", other="")
@example(text="a\t@SUM(A1)", other="b|＋1")
@example(text='x;"=1+1', other='";=1')
@example(text="first\n=1+1", other="; \u200b-2")
def test_speech_never_becomes_a_formula(separator: str, text: str, other: str) -> None:
    sent = formats.csv_rows([{"id": "1", "said": text, "data": {"a": [other, {other: text}]}, "end": other}])
    assert [cell for cell in cells(sent, separator) if cell.strip(INVISIBLE).startswith(SIGNS)] == []


@at_any_speed
@given(st.recursive(texts | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_json_in_a_cell_is_unchanged(value: Any) -> None:
    if isinstance(value, list | dict):
        [[cell]] = csv.reader(io.StringIO(formats.csv_rows([{"data": value}]).decode(), newline=""))
        assert json.loads(cell) == value


@pytest.mark.parametrize("text", ["\ud800", "a\udfff;=1", "=\udc00"])
def test_a_lone_surrogate_breaks_no_export(text: str) -> None:
    assert formats.csv_rows([{"said": text, "data": {"a": text}}])
    assert json.loads(formats.json_lines([{"said": text}])) == {"said": text}


@pytest.fixture
def auditor(transactional_db: None) -> User:
    """Return a user who exports.

    Tests commit, because files are deleted when an erasure is committed.
    """
    return UserFactory.create()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits: more than two rows become a file, with two rows per page."""
    monkeypatch.setattr(list_export, "MAX_STREAMED_ROWS", 2)
    monkeypatch.setattr(list_export, "PAGE_ROWS", 2)


SAID = "vale;=1+1;gracias"


def spoken(count: int = 5) -> StreamingSession:
    session = StreamingSessionFactory.create(status=Status.ENDED)
    for number in range(count):
        session.utterances.create(who="user", by="text", text=f"{SAID} {number}", source="portal")
    return session


def asked(auditor: User, what: str = What.LINES, form: str = Format.CSV) -> Export:
    return list_export.request_export(auditor.pk, None, what, form, reason="complaint 4711")


def finish(export: Export, seconds: float = 9) -> Export:
    while list_export.continue_writing(export.pk, seconds):
        pass
    export.refresh_from_db()
    return export


def left_behind(export: Export) -> list[str]:
    folder = export.path.parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def sheet_of(content: bytes) -> tuple[list[list[Any]], str]:
    """Return a workbook's cells by row, and its sheet's XML."""
    with ZipFile(io.BytesIO(content)) as book:
        xml = book.read("xl/worksheets/sheet1.xml").decode()
    name = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    rows = ElementTree.fromstring(xml).iter(f"{name}row")  # noqa: S314 - our own
    return [["".join(cell.itertext()) for cell in row] for row in rows], xml


FORMS = [Format.CSV, Format.XLSX, Format.JSONL]


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_export_files_are_readable_by_their_owner_only(auditor: User, form: str, umask: int) -> None:
    spoken()
    export = asked(auditor, form=form)
    export.path.parent.mkdir(parents=True)
    export.path.parent.chmod(0o755)  # as an earlier version left it
    export.path.write_bytes(b"left by an earlier version")
    export.path.chmod(0o644)
    before = os.umask(umask)
    try:
        assert finish(export).state == State.READY
    finally:
        os.umask(before)
    assert stat.S_IMODE(export.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(export.path.parent.stat().st_mode) == 0o700


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "trouble",
    [
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EDQUOT, "quota"),
        OperationalError("database or disk is full"),
        InvalidTag(),
    ],
    ids=["disk", "quota", "database", "key"],
)
def test_an_export_that_cannot_be_finished_leaves_no_text_behind(
    auditor: User, monkeypatch: pytest.MonkeyPatch, form: str, trouble: Exception
) -> None:
    spoken()
    export = asked(auditor, form=form)
    read, pages = list_export._read, count(1)

    def fail(*args: Any) -> Any:
        if next(pages) == 3:
            raise trouble
        return read(*args)

    monkeypatch.setattr(list_export, "_read", fail)
    with pytest.raises(type(trouble)):
        finish(export)
    export.refresh_from_db()
    assert (export.state, left_behind(export)) == (State.FAILED, [])


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("form", FORMS)
def test_a_disk_that_is_really_full_leaves_no_text_behind(auditor: User, form: str) -> None:
    """Let the kernel refuse files of more than a few hundred bytes in this process."""
    spoken()
    export = asked(auditor, form=form)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    opened = list_export._open_file

    @contextmanager
    def full(export: Export) -> Iterator[Any]:
        with opened(export) as file, Limited(file, limits) as limited:
            yield limited

    with (
        patch.object(list_export, "_open_file", full),
        pytest.raises((OSError, FileCreateError), match="File too large"),
    ):
        finish(export)
    export.refresh_from_db()
    assert (export.state, left_behind(export)) == (State.FAILED, [])


class Limited:
    """A file that cannot grow.

    The limit applies while it is written, not to the database.
    """

    def __init__(self, file: IO[bytes], limits: tuple[int, int]) -> None:
        self._file, self._limits = file, limits

    def __enter__(self) -> Limited:
        return self

    def __exit__(self, *args: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def _limited(self, call: Callable[..., Any], *args: Any) -> Any:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, self._limits[1]))
        try:
            return call(*args)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)

    def write(self, data: bytes) -> Any:
        return self._limited(self._file.write, data)

    def flush(self) -> Any:
        return self._limited(self._file.flush)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("form", FORMS)
def test_an_export_that_is_erased_while_it_is_written_leaves_no_text_behind(
    auditor: User, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    session = spoken()
    export = asked(auditor, form=form)
    read, pages = list_export._read, count(1)

    def erase_meanwhile(*args: Any) -> Any:
        rows = read(*args)
        if next(pages) == 2:
            assert erasure.erase(session.pk, Erasure.Cause.PERSON)
        return rows

    monkeypatch.setattr(list_export, "_read", erase_meanwhile)
    with suppress(OSError):
        finish(export)
    export.refresh_from_db()
    assert (export.state, left_behind(export)) == (State.EXPIRED, [])


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("state", [State.READY, State.WRITING])
def test_a_file_that_outlived_an_erasure_is_found(auditor: User, state: str) -> None:
    """The process died between the erasure and the deletion of the files."""
    session = spoken()
    export = asked(auditor)
    assert list_export.continue_writing(export.pk, 0)
    if state == State.READY:
        finish(export)
    with patch.object(list_export, "delete_transcript_files"):
        assert erasure.erase(session.pk, Erasure.Cause.PERSON)
    later = asked(auditor)
    assert export.path.exists()
    list_export.delete_expired(timezone.now())
    export.refresh_from_db()
    later.refresh_from_db()
    assert (export.state, left_behind(export), later.state) == (State.EXPIRED, [], State.WAITING)


@pytest.mark.usefixtures("large")
def test_files_that_belong_to_no_export_are_deleted(auditor: User) -> None:
    spoken()
    ready, under_way = finish(asked(auditor)), asked(auditor, form=Format.XLSX)
    under_way.scratch.mkdir()
    failed = asked(auditor)
    Export.objects.filter(pk=failed.pk).update(state=State.FAILED)
    failed.path.write_text("could not be deleted then")
    ready.scratch.mkdir()
    stray = ready.path.parent / "answer-abc"
    stray.mkdir()
    (stray / "tmp").write_text("a process was killed")
    list_export.delete_expired(timezone.now())
    assert left_behind(ready) == sorted([ready.path.name, under_way.scratch.name, stray.name])
    list_export.delete_expired(timezone.now() + 2 * list_export.WRITER_TIMEOUT)
    assert left_behind(ready) == sorted([ready.path.name, under_way.scratch.name])


@pytest.mark.usefixtures("large")
def test_an_unfinished_export_fails_after_a_day(auditor: User) -> None:
    spoken()
    export = asked(auditor)
    assert list_export.continue_writing(export.pk, 0)
    list_export.delete_expired(timezone.now() + 2 * list_export.FILE_LIFETIME)
    export.refresh_from_db()
    assert (export.state, left_behind(export)) == (State.EXPIRED, [])


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("is_large", [True, False])
@pytest.mark.parametrize("text", [SAID, "=1+1", "@SUM(A1)\x00\x1b", "http://evil.test", "12", "\ud800"])
def test_a_workbook_holds_texts_and_no_formulas(auditor: User, is_large: bool, text: str) -> None:
    session = spoken(3 if is_large else 1)
    session.utterances.create(who="user", by="text", text=text, source="portal")
    export = asked(auditor, form=Format.XLSX)
    assert export.state == (State.WAITING if is_large else State.SENT)
    content = finish(export).path.read_bytes() if is_large else b"".join(list_export.stream(export))
    rows, xml = sheet_of(content)
    assert (rows[0][-1], len(rows)) == ("text", 5 if is_large else 3)
    if text.isprintable():
        assert rows[-1][-1] == text
    assert "<f>" not in xml
    assert "hyperlink" not in xml
    assert left_behind(export) == ([export.path.name] if is_large else [])


@pytest.mark.parametrize("value", ["ñ" * 40_000, {"a": "=" * 40_000}, ["\ud800" * 40_000]])
def test_a_workbook_says_where_a_text_is_too_long_for_a_cell(tmp_path: Path, value: Any) -> None:
    book = io.BytesIO()
    formats.write_workbook(book, tmp_path, ["text"], [[{"text": value}], [{"text": "next"}]], "Aurora & Söhne")
    rows, _ = sheet_of(book.getvalue())
    assert (len(rows[1][0]), rows[1][0][-1], rows[2]) == (32_767, "…", ["next"])


@pytest.mark.usefixtures("large")
def test_a_workbook_whose_worker_was_killed_is_written_again_from_the_beginning(auditor: User) -> None:
    spoken()
    export = asked(auditor, form=Format.XLSX)
    export.scratch.mkdir(parents=True)
    (export.scratch / "tmpabc").write_text("half a sheet")
    export.path.write_bytes(b"half a workbook")
    Export.objects.filter(pk=export.pk).update(state=State.WRITING, rows_done=3, written=7)
    rows, _ = sheet_of(finish(export).path.read_bytes())
    assert (len(rows), export.rows_done, export.state) == (6, 5, State.READY)
    assert left_behind(export) == [export.path.name]


@pytest.mark.usefixtures("large")
def test_a_list_too_long_for_a_workbook_is_refused_before_the_download(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_export, "MAX_XLSX_ROWS", 4)
    spoken()
    form = {"what": "lines", "format": "xlsx", "reason": "complaint 4711"}
    page = admin_client.post("/admin/avatar_sessions/export/new/", form, headers={"accept-language": "en"})
    assert "at most 4 rows" in page.content.decode()
    assert not Export.objects.exists()
