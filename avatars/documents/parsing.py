"""Text of documents: headings and paragraphs in their order, with page and anchor.

Imports no Django: `reader` runs it in a process of its own.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

MAX_PAGES = 2000
MAX_CHARACTERS = 5_000_000
MAX_UNPACKED_BYTES = 200 * 1024 * 1024
MAX_PACKED_FILES = 5000
MAX_FRONT_MATTER_CHARACTERS = 20_000
MAX_TITLE_CHARACTERS = 200
# Each passage repeats the headings above it.
MAX_HEADING_CHARACTERS = 200
MAX_ANCHOR_CHARACTERS = 200
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*(?:\n+|\Z)", re.DOTALL)
DECLARED_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([\w-]{1,40})", re.IGNORECASE)
# What Unicode calls control and format characters, except line breaks and tabs. They hide text or turn it around.
UNWANTED = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


class Unreadable(Exception):
    """The document cannot be read. `code` is one of `DocumentVersion.Failure`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Block:
    """A paragraph, or a heading if `level` is above 0."""

    text: str
    level: int = 0
    page: int | None = None
    anchor: str = ""


@dataclass(frozen=True)
class UnreadPage:
    """A page without text. `reason` is `scan` or `damaged`."""

    page: int
    reason: str


@dataclass(frozen=True)
class Parsed:
    """What was read of a document. `pages` is 0 for a kind of document without pages."""

    title: str
    blocks: list[Block]
    pages: int = 0
    unread: list[UnreadPage] = field(default_factory=list)


def parse(content: bytes, name: str) -> Parsed:
    """Parse a file by the ending of its name. Raises Unreadable."""
    reader = READERS.get(PurePosixPath(name.lower()).suffix)
    if reader is None:
        raise Unreadable("unsupported")
    found = reader(content)
    if sum(len(block.text) for block in found.blocks) > MAX_CHARACTERS:
        raise Unreadable("too_large")
    blocks = [block for block in map(_cleaned, found.blocks) if block.text]
    if not any(not block.level for block in blocks):
        raise Unreadable("empty")
    return Parsed(_line(found.title)[:MAX_TITLE_CHARACTERS], blocks, found.pages, found.unread)


def _cleaned(block: Block) -> Block:
    text = unicodedata.normalize("NFC", UNWANTED.sub("", block.text)).strip()
    return Block(
        _line(text)[:MAX_HEADING_CHARACTERS] if block.level else text,
        block.level,
        block.page,
        _line(block.anchor)[:MAX_ANCHOR_CHARACTERS],
    )


def _line(text: str) -> str:
    return " ".join(UNWANTED.sub("", text).split())


def _decoded(content: bytes, charset: str = "") -> str:
    """Return text in UTF-8 or UTF-16 with its mark, in the declared encoding, or else in Windows' Western European."""
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if is_wide else ("utf-8-sig", charset or "cp1252", "latin-1"):
        try:
            text = content.decode(encoding)
        except (UnicodeError, LookupError):
            continue
        if "\0" not in text:
            return text.replace("\r\n", "\n").replace("\r", "\n")
    raise Unreadable("damaged")


# Plain text and tables.


def _read_text(content: bytes) -> Parsed:
    pages = _decoded(content).split("\f")
    blocks = [
        Block(paragraph, page=number if len(pages) > 1 else None)
        for number, page in enumerate(pages, 1)
        for paragraph in re.split(r"\n[ \t]*\n", page)
    ]
    return Parsed("", blocks, len(pages) if len(pages) > 1 else 0)


def _read_csv(content: bytes) -> Parsed:
    """Return one block per row, each value with the name of its column."""
    text = _decoded(content)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:10_000], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    try:
        rows = [[_line(value) for value in row] for row in csv.reader(io.StringIO(text, newline=""), dialect)]
    except csv.Error as exc:
        raise Unreadable("damaged") from exc
    named = rows[0] if rows else []
    return Parsed("", [Block(_row(named, row), anchor=f"row-{number}") for number, row in enumerate(rows[1:], 2)])


def _row(names: list[str], values: list[str]) -> str:
    names = [*names, *[""] * len(values)]
    return "; ".join(f"{name}: {value}" if name else value for name, value in zip(names, values, strict=False) if value)


# HTML, and what is made into HTML: Markdown and Word.

