"""Mouth shapes of the face."""

from dataclasses import dataclass
from typing import Final

from heygen_portal.emulator.face.drawing import Canvas, Point, Shape, curve, ellipse
from heygen_portal.emulator.face.looks import Look
from heygen_portal.emulator.face.person import GUMS, TEETH, TONGUE, darker, lighter

X: Final = 640.0
Y: Final = 448.0


@dataclass(frozen=True)
class Lips:
    """A mouth shape: half width, opening and lift; other values from 0 to 1.

    `lift` is that of the upper lip.
    """

    width: float
    open: float = 0
    lift: float = 0
    round: float = 0
    teeth: float = 0
    tongue: float = 0


LIPS: Final[dict[str, Lips]] = {
    "sil": Lips(62),
    "pp": Lips(56, lift=-3),
    "ff": Lips(58, 9, 4, teeth=1),
    "th": Lips(60, 16, 4, teeth=1, tongue=1),
    "dd": Lips(62, 18, 5, teeth=1, tongue=0.5),
    "kk": Lips(62, 20, 5, teeth=1),
    "ch": Lips(44, 20, 6, 0.7, teeth=1),
    "ss": Lips(66, 12, 4, teeth=1),
    "nn": Lips(62, 12, 4, teeth=1, tongue=0.6),
    "rr": Lips(48, 18, 5, 0.5, teeth=0.5),
    "aa": Lips(66, 46, 8, teeth=1, tongue=1),
    "E": Lips(72, 30, 7, teeth=1, tongue=0.8),
    "ih": Lips(72, 20, 6, teeth=1, tongue=0.5),
    "oh": Lips(46, 40, 6, 0.8, teeth=0.3, tongue=0.3),
    "ou": Lips(34, 26, 5, 1),
}


def paint_mouth(canvas: Canvas, look: Look, lips: Lips) -> None:
    """Paint a mouth on a face without one."""
    if lips.open < 2:
        _paint_closed(canvas, look, lips)
    else:
        _paint_open(canvas, look, lips)


def _corners(lips: Lips) -> tuple[Point, Point, float]:
    """Return left and right corner and the half width. Rounder mouths smile less."""
    half = lips.width * 0.8
    y = Y - 7 * (1 - lips.round)
    return (X - half, y), (X + half, y), half


def _paint_closed(canvas: Canvas, look: Look, lips: Lips) -> None:
    left, right, half = _corners(lips)
    top = Y - 9 + lips.lift * 0.5
    outline = curve(
        left,
        ((X - half / 2, top), (X - 10, top - 2), (X, top + 3)),
        ((X + 10, top - 2), (X + half / 2, top), right),
        ((X + half / 2, Y + 16), (X - half / 2, Y + 16), left),
    )
    seam = curve(
        left,
        ((X - half / 2, Y + 6), (X + half / 2, Y + 6), right),
        ((X + half / 2, Y + 9), (X - half / 2, Y + 9), left),
    )
    canvas.fill(outline, look.lips)
    canvas.fill(ellipse(X, Y + 8, half * 0.34, 3.2), lighter(look.lips, 34), blur=2.5, opacity=170)
    canvas.fill(seam, darker(look.lips, 0.55))
    for x, y in (left, right):
        canvas.fill(ellipse(x, y, 5, 5), darker(look.shade, 0.9), blur=2.5, opacity=140)


def _paint_open(canvas: Canvas, look: Look, lips: Lips) -> None:
    _, _, half = _corners(lips)
    top, bottom = Y - lips.lift - 3, Y + lips.open * 0.95
    inner = _inner(lips, top, bottom)
    canvas.fill(ellipse(X, bottom + 20, half * 0.5, 8), darker(look.shade, 0.86), blur=6, opacity=130)
    canvas.fill(_outer(lips, top, bottom), look.lips)
    canvas.fill(inner, GUMS)
    reach = half * 0.9
    if lips.tongue:
        tongue = ellipse(X, bottom + 4 - lips.open * 0.06, reach * 0.56, lips.open * 0.36)
        canvas.fill(tongue, TONGUE, inside=inner, opacity=int(255 * min(1, 0.5 + lips.tongue / 2)))
    if lips.teeth:
        teeth = _teeth(reach, top, min(13, 4 + lips.open * 0.26))
        canvas.fill(teeth, TEETH, inside=inner, opacity=int(255 * min(1, 0.4 + lips.teeth * 0.6)))
    canvas.fill(ellipse(X, bottom + 8.5, half * 0.32, 2.8), lighter(look.lips, 34), blur=2.2, opacity=190)


def _outer(lips: Lips, top: float, bottom: float) -> Shape:
    left, right, half = _corners(lips)
    bend = half * (0.55 + 0.25 * lips.round)
    low = bend + half * 0.12
    return curve(
        left,
        ((X - bend, top - 13), (X - 11, top - 15), (X, top - 9)),
        ((X + 11, top - 15), (X + bend, top - 13), right),
        ((X + low, bottom + 18), (X - low, bottom + 18), left),
    )


def _inner(lips: Lips, top: float, bottom: float) -> Shape:
    left, _, half = _corners(lips)
    reach, y = half * 0.9, left[1] + 1
    bend = reach * (0.55 + 0.25 * lips.round)
    low = bend + reach * 0.1
    return curve(
        (X - reach, y),
        ((X - bend, top - 2), (X + bend, top - 2), (X + reach, y)),
        ((X + low, bottom + 5), (X - low, bottom + 5), (X - reach, y)),
    )


def _teeth(reach: float, top: float, height: float) -> Shape:
    return curve(
        (X - reach * 0.8, top - 8),
        ((X + reach * 0.8, top - 8),),
        ((X + reach * 0.74, top + height * 0.75),),
        (
            (X + reach * 0.4, top + height + 2),
            (X - reach * 0.4, top + height + 2),
            (X - reach * 0.74, top + height * 0.75),
        ),
    )
