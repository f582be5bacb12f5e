"""Mark a recorded video as made by AI, in the file itself.

The mark is XMP with the IPTC's digital source type, which is how pictures and videos of generative AI are labelled:
https://cv.iptc.org/newscodes/digitalsourcetype/. XMP belongs into a `uuid` box at the top level of an MP4 (Adobe XMP
Specification, part 3). It is appended, because a box in front of the media data would move what offsets point to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple
from uuid import UUID
from xml.sax.saxutils import escape

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext

XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
HEADER_BYTES, LARGE_SIZE_BYTES, UUID_BYTES = 8, 8, 16
MAX_SIZE = 2**32 - 1

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="{source_type}">
   <dc:description><rdf:Alt>{descriptions}</rdf:Alt></dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


class NotAnMp4(ValueError):
    """The file does not consist of complete boxes."""


class Box(NamedTuple):
    start: int
    kind: bytes
    is_open: bool  # it reaches to the end of the file, whatever that is
    uuid: bytes


def mark(file: BinaryIO) -> None:
    """Append the mark to an MP4, with a description in each language of the pages. Idempotent.

    Raises NotAnMp4.
    """
    boxes = list(_boxes(file))
    if any(box.uuid == XMP_BOX.bytes for box in boxes):
        return
    end = file.seek(0, os.SEEK_END)
    if boxes[-1].is_open:
        _close(file, boxes[-1], end)
    content = XMP.format(source_type=DIGITAL_SOURCE_TYPE, descriptions=_descriptions()).encode()
    file.seek(0, os.SEEK_END)
    size = HEADER_BYTES + UUID_BYTES + len(content)
    file.write(size.to_bytes(4) + b"uuid" + XMP_BOX.bytes + content)


def _descriptions() -> str:
    """Return the description in each language, that of the portal's first language also as the default."""
    found = ""
    for code in ("x-default", *dict(settings.LANGUAGES)):
        with translation.override(settings.LANGUAGE_CODE if code == "x-default" else code):
            words = gettext("This video shows an AI avatar. Its face and voice are generated.")
        found += f'<rdf:li xml:lang="{code}">{escape(words)}</rdf:li>'
    return found


def _boxes(file: BinaryIO) -> Iterator[Box]:
    """Yield the boxes at the top level, the first of which must be `ftyp`. Raises NotAnMp4."""
    end, at = file.seek(0, os.SEEK_END), 0
    while at < end:
        file.seek(at)
        header = file.read(HEADER_BYTES)
        size, kind = int.from_bytes(header[:4]), header[4:]
        shortest, is_open = HEADER_BYTES, size == 0
        if len(header) < HEADER_BYTES:
            raise NotAnMp4(f"cut off at {at}")
        if size == 1:
            size, shortest = int.from_bytes(file.read(LARGE_SIZE_BYTES)), HEADER_BYTES + LARGE_SIZE_BYTES
        size = end - at if is_open else size
        if size < shortest or at + size > end or (at == 0 and kind != b"ftyp"):
            raise NotAnMp4(f"box at {at}")
        yield Box(at, kind, is_open, file.read(UUID_BYTES) if kind == b"uuid" else b"")
        at += size
    if not end:
        raise NotAnMp4("empty")


def _close(file: BinaryIO, box: Box, end: int) -> None:
    """Write the size of a box that reached to the end of the file. Raises NotAnMp4 if there is no room for it."""
    size = end - box.start
    if size > MAX_SIZE:
        raise NotAnMp4(f"open box of {size} bytes")
    file.seek(box.start)
    file.write(size.to_bytes(4))
