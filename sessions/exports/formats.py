"""Formats of exported rows and captions: CSV, Excel, JSON Lines and WebVTT.

Independent of the database.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import chain, pairwise
from pathlib import Path
from typing import IO, Any
from unicodedata import category
from uuid import UUID

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from heygen_portal.runtime.text import bidi

_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
# Signs that begin a formula in spreadsheets; some treat the full-width forms alike.
_FORMULA_SIGNS = "-=+@＝＋－＠"
# Signs that may separate cells in programs that expect another separator than the comma, or ignore quotes.
_SEPARATORS = ",;:|^~#/&!?$%*`\\\\，；：｜、\\t\\n\\r\\v\\f\\x1c-\\x1f\\x85\\u2028\\u2029"
# Invisible characters that Unicode counts as letters, marks, symbols or unassigned.
_BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8"
_TAGS = "\U000e0000-\U000e0fff"


def _ignored() -> str:
    """Return the signs that programs skip before a formula: quotes, spaces and all invisible characters."""
    is_separator = re.compile(f"[{_SEPARATORS}]").match
    signs = map(chr, chain(range(0x3100), range(0xF000, 0x20000)))  # beyond, only tags are invisible
    hidden = (sign for sign in signs if category(sign) in ("Cc", "Cf", "Zs") and not is_separator(sign))
    return f"\"'{_BLANKS}{_TAGS}{re.escape(''.join(hidden))}"


_IGNORED = _ignored()
_FORMULA = re.compile(f"(^|[{_SEPARATORS}])(?=[{_IGNORED}]*[{_FORMULA_SIGNS}])")
_ESCAPED_IN_JSON = re.compile(f"(?:(?<![^\\W_])|(?<=[{_IGNORED}]))[{_FORMULA_SIGNS}]")
# The limit of Excel. Longer texts are cut and end with an ellipsis.
MAX_CELL_CHARACTERS = 32_767
# Reading speed.
CAPTION_CHARACTERS_PER_SECOND = 15
MIN_CAPTION_DURATION, MAX_CAPTION_DURATION = timedelta(seconds=1.5), timedelta(seconds=12)

Row = Mapping[str, Any]


def csv_head(columns: Sequence[str], separator: str = ",") -> bytes:
    """Return the header line, after a byte order mark.

    The mark tells spreadsheets that the file is UTF-8.
    """
    return b"\xef\xbb\xbf" + _csv([columns], separator)


def csv_rows(rows: Iterable[Row], separator: str = ",") -> bytes:
    """Return a line for each row.

    No cell is a formula, whatever separator a program expects.
    """
    return _csv(([_cell(value) for value in row.values()] for row in rows), separator)


def _csv(rows: Iterable[Sequence[Any]], separator: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue().encode(errors="backslashreplace")


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return without_formulas(value)
    return _json_cell(value) if isinstance(value, dict | list) else value


def without_formulas(text: str) -> str:
    """Return a text with an apostrophe wherever a cell could begin with a formula.

    A program that expects another separator than the comma may begin a cell inside the text.
    """
    found = _FORMULA.sub(r"\1'", text)
    return f"'{found}" if text.startswith(("\t", "\r", "\n")) else found


def _json_cell(value: Any) -> str:
    """Return JSON that is not a formula.

    Signs are escaped, so that it still decodes to the same value.
    """

    def escaped(text: re.Match[str]) -> str:
        return _ESCAPED_IN_JSON.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text[0])

    return _JSON_TEXT.sub(escaped, to_json(value))


def write_workbook(
    file: IO[bytes], scratch: Path, columns: Sequence[str], pages: Iterable[Iterable[Row]], portal: str = ""
) -> None:
    """Write an Excel workbook with one sheet in bounded memory.

    Texts are never formulas, links or numbers. Properties and printed pages name the portal, if it has a name.

    `scratch` is an empty folder for unencrypted temporary files; the caller removes it.
    """
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = Workbook(file, {"constant_memory": True, "tmpdir": str(scratch), **options})
    sheet = book.add_worksheet()
    if portal:
        book.set_properties({"author": portal, "company": portal})
        sheet.set_header(f"&L{portal.replace('&', '&&')}&R&D")
        sheet.set_footer("&C&P / &N")
    try:
        _fill(sheet, columns, pages, book.add_format({"bold": True}))
        book.close()
    finally:
        if not sheet.row_data_fh.closed:  # XlsxWriter leaves it open after an error
            sheet.row_data_fh.close()


def _fill(sheet: Worksheet, columns: Sequence[str], pages: Iterable[Iterable[Row]], head: Format) -> None:
    sheet.freeze_panes(1, 0)
    for column, name in enumerate(columns):
        sheet.write_string(0, column, name, head)
    for number, row in enumerate(chain.from_iterable(pages), start=1):
        for column, value in enumerate(row.values()):
            if isinstance(value, bool):
                sheet.write_boolean(number, column, value)
            elif isinstance(value, int | float):
                sheet.write_number(number, column, value)
            elif value is not None:
                sheet.write_string(number, column, _workbook_text(value))


def _workbook_text(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value)
    whole = text.encode(errors="backslashreplace").decode()
    return whole if len(whole) <= MAX_CELL_CHARACTERS else f"{whole[: MAX_CELL_CHARACTERS - 1]}…"


def json_lines(rows: Iterable[Row]) -> bytes:
    """Return a line of JSON for each row."""
    return b"".join(to_json(row).encode(errors="backslashreplace") + b"\n" for row in rows)


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Caption:
    """One line of speech."""

    at: datetime
    who: str
    text: str
    # Remark shown in brackets after the text.
    note: str = ""


def captions(lines: Iterable[Caption], began_at: datetime, title: str, portal: str = "") -> Iterator[str]:
    """Yield the lines as WebVTT, one by one, with times since `began_at`.

    A note names the portal, if it has a name.

    A caption lasts until the next one, or as long as it takes to read. Lines from before `began_at` start at zero.
    """
    yield f"WEBVTT - {_in_caption(title)}\n"
    if portal:
        yield f"\nNOTE {_in_caption(portal)}\n"
    for number, (line, following) in enumerate(pairwise(chain(lines, [None])), start=1):
        assert line is not None  # only the last `following` is None
        start = max(line.at - began_at, timedelta(0))
        read = timedelta(seconds=len(line.text) / CAPTION_CHARACTERS_PER_SECOND)
        until_next = max(following.at - began_at, timedelta(0)) - start if following else MAX_CAPTION_DURATION
        end = start + max(min(read, until_next, MAX_CAPTION_DURATION), MIN_CAPTION_DURATION)
        times = f"{_timestamp(start)} --> {_timestamp(end)}"
        yield f"\n{number}\n{times}\n<v {_in_caption(line.who)}>{_in_caption(_with_note(line))}\n"


def _with_note(line: Caption) -> str:
    return f"{bidi.isolated(line.text)} [{line.note}]" if line.note else line.text


def _timestamp(span: timedelta) -> str:
    thousandths = round(span.total_seconds() * 1000)
    seconds, thousandths = divmod(thousandths, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{thousandths:03}"


def on_one_line(text: str) -> str:
    """Replace all line breaks by spaces.

    Otherwise a text could pass for another person's line.
    """
    return " ".join(text.replace("\0", "").split())


def _in_caption(text: str) -> str:
    """Escape a text for a caption.

    No empty line, arrow or tag may end the caption or change its time.
    """
    return html.escape(on_one_line(text), quote=False)


def json_value(value: Any, zone: tzinfo = UTC) -> Any:
    """Return a value for JSON.

    Datetimes become ISO 8601 with the offset of the zone, durations seconds, UUIDs text.
    """
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, UUID) else value
