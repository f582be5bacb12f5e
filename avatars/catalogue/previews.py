"""Re-encode preview images, which may be megabytes large or not images at all."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageOps

SUFFIX = ".webp"
# Width and height in pixels: the largest size at which the room page shows a preview.
MAX_SIZE = (1280, 720)
QUALITY = 75
MAX_PIXELS = 40_000_000
FORMATS = ("PNG", "JPEG", "WEBP")


class InvalidImageError(ValueError):
    """The content is not an image, or has too many pixels."""


def render_preview(content: bytes) -> bytes:
    """Return the image as WebP, resized to MAX_SIZE and without metadata.

    Deterministic: the same content gives the same bytes. Raises InvalidImageError.
    """
    output = BytesIO()
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise InvalidImageError("it has too many pixels")
            picture.draft("RGB", MAX_SIZE)  # lets Pillow decode a JPEG at reduced size
            upright = ImageOps.exif_transpose(picture).convert("RGBA" if picture.has_transparency_data else "RGB")
            upright.thumbnail(MAX_SIZE)
            upright.save(output, "WEBP", quality=QUALITY, method=6)
    except (OSError, SyntaxError, Image.DecompressionBombError) as exc:
        raise InvalidImageError("it cannot be opened") from exc
    return output.getvalue()
