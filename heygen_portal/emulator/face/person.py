"""Drawing of a face: first the person, then eyes and mouth, which change."""

from dataclasses import dataclass
from typing import Final

from heygen_portal.emulator.face.drawing import CENTRE, Canvas, Colour, Shape, curve, ellipse, mirrored, symmetric
from heygen_portal.emulator.face.looks import Look

WHITE: Final = (255, 253, 250)
PUPIL: Final = (22, 14, 14)
LASHES: Final = (52, 32, 30)
IRIS: Final = ((70, 46, 34), (122, 78, 48), (178, 124, 78))  # rim, middle, glow
FRAME: Final = (38, 42, 48)
GUMS: Final = (92, 26, 34)
TONGUE: Final = (214, 96, 100)
TEETH: Final = (252, 250, 247)

HEAD: Final = symmetric(
    curve(
        (640, 150),
        ((560, 150), (512, 205), (510, 300)),
        ((508, 385), (524, 446), (570, 488)),
        ((598, 510), (620, 516), (640, 516)),
    )
)
NECK: Final = symmetric(
    curve((640, 470), ((586, 470),), ((586, 510), (584, 535), (552, 552)), ((580, 610), (615, 622), (640, 624)))
)
SHOULDERS: Final = symmetric(
    curve((640, 516), ((600, 546), (560, 556), (520, 568)), ((430, 596), (360, 616), (318, 786)), ((640, 786),))
)
COLLAR: Final = symmetric(
    curve(
        (640, 622),
        ((612, 620), (582, 604), (556, 550)),
        ((546, 556), (540, 560), (532, 564)),
        ((566, 650), (600, 700), (640, 730)),
    )
)
LAPEL: Final = curve(
    (532, 562), ((556, 640), (596, 690), (638, 730)), ((600, 760),), ((540, 700), (505, 640), (494, 576))
)
LONG_HAIR: Final = symmetric(
    curve(
        (640, 92),
        ((520, 88), (455, 170), (455, 300)),
        ((455, 400), (446, 470), (430, 545)),
        ((450, 590), (520, 612), (575, 600)),
        ((640, 600),),
    )
)
SHORT_HAIR: Final = symmetric(
    curve((640, 92), ((530, 90), (472, 180), (480, 316)), ((494, 322), (508, 316), (516, 300)), ((640, 322),))
)
FRINGE: Final = curve(
    (640, 88),
    ((520, 84), (462, 160), (478, 330)),
    ((486, 300), (500, 262), (528, 240)),
    ((600, 226), (660, 196), (700, 172)),
    ((720, 206), (752, 232), (762, 250)),
    ((784, 280), (794, 310), (802, 332)),
    ((822, 160), (760, 84), (640, 88)),
)
SHEEN: Final = (
    curve(
        (560, 122),
        ((520, 150), (500, 190), (496, 236)),
        ((520, 190), (560, 160), (620, 146)),
        ((600, 132), (580, 124), (560, 122)),
    ),
    curve((690, 110), ((740, 130), (774, 170), (784, 230)), ((760, 180), (730, 150), (690, 132))),
)
NOSE: Final = curve(
    (640, 318),
    ((652, 350), (664, 380), (664, 392)),
    ((664, 404), (652, 408), (640, 408)),
    ((630, 408), (620, 404), (618, 396)),
    ((628, 400), (640, 398), (646, 390)),
    ((650, 370), (644, 345), (640, 318)),
)
BROW: Final = curve(
    (536, 282), ((552, 262), (584, 262), (612, 274)), ((612, 281),), ((588, 272), (560, 272), (538, 287))
)


def darker(colour: Colour, share: float) -> Colour:
    red, green, blue = (int(part * share) for part in colour)
    return red, green, blue


def lighter(colour: Colour, by: int) -> Colour:
    red, green, blue = (min(255, part + by) for part in colour)
    return red, green, blue


def mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (int(a * (1 - share) + b * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def paint_room(canvas: Canvas, look: Look) -> None:
    """Paint the blurred background."""
    canvas.gradient(look.light, look.dusk)
    for x, y, radius, share in (
        (210, 180, 150, 0.1),
        (1080, 220, 190, 0.2),
        (980, 560, 120, 0.75),
        (300, 560, 170, 0.5),
    ):
        glow = lighter(mixed(look.light, look.dusk, share), 6)
        canvas.fill(ellipse(x, y, radius, radius), glow, blur=26, opacity=170)


def paint_person(canvas: Canvas, look: Look) -> None:
    """Paint the person without eyes, brows and mouth."""
    canvas.fill(SHORT_HAIR if look.short_hair else LONG_HAIR, darker(look.hair, 0.82))
    _paint_clothes(canvas, look)
    for ear, hollow in ((ellipse(508, 335, 20, 36), ellipse(511, 337, 11, 23)),):
        for side in (list, mirrored):
            canvas.fill(side(ear), look.shade)
            canvas.fill(side(hollow), darker(look.shade, 0.92))
    _paint_head(canvas, look)
    _paint_nose(canvas, look)
    _paint_hair(canvas, look)


def _paint_clothes(canvas: Canvas, look: Look) -> None:
    canvas.fill([(x, y + 6) for x, y in SHOULDERS], (90, 110, 150), blur=14, opacity=90)
    canvas.fill(SHOULDERS, look.suit)
    canvas.fill(NECK, look.shade)
    canvas.fill(ellipse(640, 500, 86, 52), darker(look.shade, 0.84), blur=12, inside=NECK, opacity=150)
    canvas.fill(COLLAR, look.shirt)
    canvas.fill(LAPEL, look.lapel)
    canvas.fill(mirrored(LAPEL), look.lapel)


def _paint_head(canvas: Canvas, look: Look) -> None:
    canvas.fill(HEAD, look.skin)
    for x in (500, 780):
        canvas.fill(ellipse(x, 360, 60, 170), look.shade, blur=26, inside=HEAD, opacity=150)
    canvas.fill(ellipse(640, 520, 120, 34), look.shade, blur=16, inside=HEAD, opacity=150)
    canvas.fill(ellipse(640, 235, 90, 50), lighter(look.skin, 9), blur=26, inside=HEAD, opacity=170)
    for x in (560, 720):
        canvas.fill(ellipse(x, 392, 34, 22), mixed(look.skin, look.lips, 0.45), blur=14, inside=HEAD, opacity=120)


def _paint_nose(canvas: Canvas, look: Look) -> None:
    canvas.fill(NOSE, darker(look.shade, 0.97), blur=2.2, opacity=190)
    canvas.fill(ellipse(640, 382, 10, 7), lighter(look.skin, 16), blur=4, opacity=180)
    for x in (628, 653):
        canvas.fill(ellipse(x, 402, 5.5, 3), darker(look.shade, 0.74), blur=1, opacity=200)


def _paint_hair(canvas: Canvas, look: Look) -> None:
    canvas.fill([(x, y + 7) for x, y in FRINGE], darker(look.shade, 0.7), blur=9, inside=HEAD, opacity=120)
    canvas.fill(FRINGE, look.hair)
    for shape, by, opacity in zip(SHEEN, (40, 32), (150, 120), strict=True):
        canvas.fill(shape, lighter(look.hair, by), blur=9, inside=FRINGE, opacity=opacity)


@dataclass(frozen=True)
class Eyes:
    """Lids from 0 (open) to 1 (shut), and how high the brows are raised."""

    lids: float = 0.0
    raised: float = 0.0


EYES: Final = {
    "open": Eyes(),
    "half": Eyes(lids=0.55),
    "shut": Eyes(lids=1),
    "open-listening": Eyes(raised=9),
    "half-listening": Eyes(lids=0.55, raised=8),
    "shut-listening": Eyes(lids=1, raised=7),
}


def paint_eyes(canvas: Canvas, look: Look, eyes: Eyes) -> None:
    """Paint brows, eyes and glasses."""
    brow = [(x, y - eyes.raised) for x, y in BROW]
    for side in (brow, mirrored(brow)):
        canvas.fill(side, look.brows or look.hair)
    for centre in (576, 704):
        if eyes.lids > 0.88:
            canvas.fill(_shut_lid(centre), (70, 42, 38))
        else:
            _paint_eye(canvas, centre, 1 - eyes.lids)
    if look.glasses:
        _paint_glasses(canvas)


def _shut_lid(x: float) -> Shape:
    return curve(
        (x - 32, 328), ((x - 14, 341), (x + 14, 341), (x + 32, 328)), ((x + 14, 346), (x - 14, 346), (x - 32, 328))
    )


def _paint_eye(canvas: Canvas, x: float, wide: float) -> None:
    top, bottom = 326 - 25 * wide, 326 + 19 * wide
    eye = curve(
        (x - 32, 326),
        ((x - 20, top), (x + 20, top), (x + 32, 326)),
        ((x + 18, bottom), (x - 18, bottom), (x - 32, 326)),
    )
    canvas.fill(eye, WHITE)
    canvas.fill(ellipse(x, 306, 40, 12), (170, 150, 150), blur=5, inside=eye, opacity=110)
    y = 323
    canvas.fill(ellipse(x, y, 18.5, 18.5), IRIS[0], inside=eye)
    canvas.fill(ellipse(x, y + 1, 16.5, 16.5), IRIS[1], inside=eye)
    canvas.fill(ellipse(x, y + 7, 11, 7), IRIS[2], blur=3, inside=eye)
    canvas.fill(ellipse(x, y, 8, 8), PUPIL, inside=eye)
    canvas.fill(ellipse(x + 6, y - 5, 4.6, 4.6), (255, 255, 255), inside=eye)
    canvas.fill(ellipse(x - 6, y + 6, 2.2, 2.2), (255, 240, 225), inside=eye, opacity=200)
    canvas.fill(_lashes(x, wide), LASHES)


def _lashes(x: float, wide: float) -> Shape:
    """Return the upper lid, thicker towards the temple."""
    lashes = curve(
        (-33, 328),
        ((-20, 325 - 26 * wide), (20, 325 - 26 * wide), (32, 326)),
        ((39, 318),),
        ((20, 319 - 28 * wide), (-20, 319 - 28 * wide), (-32, 318)),
        ((-33, 328),),
    )
    outward = 1 if x > CENTRE else -1
    return [(x + outward * dx, y) for dx, y in lashes]


def _paint_glasses(canvas: Canvas) -> None:
    for x in (576, 704):
        rim = curve(
            (x - 20, 290),
            ((x + 20, 290),),
            ((x + 38, 290), (x + 50, 300), (x + 50, 318)),
            ((x + 50, 334),),
            ((x + 50, 352), (x + 38, 362), (x + 20, 362)),
            ((x - 20, 362),),
            ((x - 38, 362), (x - 50, 352), (x - 50, 334)),
            ((x - 50, 318),),
            ((x - 50, 300), (x - 38, 290), (x - 20, 290)),
            ((x, 290),),
        )
        canvas.stroke(rim, FRAME, 5)
    for line in ([(626, 318), (654, 318)], [(526, 316), (508, 312)], [(754, 316), (772, 312)]):
        canvas.stroke(line, FRAME, 5)
