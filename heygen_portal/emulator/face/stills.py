"""Still images of the avatars, as their cameras show them when silent."""

from functools import cache
from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image

from heygen_portal.emulator.face import sprites
from heygen_portal.emulator.face.looks import LOOKS
from heygen_portal.emulator.speech.mouth_shapes import SHUT

__all__ = ["LOOKS", "jpeg", "still"]

_FACE: Final = (400, 70, 880, 550)  # region of the 1280 by 720 image
_FACE_SIZE: Final = (160, 160)
_QUALITY: Final = 85


@cache
def jpeg(look: str, *, is_face: bool) -> bytes:
    """Return the image, or its face, as JPEG. Takes a second or two if not cached."""
    image = still(look)
    if is_face:
        image = image.crop(_FACE).resize(_FACE_SIZE)
    out = BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def still(look: str, mouth: str = SHUT) -> Image.Image:
    """Return the avatar upright with open eyes, at 1280 by 720."""
    sheet = sprites.sheet(look, "high")
    picture = sprites.Picture(sheet)
    picture.show(sprites.SWAY_POSITIONS // 2, mouth, "open")
    return rgb(np.frombuffer(picture.data, np.uint8), sheet.width, sheet.height)


def rgb(i420: sprites.Bytes, width: int, height: int) -> Image.Image:
    """Convert an I420 image, BT.601 with limited range, to RGB."""
    luma, *chroma = (Image.fromarray(plane) for plane in sprites.planes(i420, width, height))
    bright = luma.point([min(max(round((value - 16) * 255 / 219), 0), 255) for value in range(256)])
    wide = [min(max(round(128 + (value - 128) * 255 / 224), 0), 255) for value in range(256)]
    colours = [plane.point(wide).resize((width, height)) for plane in chroma]
    return Image.merge("YCbCr", [bright, *colours]).convert("RGB")
