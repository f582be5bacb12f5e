"""Previews as the pages show them: a provider's may weigh megabytes, and need not be what it says it is."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageOps

SUFFIX = ".webp"
MAX_SIZE = (1280, 720)
"""A picture is shown at most as large as the room's stage."""
QUALITY = 75
MAX_PIXELS = 40_000_000
FORMATS = ("PNG", "JPEG", "WEBP")


class InvalidImageError(ValueError):
    """What a provider gave is no picture, or one too large to be opened."""


def render_preview(content: bytes) -> bytes:
    """Return a picture drawn anew: as large as it is shown, and nothing in it but its pixels.

    The same content gives the same bytes. Raises NotAPictureError.
    """
    output = BytesIO()
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InvalidImageError("it has too many pixels")
            picture.draft("RGB", MAX_SIZE)  # a JPEG need not be opened in full
            upright = ImageOps.exif_transpose(picture).convert("RGBA" if picture.has_transparency_data else "RGB")
            upright.thumbnail(MAX_SIZE)
            upright.save(output, "WEBP", quality=QUALITY, method=6)
    except (OSError, SyntaxError, Image.DecompressionBombError) as exc:
        raise InvalidImageError("it cannot be opened") from exc
    return output.getvalue()
