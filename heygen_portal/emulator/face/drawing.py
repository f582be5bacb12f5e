"""Antialiased shapes on top of Pillow, for drawing faces."""

from collections.abc import Sequence
from math import cos, pi, sin
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point: TypeAlias = tuple[float, float]
Shape: TypeAlias = list[Point]
Colour: TypeAlias = tuple[int, int, int]
Box: TypeAlias = tuple[int, int, int, int]  # left, top, right, bottom, in pixels

WIDTH: Final = 1280.0  # coordinates are those of a 1280 by 720 image
CENTRE: Final = 640.0
SMOOTHING: Final = 2  # drawn enlarged, then reduced, as Pillow's polygons have hard edges
_STEPS: Final = 24


def curve(start: Point, *segments: Sequence[Point]) -> Shape:
    """Return a line from `start`.

    One point adds a segment, three a cubic Bézier curve.
    """
    points = [start]
    for segment in segments:
        if len(segment) == 1:
            points.append(segment[0])
        else:
            points += _bezier(points[-1], *segment)
    return points


def _bezier(a: Point, b: Point, c: Point, d: Point) -> Shape:
    bends = []
    for step in range(1, _STEPS + 1):
        t = step / _STEPS
        weights = ((1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t * t, t**3)
        bends.append(
            (
                sum(w * p[0] for w, p in zip(weights, (a, b, c, d), strict=True)),
                sum(w * p[1] for w, p in zip(weights, (a, b, c, d), strict=True)),
            )
        )
    return bends


def ellipse(x: float, y: float, rx: float, ry: float) -> Shape:
    return [(x + rx * cos(2 * pi * i / 72), y + ry * sin(2 * pi * i / 72)) for i in range(72)]


def mirrored(shape: Shape) -> Shape:
    """Mirror a shape to the other side of the face."""
    return [(2 * CENTRE - x, y) for x, y in shape]


def symmetric(half: Shape) -> Shape:
    """Return a closed outline from its left half, given top to bottom."""
    return half + mirrored(half)[::-1]


class Canvas:
    """A region of the image being drawn, enlarged by SMOOTHING.

    Colours are premultiplied by opacity, so that layers can be reduced, moved and composited without dark seams.
    """

    def __init__(self, image: Image.Image, scale: float, corner: tuple[int, int] = (0, 0)) -> None:
        self._image = image
        self._scale = scale * SMOOTHING
        self._corner = corner  # of the region, in enlarged pixels

    @classmethod
    def blank(cls, width: int, height: int) -> "Canvas":
        """Return a transparent canvas for an image of that size."""
        return cls(Image.new("RGBa", (width * SMOOTHING, height * SMOOTHING)), width / WIDTH)

    def part(self, box: Box) -> "Canvas":
        """Return a copy of a region, to draw variants on it."""
        left, top, right, bottom = (edge * SMOOTHING for edge in box)
        return Canvas(self._image.crop((left, top, right, bottom)), self._scale / SMOOTHING, (left, top))

    def reduced(self) -> Image.Image:
        """Return the drawing at the size of the image."""
        return self._image.reduce(SMOOTHING)

    def gradient(self, top: Colour, bottom: Colour) -> None:
        """Fill the canvas with a vertical gradient."""
        size = self._image.size
        self._lay(top, (0, 0, *size), Image.new("L", size, 255))
        self._lay(bottom, (0, 0, *size), Image.linear_gradient("L").resize(size))

    def fill(
        self, shape: Shape, colour: Colour, *, blur: float = 0, inside: Shape | None = None, opacity: int = 255
    ) -> None:
        """Fill a closed shape.

        `blur` softens its edge, `inside` clips it to another shape.
        """
        points = self._pixels(shape)
        box = self._bounds(points, margin=blur * 3 * self._scale + 2)
        if box is None:
            return
        mask = _polygon(points, box, opacity)
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * self._scale))
        if inside is not None:
            mask = ImageChops.multiply(mask, _polygon(self._pixels(inside), box, 255))
        self._lay(colour, box, mask)

    def stroke(self, line: Sequence[Point], colour: Colour, width: float) -> None:
        """Draw a line."""
        mask = Image.new("L", self._image.size, 0)
        ImageDraw.Draw(mask).line(self._pixels(line), fill=255, width=round(width * self._scale), joint="curve")
        self._lay(colour, (0, 0, *mask.size), mask)

    def _lay(self, colour: Colour, box: Box, mask: Image.Image) -> None:
        # An image, not a plain colour: Pillow would blend that as if colours were not premultiplied.
        self._image.paste(Image.new("RGBa", mask.size, (*colour, 255)), box, mask)

    def _pixels(self, shape: Sequence[Point]) -> Shape:
        left, top = self._corner
        return [(x * self._scale - left, y * self._scale - top) for x, y in shape]

    def _bounds(self, points: Shape, margin: float) -> Box | None:
        """Return the part of the canvas that a shape can touch, or None."""
        left = max(0, int(min(x for x, _ in points) - margin))
        top = max(0, int(min(y for _, y in points) - margin))
        right = min(self._image.width, int(max(x for x, _ in points) + margin) + 1)
        bottom = min(self._image.height, int(max(y for _, y in points) + margin) + 1)
        return (left, top, right, bottom) if left < right and top < bottom else None


def _polygon(points: Shape, box: Box, opacity: int) -> Image.Image:
    left, top, right, bottom = box
    mask = Image.new("L", (right - left, bottom - top), 0)
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in points], fill=opacity)
    return mask


def paste_over(figure: Image.Image, ground: Image.Image) -> Image.Image:
    """Composite a reduced canvas over an opaque RGB image of the same size."""
    size = (figure.height, figure.width, 4)
    top = np.frombuffer(figure.tobytes(), np.uint8).reshape(size).astype(np.uint16)
    seen_through = 255 - top[..., 3:]
    mixed: NDArray[np.uint16] = top[..., :3] + np.asarray(ground, np.uint16) * seen_through // 255
    return Image.fromarray(np.minimum(mixed, 255).astype(np.uint8), "RGB")
