"""How often the avatar's camera shows a frame."""

from __future__ import annotations

import pytest

from heygen_portal.emulator.avatar.camera import next_frame_at


@pytest.mark.parametrize(("delay_s", "shown_in_ten_seconds"), [(0, 250), (0.15, 250), (3, 181)])
def test_25_frames_are_shown_each_second_and_a_short_delay_is_caught_up(
    delay_s: float, shown_in_ten_seconds: int
) -> None:
    due = now = 0.0
    shown = 0
    while now < 9.99:
        shown += 1
        if shown == 100:
            now += delay_s
        due = next_frame_at(due, now)
        now = max(now, due)
    assert shown == shown_in_ten_seconds
