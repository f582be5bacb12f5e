"""Files of an upload: one file, or those of a zip archive made on any system."""

from __future__ import annotations

import lzma
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

MAX_FILE_BYTES = 256 * 1024
MAX_FILES = 200
SUFFIXES = (".md", ".markdown", ".txt")
# What `zipfile` and its decompressors raise for damaged, encrypted or unsupported archives.
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)
# Flag bit of an entry whose name is UTF-8.
UTF_8_NAME = 0x800
# Folder in which macOS stores resource forks, and what its AppleDouble files begin with.
MAC_FOLDER, APPLE_DOUBLE_PREFIX, APPLE_DOUBLE_MAGIC = "__MACOSX", "._", b"\x00\x05\x16\x07"
SYSTEM_FILES = (".ds_store", "thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class UploadedText:
    """One file. `path` is its path in the archive, in NFC and with slashes."""

    path: str
    content: bytes


@dataclass(frozen=True)
class Upload:
    """Files that may contain texts, and the paths of those that cannot."""

    files: list[UploadedText]
    ignored: list[str]


def unpack(file: BinaryIO, name: str) -> Upload:
    """Return the files of an uploaded file or archive.

    Files that systems add on their own are left out.

    Raises ValidationError if invalid, damaged or too large.
    """
    name = unicodedata.normalize("NFC", name)
    if name.lower().endswith(".zip"):
        return _unpack_archive(file, name)
    if name.lower().endswith(SUFFIXES):
        return Upload([UploadedText(name, _checked_size(file.read(MAX_FILE_BYTES + 1), name))], [])
    raise ValidationError(_("%(file)s is neither Markdown nor a zip archive.") % {"file": name})


def _unpack_archive(file: BinaryIO, name: str) -> Upload:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [(_path(entry), entry) for entry in archive.infolist() if not entry.filename.endswith("/")]
            entries = [(path, entry) for path, entry in entries if path and not _is_of_system(path)]
            texts = [(path, entry) for path, entry in entries if path.lower().endswith(SUFFIXES)]
            if len(texts) > MAX_FILES:
                raise ValidationError(
                    _("%(file)s contains more than %(most)d files.") % {"file": name, "most": MAX_FILES}
                )
            ignored = [path for path, _entry in entries if not path.lower().endswith(SUFFIXES)]
            return Upload(list(_read_entries(archive, texts, name)), ignored)
    except UNREADABLE as exc:
        raise ValidationError(_("%(file)s is damaged or not a zip archive.") % {"file": name}) from exc


def _read_entries(
    archive: zipfile.ZipFile, entries: list[tuple[str, zipfile.ZipInfo]], name: str
) -> Iterator[UploadedText]:
    for path, entry in entries:
        if entry.flag_bits & 1:
            raise ValidationError(_("%(file)s in %(archive)s is encrypted.") % {"file": path, "archive": name})
        try:
            with archive.open(entry) as packed:  # reads at most the allowed size, whatever the archive claims
                content = packed.read(MAX_FILE_BYTES + 1)
        except UNREADABLE as exc:
            words = _("%(file)s in %(archive)s is damaged. Create the archive again.")
            raise ValidationError(words % {"file": path, "archive": name}) from exc
        if not _is_apple_double(path, content):
            yield UploadedText(path, _checked_size(content, path))


def _path(entry: zipfile.ZipInfo) -> str:
    """Return an entry's path.

    Many programs write names in UTF-8 or a DOS code page without saying so.
    """
    path = entry.filename
    if not entry.flag_bits & UTF_8_NAME:
        path = _decoded(path)
    return unicodedata.normalize("NFC", path.replace("\\", "/"))


def _decoded(name: str) -> str:
    """Return a name as its writer meant it.

    `zipfile` has read it as code page 437, the standard's default.
    """
    try:
        raw = name.encode("cp437")
    except UnicodeEncodeError:  # read from the entry's Unicode field
        return name
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    # Western European Windows writes 850, in which the letters "ÁÂÀ" and others are box drawings in 437.
    return name if _has_letters_only(name) else raw.decode("cp850")


def _has_letters_only(name: str) -> bool:
    return all(sign.isascii() or sign.isalnum() for sign in name)


def _is_of_system(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return MAC_FOLDER in parts[:-1] or PurePosixPath(path).name.lower() in SYSTEM_FILES


def _is_apple_double(path: str, content: bytes) -> bool:
    return PurePosixPath(path).name.startswith(APPLE_DOUBLE_PREFIX) and content.startswith(APPLE_DOUBLE_MAGIC)


def _checked_size(content: bytes, name: str) -> bytes:
    if len(content) > MAX_FILE_BYTES:
        raise ValidationError(_("%(file)s is too large.") % {"file": name})
    return content
