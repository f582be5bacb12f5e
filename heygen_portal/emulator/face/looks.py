"""The six looks of the avatars: colours, hair and glasses."""

from dataclasses import dataclass
from typing import Final

from heygen_portal.emulator.face.drawing import Colour


@dataclass(frozen=True)
class Look:
    """Features that differ between the avatars. `person.py` draws the common ones."""

    hair: Colour
    skin: Colour
    shade: Colour  # shade of the skin, for neck, ears and cheeks
    lips: Colour
    suit: Colour
    lapel: Colour
    shirt: Colour
    light: Colour  # background at the top
    dusk: Colour  # background at the bottom
    brows: Colour | None = None  # None: the colour of the hair
    short_hair: bool = False
    glasses: bool = False


LOOKS: Final[dict[str, Look]] = {
    "lucia": Look(
        hair=(58, 38, 34),
        skin=(241, 194, 163),
        shade=(222, 163, 130),
        lips=(201, 92, 92),
        suit=(28, 58, 72),
        lapel=(20, 44, 56),
        shirt=(248, 249, 250),
        light=(228, 236, 236),
        dusk=(168, 192, 198),
    ),
    "daniel": Look(
        hair=(38, 30, 28),
        skin=(214, 160, 122),
        shade=(190, 132, 98),
        lips=(176, 88, 80),
        suit=(72, 76, 80),
        lapel=(56, 60, 64),
        shirt=(238, 242, 244),
        light=(236, 231, 222),
        dusk=(204, 190, 170),
        short_hair=True,
    ),
    "ines": Look(
        hair=(150, 96, 52),
        skin=(246, 208, 182),
        shade=(228, 176, 146),
        lips=(204, 98, 100),
        suit=(50, 72, 58),
        lapel=(38, 56, 44),
        shirt=(250, 250, 246),
        light=(226, 232, 222),
        dusk=(176, 190, 172),
        glasses=True,
    ),
    "amara": Look(
        hair=(24, 20, 22),
        skin=(150, 98, 70),
        shade=(122, 76, 54),
        lips=(158, 70, 72),
        suit=(150, 72, 50),
        lapel=(124, 56, 38),
        shirt=(250, 244, 236),
        light=(240, 230, 214),
        dusk=(214, 186, 152),
    ),
    "nora": Look(
        hair=(196, 190, 184),
        skin=(238, 198, 172),
        shade=(214, 164, 136),
        lips=(186, 88, 92),
        suit=(74, 54, 66),
        lapel=(58, 40, 52),
        shirt=(246, 242, 244),
        light=(234, 230, 232),
        dusk=(196, 188, 194),
        brows=(158, 148, 140),
    ),
    "hugo": Look(
        hair=(128, 122, 118),
        skin=(232, 190, 160),
        shade=(208, 156, 124),
        lips=(184, 96, 90),
        suit=(62, 84, 104),
        lapel=(48, 66, 84),
        shirt=(240, 244, 248),
        light=(224, 230, 236),
        dusk=(178, 190, 202),
        short_hair=True,
        glasses=True,
    ),
}
