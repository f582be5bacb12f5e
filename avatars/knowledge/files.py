"""Knowledge bases as Markdown files with name and greeting as YAML front matter.

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
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import BinaryIO

import yaml
from django.core.exceptions import ValidationError
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from avatars.knowledge import uploads
from avatars.models import MAX_NAME_CHARACTERS
from heygen_portal.runtime.text import graphemes, limits

MAX_FRONT_MATTER_CHARACTERS = 20_000
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*(?:\n+|\Z)", re.DOTALL)
FIELDS = ("name", "opening")
BEGINS_A_FIELD = re.compile(rf"^['\"]?({'|'.join(FIELDS)})['\"]?[ \t]*:", re.MULTILINE)
# Characters that JSON leaves as they are, and YAML forbids or reads as line breaks.
MISREAD_BY_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
PATHS_NAMED = 5


@dataclass(frozen=True)
class KnowledgeText:
    """The texts of one knowledge base."""

    name: str
    opening: str
    prompt: str


@dataclass(frozen=True)
class Imported:
    """The texts of an upload, and what staff should know about them."""

    texts: list[KnowledgeText]
    notices: list[str]


@dataclass(frozen=True)
class _File:
    path: str
    texts: KnowledgeText
    has_own_name: bool  # in its front matter
    unknown_fields: tuple[str, ...] = ()


def as_markdown(texts: KnowledgeText) -> str:
    """Return the content of a Markdown file. `read` returns the same texts."""
    front = "\n".join(f"{name}: {_quoted(getattr(texts, name))}" for name in FIELDS)
    return f"---\n{front}\n---\n{texts.prompt}\n"


def read(content: bytes, path: str) -> KnowledgeText:
    """Parse a file.

    Without a name in the front matter, the file name becomes the name.

    Raises ValidationError.
    """
    return _parse(content, path).texts


def read_upload(file: BinaryIO, name: str) -> Imported:
    """Parse an uploaded file or archive.

    Files of the same name in different folders are told apart by their folders. Raises ValidationError with
    everything that has to be corrected.
    """
    upload, found, errors = uploads.unpack(file, name), [], []
    for uploaded in upload.files:
        try:
            found.append(_parse(uploaded.content, uploaded.path))
        except ValidationError as exc:
            errors += exc.messages
    notices = [
        _("%(file)s: %(fields)s was left out. Only name and opening are imported from the front matter.")
        % {"file": one.path, "fields": ", ".join(one.unknown_fields)}
        for one in found
        if one.unknown_fields
    ]
    found = _without_copies(found, notices)
    found = _named_apart(found, notices)
    errors += _ambiguous_names(found)
    if errors:
        raise ValidationError(errors)
    if upload.ignored:
        words = ngettext(
            "%(count)d file is not Markdown and was left out: %(files)s",
            "%(count)d files are not Markdown and were left out: %(files)s",
            len(upload.ignored),
        )
        notices.append(words % {"count": len(upload.ignored), "files": _listed(upload.ignored)})
    return Imported([one.texts for one in found], notices)


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
    """Return a file name, in ASCII if the name has only Latin letters."""
    plain, full = slugify(texts.name), slugify(texts.name, allow_unicode=True)
    return f"{(plain if len(plain) >= len(full) else full) or 'knowledge'}.md"


def _parse(content: bytes, path: str) -> _File:
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValidationError(_("%(file)s is not UTF-8 text.") % {"file": path})
    fields, prompt = _split(text, path)
    own_name = " ".join(fields.get("name", "").split())
    name = unicodedata.normalize("NFC", own_name or PurePosixPath(path).stem)
    if limits.length(name, MAX_NAME_CHARACTERS) > MAX_NAME_CHARACTERS:
        words = _("The name of %(file)s is longer than %(most)d characters.")
        raise ValidationError(words % {"file": path, "most": MAX_NAME_CHARACTERS})
    if not prompt.strip():
        raise ValidationError(_("%(file)s has no text below its title.") % {"file": path})
    texts = KnowledgeText(name, fields.get("opening", ""), prompt.strip())
    return _File(path, texts, bool(own_name), tuple(sorted(fields.keys() - {*FIELDS})))


def _split(text: str, path: str) -> tuple[dict[str, str], str]:
    """Return the front matter's fields and the text below it.

    A block that is no front matter with one of our fields, such as text between two lines, belongs to the text.
    """
    found = FRONT_MATTER.match(text)
    if not found:
        return {}, text
    fields = _front_matter(found[1], path)
    return (fields, text[found.end() :]) if fields.keys() & {*FIELDS} else ({}, text)


def _front_matter(front: str, path: str) -> dict[str, str]:
    """Return the fields of a front matter, or none if it has another format.

    YAML is only composed to nodes, which builds no objects and repeats no aliases.
    """
    if not BEGINS_A_FIELD.search(front):
        return {}
    try:
        if len(front) > MAX_FRONT_MATTER_CHARACTERS:
            raise ValidationError(_("The front matter of %(file)s is too long.") % {"file": path})
        # BaseLoader keeps values such as `No` and `12:30` as texts.
        node = yaml.compose(front, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as exc:
        mark = getattr(exc, "problem_mark", None)
        words = _(
            "The front matter of %(file)s is not valid YAML (line %(line)d). Put values that contain a colon in quotes."
        )
        # Counted from the line above the front matter, and from 0.
        raise ValidationError(words % {"file": path, "line": mark.line + 2 if mark else 2}) from exc
    if not isinstance(node, yaml.MappingNode):
        return {}
    fields: dict[str, str] = {}
    for key, value in node.value:
        name = str(key.value).strip() if isinstance(key, yaml.ScalarNode) else ""
        if name in fields:
            words = _("%(file)s has the field %(field)s twice.")
            raise ValidationError(words % {"file": path, "field": name})
        if name in FIELDS and not isinstance(value, yaml.ScalarNode):
            words = _("The field %(field)s of %(file)s must be a text.")
            raise ValidationError(words % {"file": path, "field": name})
        fields[name] = str(value.value) if isinstance(value, yaml.ScalarNode) else ""
    return fields


def _without_copies(found: Sequence[_File], notices: list[str]) -> list[_File]:
    """Keep one of the files with the same texts and the same own name or path."""
    kept: dict[tuple[str, KnowledgeText], _File] = {}
    for one in found:
        first = kept.setdefault(("" if one.has_own_name else one.path, one.texts), one)
        if first is not one:
            words = _("%(file)s has the same name and text as %(first)s and was imported once.")
            notices.append(words % {"file": one.path, "first": first.path})
    return list(kept.values())


def _named_apart(found: Sequence[_File], notices: list[str]) -> list[_File]:
    """Name files after their paths where their names alone are equal."""
    count = Counter(one.texts.name for one in found)
    apart = []
    for one in found:
        if count[one.texts.name] > 1 and not one.has_own_name and "/" in one.path:
            name = graphemes.last(str(PurePosixPath(one.path).with_suffix("")), MAX_NAME_CHARACTERS)
            words = _("%(file)s was named “%(name)s”, because other files have the same name.")
            notices.append(words % {"file": one.path, "name": name})
            apart.append(replace(one, texts=replace(one.texts, name=name)))
        else:
            apart.append(one)
    return apart


def _ambiguous_names(found: Sequence[_File]) -> list[str]:
    paths: dict[str, list[str]] = {}
    for one in found:
        paths.setdefault(one.texts.name, []).append(one.path)
    words = _("Several files have the name “%(name)s”: %(files)s. Give each a name of its own.")
    return [words % {"name": name, "files": _listed(same)} for name, same in paths.items() if len(same) > 1]


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths[:PATHS_NAMED]) + (", …" if len(paths) > PATHS_NAMED else "")


def _quoted(text: str) -> str:
    """Return a text as a JSON string that YAML reads as the same text."""
    return MISREAD_BY_YAML.sub(lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(text, ensure_ascii=False))
