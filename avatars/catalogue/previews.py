"""Previews as the pages show them: a provider's may weigh megabytes, and need not be what it says it is."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageOps

ENDING = ".webp"
WIDEST = (1280, 720)
"""A picture is shown at most as large as the room's stage."""
QUALITY = 75
MOST_PIXELS = 40_000_000
FORMATS = ("PNG", "JPEG", "WEBP")


class NotAPictureError(ValueError):
    """What a provider gave is no picture, or one too large to be opened."""


def as_shown(content: bytes) -> bytes:
    """Return a picture drawn anew: as large as it is shown, and nothing in it but its pixels.

    The same content gives the same bytes. Raises NotAPictureError.
    """
    shown = BytesIO()
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise NotAPictureError("it has too many pixels")
            picture.draft("RGB", WIDEST)  # a JPEG need not be opened in full
            upright = ImageOps.exif_transpose(picture).convert("RGBA" if picture.has_transparency_data else "RGB")
            upright.thumbnail(WIDEST)
            upright.save(shown, "WEBP", quality=QUALITY, method=6)
    except (OSError, SyntaxError, Image.DecompressionBombError) as exc:
        raise NotAPictureError("it cannot be opened") from exc
    return shown.getvalue()
