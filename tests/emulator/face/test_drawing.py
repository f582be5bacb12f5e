"""Drawing, caching and composition of faces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heygen_portal.emulator.face import sprites
from heygen_portal.emulator.face.lips import LIPS
from heygen_portal.emulator.face.looks import LOOKS
from heygen_portal.emulator.face.person import EYES
from heygen_portal.emulator.face.sprites import SIZES, Picture, SpriteSheet, planes
from heygen_portal.emulator.speech.mouth_shapes import MOUTHS

UPRIGHT = sprites.SWAY_POSITIONS // 2


@pytest.fixture(scope="module")
def sheet() -> SpriteSheet:
    return sprites.draw("ines", *SIZES["low"])


def shown(sheet: SpriteSheet, *, mouth: str = "sil", eyes: str = "open", position: int = UPRIGHT) -> sprites.Bytes:
    picture = Picture(sheet)
    picture.show(position, mouth, eyes)
    return np.frombuffer(picture.data, np.uint8)


def test_every_mouth_shape_is_drawn() -> None:
    assert set(LIPS) == set(MOUTHS)


def test_mouth_shapes_and_eye_states_look_different(sheet: SpriteSheet) -> None:
    mouths = {shown(sheet, mouth=name).tobytes() for name in LIPS}
    eyes = {shown(sheet, eyes=name).tobytes() for name in EYES}
    assert (len(mouths), len(eyes)) == (len(LIPS), len(EYES))


def test_a_mouth_shape_changes_only_the_mouth(sheet: SpriteSheet) -> None:
    shut, wide = (planes(shown(sheet, mouth=name), sheet.width, sheet.height)[0] for name in ("sil", "aa"))
    rows, columns = np.nonzero(shut != wide)
    assert 200 < rows.min() < rows.max() < 270
    assert 270 < columns.min() < columns.max() < 370


@pytest.mark.parametrize("position", range(sprites.SWAY_POSITIONS))
def test_patches_leave_no_seam_at_any_position(sheet: SpriteSheet, position: int) -> None:
    bare = planes(sheet.stills[position], sheet.width, sheet.height)[0].astype(int)
    whole = planes(shown(sheet, mouth="aa", position=position), sheet.width, sheet.height)[0].astype(int)
    left, top, right, bottom = sheet.mouths.box
    edge = np.ones((bottom - top, right - left), bool)
    edge[2:-2, 2:-2] = False
    assert np.abs(bare - whole)[top:bottom, left:right][edge].max() <= 2


def test_a_picture_changed_many_times_equals_a_fresh_one(sheet: SpriteSheet) -> None:
    picture = Picture(sheet)
    for position, mouth, eyes in ((0, "aa", "open"), (0, "ou", "shut"), (8, "ou", "shut"), (UPRIGHT, "E", "half")):
        picture.show(position, mouth, eyes)
    assert bytes(picture.data) == shown(sheet, mouth="E", eyes="half").tobytes()


def test_looks_are_distinguishable() -> None:
    """Any two looks differ in much of the image, even at thumbnail size."""
    faces = {}
    for look in LOOKS:
        drawn = sprites.draw(look, 160, 90)
        luma, u, v = planes(shown(drawn), 160, 90)
        faces[look] = np.concatenate([luma[::2, ::2].ravel(), u.ravel(), v.ravel()]).astype(int)
    for one in LOOKS:
        for other in LOOKS:
            if one < other:
                assert np.mean(np.abs(faces[one] - faces[other]) > 12) > 0.05, (one, other)


def test_a_cached_sheet_is_reused_and_a_broken_one_redrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sprites, "_folder", lambda: tmp_path)
    first = sprites.sheet.__wrapped__("nora", "low")
    (stored,) = tmp_path.iterdir()
    again = sprites.sheet.__wrapped__("nora", "low")
    half = stored.read_bytes()[:1000]
    stored.unlink()  # rather than cut short: it is mapped
    stored.write_bytes(half)
    healed = sprites.sheet.__wrapped__("nora", "low")
    for sheet in (again, healed):
        assert np.array_equal(first.stills, sheet.stills)
        assert np.array_equal(first.eyes.pictures, sheet.eyes.pictures)


def test_an_unwritable_cache_folder_is_tolerated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(sprites, "_folder", lambda: tmp_path / "file" / "faces")
    assert sprites.sheet.__wrapped__("nora", "low").width == SIZES["low"][0]