HEADINGS = {f"h{level}": level for level in range(1, 7)}
LEFT_OUT = (
    "script",
    "style",
    "noscript",
    "template",
    "svg",
    "iframe",
    "form",
    "nav",
    "footer",
    "aside",
    "dialog",
)
# Elements that begin a paragraph of their own.
APART = frozenset({
    "address", "article", "blockquote", "body", "caption", "center", "dd", "details", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "header", "hr", "li", "main", "ol", "p", "pre", "section", "summary", "table", "tbody",
    "td", "tfoot", "th", "thead", "tr", "ul",
})  # fmt: skip


def _read_html(content: bytes) -> Parsed:
    declared = DECLARED_CHARSET.search(content[:2048])
    return _from_html(_decoded(content, declared[1].decode() if declared else ""), is_page=True)


def _from_html(html: str, *, is_page: bool = False) -> Parsed:
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(html)
    title = tree.css_first("title")
    root = tree.body
    if root is None:
        return Parsed("", [])
    if is_page:
        tree.strip_tags(list(LEFT_OUT))
        while hidden := tree.css_first("[hidden]"):
            hidden.decompose()
        root = tree.css_first("main") or tree.css_first("[role=main]") or tree.css_first("article") or root
        for header in root.css("header") if root.tag == "body" else ():
            header.decompose()
    blocks = list(_Walk().blocks(root))
    first = next((block.text for block in blocks if block.level), "")
    return Parsed(title.text() if title and _line(title.text()) else first, blocks)


class _Walk:
    """One pass over a tree, which gathers what stands in one line."""

    def __init__(self) -> None:
        self._line: list[str] = []
        self._anchor = ""

    def blocks(self, node: Any) -> Iterator[Block]:
        yield from self._inside(node)
        yield from self._end()

    def _inside(self, node: Any) -> Iterator[Block]:
        for child in node.iter(include_text=True):
            tag = child.tag
            if tag == "-text":
                self._line.append(child.text() or "")
            elif tag == "br":
                self._line.append("\n")
            elif tag == "table":
                yield from self._end()
                yield from self._table(child)
            elif tag in HEADINGS:
                yield from self._end()
                self._anchor = _anchor_of(child) or self._anchor
                yield Block(child.text(), HEADINGS[tag], anchor=self._anchor)
            elif tag in APART:
                yield from self._end()
                yield from self._inside(child)
                yield from self._end()
            else:
                yield from self._inside(child)

    def _table(self, table: Any) -> Iterator[Block]:
        rows = [[_line(cell.text(separator=" ")) for cell in row.css("th, td")] for row in table.css("tr")]
        first = table.css_first("tr")
        has_names = first is not None and first.css_first("td") is None and first.css_first("th") is not None
        names = rows[0] if has_names else []
        for values in rows[1:] if has_names else rows:
            yield Block(_row(names, values), anchor=self._anchor)

    def _end(self) -> Iterator[Block]:
        text, self._line = "".join(self._line), []
        lines = filter(None, map(_line, text.split("\n\n"))) if "\n\n" in text else filter(None, [_line(text)])
        for paragraph in lines:
            yield Block(paragraph, anchor=self._anchor)


def _anchor_of(heading: Any) -> str:
    named = [heading, *heading.css("[id], a[name]")]
    return next((name for each in named if (name := each.attributes.get("id") or each.attributes.get("name"))), "")


