"""Pictures of a brand, decoded and written again, so that nothing of an uploaded file is served.

SVG is refused: it can contain scripts, links and fonts of other sites.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_UPLOAD_BYTES = 400 * 1024
# Decoded, these pixels take 64 MB.
MAX_PIXELS = 16_000_000
# Twice what pages show, for screens with a high resolution.
LOGO_SIZE = (640, 160)
ICON_SIZE = (512, 512)
# What makes a file more likely text than a picture that was damaged.
MARKUP = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<", b"\xfe\xff\x00<", b"\x1f\x8b")


class Purpose(StrEnum):
    LOGO = "logo"
    ICON = "icon"


class Refused(StrEnum):
    """Why a file is no picture of a brand."""

    SVG = "svg"
    TOO_LARGE = "too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    UNREADABLE = "unreadable"


class PictureRefused(ValueError):
    def __init__(self, why: Refused) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True)
class Rendered:
    """A picture as PNG. `sha256` names it in its address."""

    content: bytes
    sha256: str
    width: int
    height: int


def render(content: bytes, purpose: Purpose) -> Rendered:
    """Return an uploaded picture as PNG in the size of its purpose, without metadata.

    A logo keeps its proportions, an icon becomes square. Raises PictureRefused.
    """
    if len(content) > MAX_UPLOAD_BYTES:
        raise PictureRefused(Refused.TOO_LARGE)
    if content.lstrip().startswith(MARKUP):
        raise PictureRefused(Refused.SVG)
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise PictureRefused(Refused.TOO_MANY_PIXELS)
            upright = ImageOps.exif_transpose(picture).convert("RGBA")
    except Image.DecompressionBombError as exc:
        raise PictureRefused(Refused.TOO_MANY_PIXELS) from exc
    except PictureRefused:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as exc:
        raise PictureRefused(Refused.UNREADABLE) from exc
    return _as_png(_scaled(upright, purpose))


def _scaled(picture: Image.Image, purpose: Purpose) -> Image.Image:
    if purpose == Purpose.LOGO:
        picture.thumbnail(LOGO_SIZE)
        return picture
    fitted = ImageOps.contain(picture, ICON_SIZE)
    square = Image.new("RGBA", ICON_SIZE)  # transparent
    square.paste(fitted, ((ICON_SIZE[0] - fitted.width) // 2, (ICON_SIZE[1] - fitted.height) // 2))
    return square


def _as_png(picture: Image.Image) -> Rendered:
    output = BytesIO()
    # A new image, because Pillow writes what it read beside the pixels.
    clean = Image.frombytes("RGBA", picture.size, picture.tobytes())
    clean.save(output, "PNG", optimize=True)
    content = output.getvalue()
    return Rendered(content, hashlib.sha256(content).hexdigest(), *picture.size)
