"""Knowledge bases as Markdown files with name and greeting as front matter.

---
name: "Recepción"
opening: "Hola, ¿en qué puedo ayudarte?"
---
Somos la Clínica Aurora…
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from django.core.exceptions import ValidationError
from django.utils.text import slugify
from django.utils.translation import gettext as _

MAX_FILE_BYTES = 256 * 1024
MAX_FILES = 200
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n+", re.DOTALL)
SUFFIXES = (".md", ".markdown", ".txt")


@dataclass(frozen=True)
class KnowledgeText:
    """The texts of one knowledge base."""

    name: str
    opening: str
    prompt: str


def as_markdown(texts: KnowledgeText) -> str:
    """Return the content of a Markdown file. `read` returns the same texts."""
    front = "\n".join(f"{name}: {json.dumps(getattr(texts, name), ensure_ascii=False)}" for name in ("name", "opening"))
    return f"---\n{front}\n---\n{texts.prompt}\n"


def read(content: bytes, file_name: str) -> KnowledgeText:
    """Parse a file. Without front matter, the file name becomes the name.

    Raises ValidationError.
    """
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValidationError(_("%(file)s is not UTF-8 text.") % {"file": file_name})
    front, prompt = {}, text
    if found := FRONT_MATTER.match(text):
        front = {name.strip(): _front_value(value) for name, _colon, value in _front_lines(found[1])}
        prompt = text[found.end() :]
    name = front.get("name") or PurePosixPath(file_name).stem
    if not prompt.strip():
        raise ValidationError(_("%(file)s has no text below its title.") % {"file": file_name})
    return KnowledgeText(name[:200], front.get("opening", ""), prompt.strip())


def as_zip(all_texts: Iterable[KnowledgeText]) -> bytes:
    """Return a zip archive with one uniquely named file for each knowledge base."""
    packed, taken = io.BytesIO(), set[str]()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for texts in all_texts:
            name = file_name(texts)
            while name in taken:
                name = f"_{name}"
            taken.add(name)
            archive.writestr(name, as_markdown(texts))
    return packed.getvalue()


def file_name(texts: KnowledgeText) -> str:
    return f"{slugify(texts.name) or 'knowledge'}.md"


def unpack(file: BinaryIO, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the uploaded file or archive.

    Raises ValidationError if invalid or too large.
    """
    if name.lower().endswith(".zip"):
        yield from _unpack_archive(file, name)
    elif name.lower().endswith(SUFFIXES):
        yield name, _checked_size(file.read(MAX_FILE_BYTES + 1), name)
    else:
        raise ValidationError(_("%(file)s is neither Markdown nor a zip archive.") % {"file": name})


def _unpack_archive(file: BinaryIO, name: str) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(SUFFIXES)]
            if len(entries) > MAX_FILES:
                raise ValidationError(
                    _("%(file)s contains more than %(most)d files.") % {"file": name, "most": MAX_FILES}
                )
            for entry in entries:
                with archive.open(entry) as packed:  # reads at most the allowed size, whatever the archive claims
                    yield entry.filename, _checked_size(packed.read(MAX_FILE_BYTES + 1), entry.filename)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as exc:
        raise ValidationError(_("%(file)s cannot be unpacked.") % {"file": name}) from exc


def _checked_size(content: bytes, name: str) -> bytes:
    if len(content) > MAX_FILE_BYTES:
        raise ValidationError(_("%(file)s is too large.") % {"file": name})
    return content


def _front_lines(front: str) -> Iterator[tuple[str, str, str]]:
    return (line.partition(":") for line in front.splitlines())


def _front_value(text: str) -> str:
    """Return a front matter value, which may be a quoted JSON string or bare text."""
    text = text.strip()
    if text.startswith('"'):
        try:
            return str(json.loads(text))
        except ValueError:
            pass
    return text
