"""Exported files can be read by other programs and execute nothing when opened."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from unicodedata import category

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessions.exports import formats
from sessions.exports.formats import Caption

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
CUE = re.compile(r"(\d+)\n(\d\d+:\d\d:\d\d\.\d{3}) --> (\d\d+:\d\d:\d\d\.\d{3})\n<v ([^>\n]*)>([^\n]*)")
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


def read_back(rows: list[dict[str, Any]]) -> list[list[str]]:
    sent = (formats.csv_head(list(rows[0])) + formats.csv_rows(rows)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(sent, newline="")))[1:]


@given(texts)
@example('=HYPERLINK("http://evil.test")')
@example("\t=1+1")
@example("  +1")
@example("＝1+1")
@example("-2+3\r\n@SUM(A1)")
def test_texts_are_never_formulas_and_stay_complete(text: str) -> None:
    [[cell]] = read_back([{"text": text}]) if text else [[""]]
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert not cell.startswith(("\t", "\r", "\n"))
    assert cell.replace("'", "") == text.replace("'", "")


INVISIBLE = [chr(code) for code in range(0x110000) if category(chr(code)) == "Cf"] + [
    "\u115f",
    "\u3164",
    "\ufe0f",
    "\x7f",
]


def test_no_invisible_character_hides_a_formula() -> None:
    """A spreadsheet may drop such a character, and then read the formula."""
    for hidden in INVISIBLE:
        [[cell, data]] = read_back([{"text": f"a;{hidden}=1", "data": {"a": f"{hidden}=1"}}])
        assert cell == f"a;'{hidden}=1"
        assert data == f'{{"a":"{hidden}\\u003d1"}}'


def test_numbers_stay_numbers() -> None:
    assert read_back([{"n": -3, "is": True, "none": None, "data": {"a": "=1"}}]) == [
        ["-3", "True", "", '{"a":"\\u003d1"}']
    ]


@given(st.lists(st.dictionaries(texts, texts | st.integers() | st.none()), max_size=5))
def test_json_lines_round_trip(rows: list[dict[str, Any]]) -> None:
    lines = formats.json_lines(rows).decode().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == rows


@given(st.lists(st.tuples(st.integers(-5_000, 500_000_000), texts, texts), max_size=6))
def test_captions_are_valid_webvtt(spoken: list[tuple[int, str, str]]) -> None:
    """Check the grammar of WebVTT.

    Blocks are between empty lines, times do not run backwards, and the only tag is `<v>`.
    """
    lines = [Caption(START + timedelta(milliseconds=ms), who, text) for ms, who, text in sorted(spoken)]
    head, note, *blocks = (
        "".join(formats.captions(lines, START, "Lucía\n\n-->", "Aurora\n\n-->")).rstrip("\n").split("\n\n")
    )
    assert re.fullmatch(r"WEBVTT - [^\n]*", head)
    assert note == "NOTE Aurora --&gt;"
    assert len(blocks) == len(lines)
    for number, block in enumerate(blocks, 1):
        cue = CUE.fullmatch(block)
        assert cue
        assert int(cue[1]) == number
        assert cue[2] < cue[3] or len(cue[2]) < len(cue[3])
        assert "<" not in cue[5]
        assert "-->" not in cue[5]


@pytest.mark.parametrize(("after_s", "end"), [(1, "00:00:01.500"), (3, "00:00:03.000"), (60, "00:00:06.667")])
def test_a_caption_ends_when_read_or_at_the_next_one(after_s: int, end: str) -> None:
    lines = [Caption(START, "Lucía", "a" * 100), Caption(START + timedelta(seconds=after_s), "ana", "Hola")]
    assert f"00:00:00.000 --> {end}\n<v Lucía>aaa" in "".join(formats.captions(lines, START, ""))


def test_the_remark_of_a_caption_stays_behind_arabic_or_hebrew() -> None:
    caption = Caption(START, "Lucía", "مرحبا!", "Reported")
    assert "<v Lucía>\u2068مرحبا!\u2069 [Reported]\n" in "".join(formats.captions([caption], START, "Lucía"))