def _read_markdown(content: bytes) -> Parsed:
    """Return Markdown with the title of its YAML front matter."""
    from markdown_it import MarkdownIt

    text = _decoded(content)
    title = ""
    if match := FRONT_MATTER.match(text):
        title, text = _title_in(match[1]), text[match.end() :]
    found = _from_html(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
    anchor, blocks = "", []
    for block in found.blocks:
        anchor = _slug(block.text) if block.level else anchor
        blocks.append(Block(block.text, block.level, anchor=anchor))
    return Parsed(title or found.title, blocks)


def _title_in(front_matter: str) -> str:
    import yaml

    if len(front_matter) > MAX_FRONT_MATTER_CHARACTERS:
        raise Unreadable("damaged")
    try:
        fields = yaml.safe_load(front_matter)
    except (yaml.YAMLError, ValueError):
        return ""
    fields = fields if isinstance(fields, dict) else {}
    return next((value for name in ("title", "name") if isinstance(value := fields.get(name), str)), "")


def _slug(heading: str) -> str:
    """Return the anchor that sites give a heading of Markdown."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _read_docx(content: bytes) -> Parsed:
    import mammoth

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            packed = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as exc:
        # Word wraps a document with a password into the older container.
        raise Unreadable("encrypted" if content.startswith(b"\xd0\xcf\x11\xe0") else "damaged") from exc
    if len(packed) > MAX_PACKED_FILES or sum(file.file_size for file in packed) > MAX_UNPACKED_BYTES:
        raise Unreadable("too_large")
    no_pictures = mammoth.images.img_element(lambda image: {})
    return _from_html(mammoth.convert_to_html(io.BytesIO(content), convert_image=no_pictures).value)


# PDF.


def _read_pdf(content: bytes) -> Parsed:
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        pdf = PdfReader(io.BytesIO(content))
        if pdf.is_encrypted and not pdf.decrypt(""):
            raise Unreadable("encrypted")
        count = len(pdf.pages)
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Unreadable("damaged") from exc
    if count > MAX_PAGES:
        raise Unreadable("too_large")
    headings = _outline(pdf)
    blocks: list[Block] = []
    unread: list[UnreadPage] = []
    characters = 0
    for number in range(1, count + 1):
        try:
            page = pdf.pages[number - 1]
            lines = [line for raw in page.extract_text().splitlines() if (line := _line(raw))]
            if not lines and _has_pictures(page):
                unread.append(UnreadPage(number, "scan"))
        except (PyPdfError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, NotImplementedError):
            unread.append(UnreadPage(number, "damaged"))
            continue
        characters += sum(map(len, lines))
        if characters > MAX_CHARACTERS:
            raise Unreadable("too_large")
        blocks += _page_blocks(lines, headings.get(number, []), number)
    title = pdf.metadata.title if pdf.metadata else ""
    return Parsed(title if isinstance(title, str) else "", blocks, count, unread)


def _has_pictures(page: Any) -> bool:
    resources = page.get("/Resources")
    return bool(resources and "/XObject" in resources.get_object())


def _outline(pdf: Any) -> dict[int, list[tuple[str, int]]]:
    """Return titles and levels of the bookmarks by their page, as far as they can be read."""
    from pypdf.errors import PyPdfError

    found: dict[int, list[tuple[str, int]]] = {}

    def collect(entries: list[Any], level: int) -> None:
        for entry in entries:
            if isinstance(entry, list):
                collect(entry, level + 1)
            elif (index := pdf.get_destination_page_number(entry)) is not None and index >= 0:
                found.setdefault(index + 1, []).append((_line(str(entry.title)), min(level, 6)))

    with suppress(PyPdfError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        collect(pdf.outline, 1)
    return found


def _page_blocks(lines: list[str], headings: list[tuple[str, int]], page: int) -> Iterator[Block]:
    """Yield a page's headings, where their words stand in a line of their own or else at its top, and paragraphs."""
    left = [(title, level) for title, level in headings if title]
    plain = [line.casefold() for line in lines]
    yield from (Block(title, level, page) for title, level in left if title.casefold() not in plain)
    paragraph: list[str] = []
    longest = max(map(len, lines), default=0)
    for line in lines:
        found = next((each for each in left if each[0].casefold() == line.casefold()), None)
        if found:
            yield Block(_joined(paragraph), page=page)
            yield Block(found[0], found[1], page)
            left.remove(found)
            paragraph = []
            continue
        paragraph.append(line)
        # The last line of a paragraph ends a sentence and leaves room.
        if line.endswith((".", "!", "?", ":")) and len(line) < 0.8 * longest:
            yield Block(_joined(paragraph), page=page)
            paragraph = []
    yield Block(_joined(paragraph), page=page)


def _joined(lines: list[str]) -> str:
    """Join lines, and words that were broken at their ends."""
    return re.sub(r"(?<=[^\W\d_])-\n(?=[^\W\d_])", "", "\n".join(lines)).replace("\n", " ")


READERS: dict[str, Callable[[bytes], Parsed]] = {
    ".pdf": _read_pdf,
    ".docx": _read_docx,
    ".html": _read_html,
    ".htm": _read_html,
    ".md": _read_markdown,
    ".markdown": _read_markdown,
    ".txt": _read_text,
    ".csv": _read_csv,
}
SUFFIXES = tuple(READERS)
