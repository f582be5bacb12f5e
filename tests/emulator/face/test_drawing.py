"""Faces as they are drawn, turned, cached and put together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heygen_portal.emulator.face import sprites
from heygen_portal.emulator.face.lips import LIPS
from heygen_portal.emulator.face.looks import LOOKS
from heygen_portal.emulator.face.person import EYES
from heygen_portal.emulator.face.sprites import SIZES, Picture, Sheet, planes
from heygen_portal.emulator.speech.mouth_shapes import MOUTHS

UPRIGHT = sprites.TURNS // 2


@pytest.fixture(scope="module")
def sheet() -> Sheet:
    return sprites.draw("ines", *SIZES["low"])


def shown(sheet: Sheet, *, mouth: str = "sil", eyes: str = "open", turn: int = UPRIGHT) -> sprites.Bytes:
    picture = Picture(sheet)
    picture.show(turn, mouth, eyes)
    return np.frombuffer(picture.data, np.uint8)


def test_every_mouth_that_a_sound_can_ask_for_is_drawn() -> None:
    assert set(LIPS) == set(MOUTHS)


def test_no_two_mouths_and_no_two_states_of_the_eyes_look_the_same(sheet: Sheet) -> None:
    mouths = {shown(sheet, mouth=name).tobytes() for name in LIPS}
    eyes = {shown(sheet, eyes=name).tobytes() for name in EYES}
    assert (len(mouths), len(eyes)) == (len(LIPS), len(EYES))


def test_a_mouth_changes_the_mouth_and_nothing_else(sheet: Sheet) -> None:
    shut, wide = (planes(shown(sheet, mouth=name), sheet.width, sheet.height)[0] for name in ("sil", "aa"))
    rows, columns = np.nonzero(shut != wide)
    assert 200 < rows.min() < rows.max() < 270
    assert 270 < columns.min() < columns.max() < 370


@pytest.mark.parametrize("turn", range(sprites.TURNS))
def test_patches_meet_the_rest_of_the_face_without_a_seam_in_every_turn(sheet: Sheet, turn: int) -> None:
    bare = planes(sheet.stills[turn], sheet.width, sheet.height)[0].astype(int)
    whole = planes(shown(sheet, mouth="aa", turn=turn), sheet.width, sheet.height)[0].astype(int)
    left, top, right, bottom = sheet.mouths.box
    edge = np.ones((bottom - top, right - left), bool)
    edge[2:-2, 2:-2] = False
    assert np.abs(bare - whole)[top:bottom, left:right][edge].max() <= 2


def test_a_picture_that_was_changed_many_times_is_as_if_drawn_anew(sheet: Sheet) -> None:
    picture = Picture(sheet)
    for turn, mouth, eyes in ((0, "aa", "open"), (0, "ou", "shut"), (8, "ou", "shut"), (UPRIGHT, "E", "half")):
        picture.show(turn, mouth, eyes)
    assert bytes(picture.data) == shown(sheet, mouth="E", eyes="half").tobytes()


def test_people_can_be_told_apart() -> None:
    """Any two differ clearly in a good part of the picture, even at the size of a thumbnail."""
    faces = {}
    for look in LOOKS:
        drawn = sprites.draw(look, 160, 90)
        luma, u, v = planes(shown(drawn), 160, 90)
        faces[look] = np.concatenate([luma[::2, ::2].ravel(), u.ravel(), v.ravel()]).astype(int)
    for one in LOOKS:
        for other in LOOKS:
            if one < other:
                assert np.mean(np.abs(faces[one] - faces[other]) > 12) > 0.05, (one, other)


def test_a_stored_sheet_is_found_again_and_a_broken_one_is_drawn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_cache_folder_that_cannot_be_written_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr(sprites, "_folder", lambda: tmp_path / "file" / "faces")
    assert sprites.sheet.__wrapped__("nora", "low").width == SIZES["low"][0]
