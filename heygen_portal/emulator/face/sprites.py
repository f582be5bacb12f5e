"""Prerendered faces: all images of a person, combined 25 times a second.

Drawing a face takes most of a second, pasting a mouth a hundredth of a millisecond. Each look is therefore drawn once
for each size (a few turns of the body, every mouth shape, every state of the eyes), stored as I420 images in the user's
cache folder, and memory-mapped from there.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from math import cos, prod, radians, sin
from pathlib import Path
from shutil import rmtree
from tempfile import NamedTemporaryFile
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from heygen_portal.emulator.face.drawing import WIDTH, Box, Canvas, paste_over
from heygen_portal.emulator.face.lips import LIPS, paint_mouth
from heygen_portal.emulator.face.looks import LOOKS
from heygen_portal.emulator.face.person import EYES, paint_eyes, paint_person, paint_room

Bytes = NDArray[np.uint8]

# WebRTC crops 854, the usual width of 480p, to a multiple of four.
SIZES: Final = {"low": (640, 360), "medium": (852, 480), "high": (1280, 720)}
SWAY_POSITIONS: Final = 9  # positions of the body from side to side; the middle one is upright
_TILT: Final = 0.25  # degrees at either side
_HEM: Final = 16  # extra pixels drawn below the image, which turns make visible
_PIVOT: Final = (640.0, 1000.0)  # below the image, as for a seated person
# Regions of mouth and eyes, with a margin for the turns.
_MOUTH: Final = (556, 418, 724, 536)
_EYES: Final = (496, 244, 784, 376)


@dataclass(frozen=True)
class Patch:
    """I420 images of one region by position of the body and state."""

    box: Box
    names: tuple[str, ...]
    pictures: Bytes  # position, state, byte


@dataclass(frozen=True)
class SpriteSheet:
    """All images of a look at one size."""

    width: int
    height: int
    stills: Bytes  # position, byte
    mouths: Patch
    eyes: Patch


def planes(picture: Bytes, width: int, height: int) -> tuple[Bytes, Bytes, Bytes]:
    """Return views of the three planes of an I420 image."""
    luma, quarter = width * height, width * height // 4
    return (
        picture[:luma].reshape(height, width),
        picture[luma : luma + quarter].reshape(height // 2, width // 2),
        picture[luma + quarter :].reshape(height // 2, width // 2),
    )


class Picture:
    """The avatar's current frame: one buffer in which only changes are replaced."""

    def __init__(self, sheet: SpriteSheet) -> None:
        self.data = bytearray(sheet.stills[0].tobytes())
        self._sheet = sheet
        self._frame = np.frombuffer(self.data, np.uint8)
        self._planes = planes(self._frame, sheet.width, sheet.height)
        self._sway_position = -1
        self._shown = {"": ""}

    def show(self, position: int, mouth: str, eyes: str) -> None:
        if position != self._sway_position:
            self._frame[:] = self._sheet.stills[position]
            self._sway_position = position
            self._shown.clear()
        for patch, name in ((self._sheet.mouths, mouth), (self._sheet.eyes, eyes)):
            key = patch.names[0]
            if self._shown.get(key) != name:
                self._paste(patch, name)
                self._shown[key] = name

    def _paste(self, patch: Patch, name: str) -> None:
        left, top, right, bottom = patch.box
        picture = patch.pictures[self._sway_position, patch.names.index(name)]
        share = 1
        for ours, theirs in zip(self._planes, planes(picture, right - left, bottom - top), strict=True):
            ours[top // share : bottom // share, left // share : right // share] = theirs
            share = 2


def i420(image: Image.Image) -> bytes:
    """Convert an RGB image to I420: BT.601, limited range, chroma at half the size."""
    y, cb, cr = image.convert("YCbCr").split()
    luma = y.point([round(16 + value * 219 / 255) for value in range(256)])
    narrow = [round(128 + (value - 128) * 224 / 255) for value in range(256)]
    return luma.tobytes() + b"".join(plane.reduce(2).point(narrow).tobytes() for plane in (cb, cr))


def draw(look: str, width: int, height: int) -> SpriteSheet:
    """Draw a sprite sheet. Takes a second or two of processor time."""
    person = LOOKS[look]
    room, body = Canvas.blank(width, height), Canvas.blank(width, height + _HEM)
    paint_room(room, person)
    paint_person(body, person)
    wall, figure = room.reduced().convert("RGBA").convert("RGB"), body.reduced()
    whole = (0, 0, width, height)
    mouth_box, eyes_box = _even(_MOUTH, width), _even(_EYES, width)
    mouths, eyes = {}, {}
    for name, lips in LIPS.items():
        paint_mouth(part := body.part(mouth_box), person, lips)
        mouths[name] = part.reduced()
    for name, state in EYES.items():
        paint_eyes(part := body.part(eyes_box), person, state)
        eyes[name] = part.reduced()
    return SpriteSheet(
        width,
        height,
        np.stack([_bytes(paste_over(_swayed(figure, position, whole), wall)) for position in range(SWAY_POSITIONS)]),
        _patch(figure, wall, mouth_box, mouths),
        _patch(figure, wall, eyes_box, eyes),
    )


def _bytes(image: Image.Image) -> Bytes:
    return np.frombuffer(i420(image), np.uint8)


def _patch(figure: Image.Image, wall: Image.Image, box: Box, states: dict[str, Image.Image]) -> Patch:
    rows = []
    for position in range(SWAY_POSITIONS):
        row = []
        for state in states.values():
            person = figure.copy()
            person.paste(state, box)
            row.append(_bytes(paste_over(_swayed(person, position, box), wall.crop(box))))
        rows.append(np.stack(row))
    return Patch(box, tuple(states), np.stack(rows))


def _swayed(figure: Image.Image, position: int, box: Box) -> Image.Image:
    """Return a region of the figure, rotated about a point below the image."""
    left, top, right, bottom = box
    angle = radians(_TILT) * (2 * position / (SWAY_POSITIONS - 1) - 1)
    scale = figure.width / WIDTH
    px, py = _PIVOT[0] * scale, _PIVOT[1] * scale
    c, s = cos(angle), sin(angle)
    # Pillow wants the source position of each target pixel.
    matrix = (c, s, px + c * (left - px) + s * (top - py), -s, c, py - s * (left - px) + c * (top - py))
    # Bilinear: bicubic would overshoot at edges, making colours brighter than their opacity.
    return figure.transform((right - left, bottom - top), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _even(box: Box, width: int) -> Box:
    """Convert a box to pixels with even edges, as chroma has half the resolution."""
    left, top, right, bottom = (edge * width / WIDTH for edge in box)
    return int(left) // 2 * 2, int(top) // 2 * 2, (int(right) + 2) // 2 * 2, (int(bottom) + 2) // 2 * 2


# --- the cache ---


@cache
def _folder() -> Path:
    """Return the cache folder, a new one whenever the drawing code changes."""
    here = Path(__file__).parent
    source = b"".join((here / f"{name}.py").read_bytes() for name in ("drawing", "lips", "looks", "person", "sprites"))
    return user_cache() / "heygen-portal" / "faces" / sha256(source).hexdigest()[:16]


def user_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@cache
def sheet(look: str, quality: str) -> SpriteSheet:
    """Return the sprite sheet of a look, drawn if not cached. Call it in a thread."""
    width, height = SIZES[quality]
    path = _folder() / f"{look}-{quality}.npy"
    parts = _stored(path, _shapes(width, height))
    if parts is None:
        drawn = draw(look, width, height)
        parts = [drawn.stills, drawn.mouths.pictures, drawn.eyes.pictures]
        _store(path, parts)
    stills, mouths, eyes = parts
    return SpriteSheet(
        width,
        height,
        stills,
        Patch(_even(_MOUTH, width), tuple(LIPS), mouths),
        Patch(_even(_EYES, width), tuple(EYES), eyes),
    )


def _shapes(width: int, height: int) -> list[tuple[int, ...]]:
    """Return the shapes of a sheet's arrays in the order of its file."""

    def i420_bytes(box: Box) -> int:
        left, top, right, bottom = box
        return (right - left) * (bottom - top) * 3 // 2

    return [
        (SWAY_POSITIONS, i420_bytes((0, 0, width, height))),
        (SWAY_POSITIONS, len(LIPS), i420_bytes(_even(_MOUTH, width))),
        (SWAY_POSITIONS, len(EYES), i420_bytes(_even(_EYES, width))),
    ]


def _stored(path: Path, shapes: list[tuple[int, ...]]) -> list[Bytes] | None:
    """Memory-map the arrays of a file.

    Processes share them, and unused images take no memory.
    """
    try:
        flat = np.load(path, mmap_mode="r")
        ends = np.cumsum([prod(shape) for shape in shapes])
        if flat.shape != (ends[-1],):
            return None
        return [part.reshape(shape) for part, shape in zip(np.split(flat, ends[:-1]), shapes, strict=True)]
    except (OSError, ValueError):
        return None  # missing or damaged: draw it again


def _store(path: Path, parts: list[Bytes]) -> None:
    """Cache a sheet. An unwritable folder is ignored."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.save(file, np.concatenate([part.ravel() for part in parts]))
        Path(file.name).replace(path)
    except OSError:
        return


async def prepare() -> None:
    """Draw missing sheets in a low-priority process, so that no session has to wait."""
    if any(_missing()):
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__)
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _missing() -> Iterator[tuple[str, str]]:
    for quality in SIZES:
        for look in LOOKS:
            if not (_folder() / f"{look}-{quality}.npy").exists():
                yield look, quality


def main() -> None:
    os.nice(10)
    for outdated in _folder().parent.glob("*"):
        if outdated != _folder():
            rmtree(outdated, ignore_errors=True)
    for look, quality in _missing():
        sheet(look, quality)


if __name__ == "__main__":
    main()
