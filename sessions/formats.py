"""Rows and captions as other programs read them: CSV, JSON Lines, WebVTT. Knows nothing of the database."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula; the wide ones are the same to some of them."""
CAPTION_SPEED = 15
"""Characters a second that people read."""
SHORTEST_CAPTION, LONGEST_CAPTION = timedelta(seconds=1.5), timedelta(seconds=12)

Row = Mapping[str, Any]


def csv_head(columns: Sequence[str]) -> bytes:
    """Return the first line. The mark before it tells spreadsheets that what follows is UTF-8."""
    return b"\xef\xbb\xbf" + _csv([columns])


def csv_rows(rows: Iterable[Row]) -> bytes:
    """Return a line for each row. Texts that a spreadsheet would calculate are defused."""
    return _csv([_cell(value) for value in row.values()] for row in rows)


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return defused(value)
    return to_json(value) if isinstance(value, dict | list) else value


def defused(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: an apostrophe before it says that it is text.

    Spaces ahead do not hide one, as some programs drop them.
    """
    return f"'{text}" if text.startswith(FORMULA) or text.lstrip().startswith(FORMULA) else text


def json_lines(rows: Iterable[Row]) -> bytes:
    """Return a line of JSON for each row."""
    return b"".join(to_json(row).encode() + b"\n" for row in rows)


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class Caption:
    """One line of speech."""

    at: datetime
    who: str
    text: str


def captions(lines: Sequence[Caption], began_at: datetime, title: str) -> str:
    """Return the lines as WebVTT, timed from `began_at`: each stands until the next, or as long as it takes to read.

    A line that is kept from before counts from the beginning.
    """
    blocks = [f"WEBVTT - {_on_one_line(title)}"]
    starts = [max(line.at - began_at, timedelta(0)) for line in lines]
    for place, line in enumerate(lines):
        start, read = starts[place], timedelta(seconds=len(line.text) / CAPTION_SPEED)
        until_next = starts[place + 1] - start if place + 1 < len(lines) else LONGEST_CAPTION
        end = start + max(min(read, until_next, LONGEST_CAPTION), SHORTEST_CAPTION)
        times = f"{_clock(start)} --> {_clock(end)}"
        blocks.append(f"{place + 1}\n{times}\n<v {_on_one_line(line.who)}>{_on_one_line(line.text)}")
    return "\n\n".join(blocks) + "\n"


def _clock(span: timedelta) -> str:
    thousandths = round(span.total_seconds() * 1000)
    seconds, thousandths = divmod(thousandths, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{thousandths:03}"


def _on_one_line(text: str) -> str:
    """An empty line would end a caption, an arrow would make it a time, a bracket would begin a tag."""
    return html.escape(" ".join(text.split()), quote=False).replace("\0", "")


def plain(value: Any) -> Any:
    """Return what JSON can hold: moments as ISO 8601 in UTC, spans as seconds, keys as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, UUID) else value
