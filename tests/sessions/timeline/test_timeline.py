"""One clock, in order, measured and doubted: what becomes of a session's record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.timeline import timeline
from sessions.timeline.moments import BROWSER, LIVEKIT, PORTAL, PROVIDER, Moment
from sessions.timeline.page_clock import TRUST, PageClock
from sessions.timeline.timeline import Timeline

BEGAN = datetime(2026, 1, 20, 14, 2, tzinfo=UTC)


def told(kind: str, at: float, source: str = PORTAL, /, **data: Any) -> Moment:
    return Moment(BEGAN + timedelta(seconds=at), source, kind, data)


def moved(was: str, to: str, at: float, /, **data: Any) -> Moment:
    return told("status", at, **{"from": was, "to": to, **data})


START = [
    told("requested", 0.018),
    moved("requested", "creating", 0.018),
    told("provider_created", 0.612),
    moved("creating", "connecting", 0.613),
    told("room_connected", 0.886, BROWSER),
    told("provider_started", 1.082),
    told("track_subscribed", 1.1, BROWSER, kind="video"),
    told("first_frame", 1.32, BROWSER),
    moved("connecting", "live", 1.33),
]
END = [moved("live", "stopping", 60, reason="user_stopped"), moved("stopping", "ended", 60.3, reason="user_stopped")]


def made(*moments: Moment) -> Timeline:
    """As the record numbers them: in the order given."""
    rows = [Moment(m.at, m.source, m.kind, m.data, number=place) for place, m in enumerate(moments, 1)]
    return timeline.build(rows, BEGAN)


def codes(line: Timeline) -> list[str]:
    return [oddity.code for oddity in line.oddities]


def test_the_way_to_the_first_picture_is_told_stage_by_stage() -> None:
    """Requirements 6 and 55: the order of the steps, and what each took."""
    line = made(*START, *END)
    took = {stage.code: (stage.begins.total_seconds(), stage.took) for stage in line.stages}
    assert {code: (begins, took and took.total_seconds()) for code, (begins, took) in took.items()} == {
        "requested": (0, 0.018),
        "created": (0.018, 0.594),
        "started": (0.612, 0.47),
        "room": (0.612, 0.274),
        "track": (0.886, 0.214),
        "frame": (1.1, 0.22),
    }
    assert (line.first_picture, line.failing_stage, codes(line)) == (timedelta(seconds=1.32), "", [])


@pytest.mark.parametrize(
    ("reached", "failing"),
    [(1, "created"), (4, "started"), (6, "track"), (7, "frame")],
    ids=["not created", "not started", "no track", "no frame"],
)
def test_the_first_stage_that_was_not_reached_is_named(reached: int, failing: str) -> None:
    """Requirements 55 and 65: no silent fault between the provider's session and the media."""
    assert made(*START[:reached], *END).failing_stage == failing


def test_in_a_room_of_our_own_the_browser_may_be_before_the_provider_has_answered() -> None:
    line = made(*START[:2], told("room_connected", 0.2, BROWSER), *START[2:4], *START[5:], *END)
    room = next(stage for stage in line.stages if stage.code == "room")
    assert (room.begins, room.took) == (timedelta(seconds=0.018), timedelta(seconds=0.182))
    assert codes(line) == []


def test_a_turns_latency_runs_from_the_end_of_the_input_to_the_first_sound() -> None:
    """Requirement 53, typed and spoken; a second tab that hears the same adds nothing."""
    line = made(
        *START,
        told("text_sent", 2, is_greeting=True, task_id="g", status="sent"),
        told("avatar_start_talking", 2.5, BROWSER, task_id="g"),
        told("text_sent", 5, task_id="t", status="sent"),
        told("avatar_start_talking", 5.8, BROWSER, task_id="t"),
        told("avatar_start_talking", 5.9, BROWSER, task_id="t"),
        told("user_start", 8, BROWSER),
        told("user_stop", 10, BROWSER),
        told("user_end_message", 10.4, BROWSER),
        told("avatar_start_talking", 11.2, BROWSER, task_id="v"),
        *END,
    )
    spoken = [(turn.by, turn.latency and turn.latency.total_seconds()) for turn in line.turns]
    assert spoken == [("text", 0.8), ("voice", 1.2)]
    assert (line.latency(0.5), line.latency(0.95)) == (timedelta(seconds=0.8), timedelta(seconds=1.2))
    assert codes(line) == []


def test_what_the_providers_own_socket_tells_too_is_no_second_turn() -> None:
    spoken = [("user_start", 8), ("user_stop", 10), ("user_end_message", 10.4), ("avatar_start_talking", 11.2)]
    by_page = [told(kind, at, BROWSER) for kind, at in spoken]
    by_provider = [told(kind, at + 0.1, PROVIDER) for kind, at in spoken]
    both = sorted([*by_page, *by_provider], key=lambda moment: moment.at)
    for moments in (by_page, by_provider, both):
        line = made(*START, *moments, *END)
        assert [turn.latency for turn in line.turns] == [timedelta(seconds=1.2)]


def test_an_avatar_that_stays_silent_is_marked_unless_it_was_told_to() -> None:
    asked = told("text_sent", 5, task_id="t", status="sent")
    assert codes(made(*START, asked, *END)) == ["silent"]
    assert codes(made(*START, asked, told("avatar_start_talking", 20, BROWSER, task_id="t"), *END)) == ["silent"]
    assert codes(made(*START, asked, told("interrupted", 7), *END)) == []
    assert codes(made(*START, told("text_sent", 5, status="failed"), *END)) == []
    assert codes(made(*START, told("ladder", 3, BROWSER, step="text"), asked, *END)) == []


def test_a_lost_picture_is_told_with_what_was_tried_and_when_it_came_back() -> None:
    """Requirement 64 and complaint 6: what happened to the picture stands in the record."""
    line = made(
        *START,
        told("frozen", 10, BROWSER),
        told("ladder", 10.1, BROWSER, step="rejoin"),
        told("first_frame", 14, BROWSER),
        told("ladder", 30, BROWSER, step="rejoin"),
        told("ladder", 35, BROWSER, step="sound"),
        *END,
    )
    first, second = line.outages
    assert (first.sign, first.steps, first.ends_at) == ("frozen", ("rejoin",), BEGAN + timedelta(seconds=14))
    assert (second.steps, second.ends_at) == (("rejoin", "sound"), None)


@pytest.mark.parametrize(
    ("moments", "code"),
    [
        ([*START[:7], moved("connecting", "live", 1.4), *END], "live_unseen"),
        ([*START, *END, moved("stopping", "ended", 70, reason="idle")], "two_ends"),
        ([*START[:3], moved("connecting", "live", 2), *END], "status_jump"),
        ([*START, END[0], moved("stopping", "ended", 61)], "no_reason"),
        ([*START, *END, told("avatar_start_talking", 65, BROWSER)], "went_on"),
        (
            [*START, moved("live", "stopping", 30, reason="provider_ended"), told("first_frame", 40, BROWSER)],
            "went_on",
        ),
        ([*START[:6], told("first_frame", 0.3, BROWSER), START[6], START[8]], "out_of_order"),
        (
            [
                *START,
                told("avatar_stop_talking", 3, BROWSER, task_id="t"),
                told("avatar_start_talking", 9, BROWSER, task_id="t"),
            ],
            "out_of_order",
        ),
    ],
    ids=["unseen", "two ends", "jump", "no reason", "after the end", "provider's end", "frame first", "stop first"],
)
def test_what_contradicts_itself_is_marked(moments: list[Moment], code: str) -> None:
    assert code in codes(made(*moments))


def test_a_hole_in_the_record_is_marked() -> None:
    rows = list(made(*START, *END).moments)
    holed = [row for row in rows if row.number not in (4, 5)]
    oddity = timeline.build(holed, BEGAN).oddities[0]
    assert (oddity.code, oddity.data) == ("missing", {"from": 4, "to": 5})


KINDS = ["requested", "status", "first_frame", "ladder", "frozen", "room_connected", "text_sent", "user_start"]
KINDS += ["user_stop", "user_end_message", "avatar_start_talking", "avatar_stop_talking", "interrupted", "anything"]
DATA = st.fixed_dictionaries(
    {},
    optional={
        "to": st.sampled_from(["live", "ended", "stopping"]),
        "from": st.just("live"),
        "step": st.sampled_from(["rejoin", "text", "picture"]),
        "task_id": st.sampled_from(["", "a", "b", None]),
        "is_greeting": st.booleans(),
    },
)
MOMENTS = st.lists(
    st.builds(
        Moment,
        at=st.integers(-5_000, 600_000).map(lambda ms: BEGAN + timedelta(milliseconds=ms)),
        source=st.sampled_from([PORTAL, BROWSER, PROVIDER, LIVEKIT]),
        kind=st.sampled_from(KINDS),
        data=DATA,
        number=st.integers(0, 40),
    ),
    max_size=25,
    unique_by=lambda moment: (moment.at, moment.number, moment.source, moment.kind),
)


@given(moments=MOMENTS, mixed=st.randoms())
def test_whatever_was_recorded_in_whatever_order_gives_one_sound_timeline(moments: list[Moment], mixed: Any) -> None:
    line = timeline.build(moments, BEGAN)
    assert sorted(line.moments, key=lambda m: m.at) == list(line.moments)
    assert all(stage.begins >= timedelta(0) and (stage.took or timedelta(0)) >= timedelta(0) for stage in line.stages)
    assert all(turn.latency is None or turn.latency >= timedelta(0) for turn in line.turns)
    assert all(outage.ends_at is None or outage.ends_at >= outage.begins_at for outage in line.outages)
    mixed.shuffle(moments)
    if len({moment.number for moment in moments}) == len(moments):
        assert timeline.build(moments, BEGAN) == line


@given(
    ahead=st.floats(-86_400, 86_400),
    ways=st.lists(st.tuples(st.floats(0, 5), st.floats(0.001, 3)), min_size=1, max_size=40),
)
def test_a_pages_clock_is_set_right_as_far_as_its_fastest_report_lets_one_know(
    ahead: float, ways: list[tuple[float, float]]
) -> None:
    """Each report was held for a while, then was under way."""
    clock, now = PageClock(), BEGAN
    for held, way in ways:
        happened, sent, now = now, now + timedelta(seconds=held), now + timedelta(seconds=held + way)
        on_page, leaves = ((moment.timestamp() + ahead) * 1000 for moment in (happened, sent))
        at, page_at = clock.read(on_page, leaves, now)
        assert page_at
        fastest = min(one for _, one in ways)
        assert happened - timedelta(milliseconds=1) <= at <= now
        assert at - happened <= timedelta(seconds=max(way, fastest) + 0.001)


@pytest.mark.parametrize("at", [None, True, "soon", float("inf"), float("nan"), 1e300, -1e300])
def test_a_moment_that_is_none_becomes_the_portals(at: Any) -> None:
    assert PageClock().read(at, None, BEGAN) == (BEGAN, None)


def test_a_report_kept_for_too_long_has_the_portals_moment_and_its_own() -> None:
    clock, now_ms = PageClock(), BEGAN.timestamp() * 1000
    old = BEGAN - TRUST - timedelta(seconds=1)
    assert clock.read(old.timestamp() * 1000, now_ms, BEGAN) == (BEGAN, old)
