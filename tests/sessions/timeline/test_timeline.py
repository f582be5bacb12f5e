"""A session's record on one clock: ordered, measured, and checked for anomalies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.timeline import timeline
from sessions.timeline.moments import BROWSER, LIVEKIT, PORTAL, PROVIDER, Moment
from sessions.timeline.page_clock import MAX_REPORT_AGE, PageClock
from sessions.timeline.timeline import Timeline

BEGAN = datetime(2026, 1, 20, 14, 2, tzinfo=UTC)


def moment(kind: str, at: float, source: str = PORTAL, /, **data: Any) -> Moment:
    return Moment(BEGAN + timedelta(seconds=at), source, kind, data)


def status_change(before: str, to: str, at: float, /, **data: Any) -> Moment:
    return moment("status", at, **{"from": before, "to": to, **data})


START = [
    moment("requested", 0.018),
    status_change("requested", "creating", 0.018),
    moment("provider_created", 0.612),
    status_change("creating", "connecting", 0.613),
    moment("room_connected", 0.886, BROWSER),
    moment("provider_started", 1.082),
    moment("track_subscribed", 1.1, BROWSER, kind="video"),
    moment("first_frame", 1.32, BROWSER),
    status_change("connecting", "live", 1.33),
]
END = [
    status_change("live", "stopping", 60, reason="user_stopped"),
    status_change("stopping", "ended", 60.3, reason="user_stopped"),
]


def timeline_of(*moments: Moment) -> Timeline:
    """Build a timeline of moments numbered in the order given."""
    rows = [Moment(m.at, m.source, m.kind, m.data, number=place) for place, m in enumerate(moments, 1)]
    return timeline.build(rows, BEGAN)


def anomaly_codes(result: Timeline) -> list[str]:
    return [anomaly.code for anomaly in result.anomalies]


def test_the_stages_before_the_first_frame_are_measured() -> None:
    """Requirements 6 and 55: the order of the steps, and how long each took."""
    result = timeline_of(*START, *END)
    took = {stage.code: (stage.begins.total_seconds(), stage.took) for stage in result.stages}
    assert {code: (begins, took and took.total_seconds()) for code, (begins, took) in took.items()} == {
        "requested": (0, 0.018),
        "created": (0.018, 0.594),
        "started": (0.612, 0.47),
        "room": (0.612, 0.274),
        "track": (0.886, 0.214),
        "frame": (1.1, 0.22),
    }
    assert (result.time_to_first_frame, result.failing_stage, anomaly_codes(result)) == (
        timedelta(seconds=1.32),
        "",
        [],
    )


@pytest.mark.parametrize(
    ("reached", "failing"),
    [(1, "created"), (4, "started"), (6, "track"), (7, "frame")],
    ids=["not created", "not started", "no track", "no frame"],
)
def test_the_failing_stage_is_the_first_not_reached(reached: int, failing: str) -> None:
    """Requirements 55 and 65: no unnoticed fault between provider and media."""
    assert timeline_of(*START[:reached], *END).failing_stage == failing


def test_in_our_own_room_the_browser_may_precede_the_providers_answer() -> None:
    result = timeline_of(*START[:2], moment("room_connected", 0.2, BROWSER), *START[2:4], *START[5:], *END)
    room = next(stage for stage in result.stages if stage.code == "room")
    assert (room.begins, room.took) == (timedelta(seconds=0.018), timedelta(seconds=0.182))
    assert anomaly_codes(result) == []


def test_latency_is_measured_from_the_end_of_input_to_the_first_sound() -> None:
    """Requirement 53, typed and spoken.

    A second tab that hears the same adds nothing.
    """
    result = timeline_of(
        *START,
        moment("text_sent", 2, is_greeting=True, task_id="g", status="sent"),
        moment("avatar_start_talking", 2.5, BROWSER, task_id="g"),
        moment("text_sent", 5, task_id="t", status="sent"),
        moment("avatar_start_talking", 5.8, BROWSER, task_id="t"),
        moment("avatar_start_talking", 5.9, BROWSER, task_id="t"),
        moment("user_start", 8, BROWSER),
        moment("user_stop", 10, BROWSER),
        moment("user_end_message", 10.4, BROWSER),
        moment("avatar_start_talking", 11.2, BROWSER, task_id="v"),
        *END,
    )
    spoken = [(turn.by, turn.latency and turn.latency.total_seconds()) for turn in result.turns]
    assert spoken == [("text", 0.8), ("voice", 1.2)]
    assert (result.median_latency, result.p95_latency) == (timedelta(seconds=1), None)  # two turns are too few for it
    assert anomaly_codes(result) == []


def test_events_from_browser_and_provider_make_one_turn() -> None:
    spoken = [("user_start", 8), ("user_stop", 10), ("user_end_message", 10.4), ("avatar_start_talking", 11.2)]
    by_page = [moment(kind, at, BROWSER) for kind, at in spoken]
    by_provider = [moment(kind, at + 0.1, PROVIDER) for kind, at in spoken]
    both = sorted([*by_page, *by_provider], key=lambda moment: moment.at)
    for moments in (by_page, by_provider, both):
        result = timeline_of(*START, *moments, *END)
        assert [turn.latency for turn in result.turns] == [timedelta(seconds=1.2)]


def test_the_browsers_measurement_of_the_sound_is_a_turns_time() -> None:
    def sound(at: float, after: str, ms: object, source: str = BROWSER) -> Moment:
        return moment("first_sound", at, source, after=after, ms=ms)

    asked = (moment("text_sent", 5, task_id="t", status="sent"), moment("text_sent", 20, task_id="u", status="sent"))
    spoken = (moment("user_start", 40, BROWSER), moment("user_stop", 42, BROWSER))
    reported = moment("avatar_start_talking", 5.3, BROWSER, task_id="t")
    heard = (
        sound(1.9, "start", 1850),
        sound(5.2, "typed", 230),
        sound(19.9, "typed", 180),
        sound(42.4, "spoken", 1400),
    )
    result = timeline_of(*START, *asked, reported, *spoken, *heard, *END)
    assert result.time_to_greeting == timedelta(seconds=1.85)
    assert [turn.latency for turn in result.turns] == [timedelta(milliseconds=ms) for ms in (230, 180, 1400)]

    for claim in (
        sound(5.2, "typed", -1),
        sound(5.2, "typed", 60_001),
        sound(5.2, "typed", "soon"),
        sound(5.2, "typed", 230, PORTAL),
        sound(5.2, "spoken", 230),
        sound(90, "typed", 230),
    ):
        result = timeline_of(*START, asked[0], reported, claim, *END)
        assert (result.time_to_greeting, [turn.sound for turn in result.turns]) == (None, [None])
        assert [turn.latency for turn in result.turns] == [timedelta(milliseconds=300)]


def test_a_silent_avatar_is_marked_unless_the_turn_was_cancelled() -> None:
    asked = moment("text_sent", 5, task_id="t", status="sent")
    assert anomaly_codes(timeline_of(*START, asked, *END)) == ["silent"]
    assert anomaly_codes(
        timeline_of(*START, asked, moment("avatar_start_talking", 20, BROWSER, task_id="t"), *END)
    ) == ["silent"]
    assert anomaly_codes(timeline_of(*START, asked, moment("interrupted", 7), *END)) == []
    assert anomaly_codes(timeline_of(*START, moment("text_sent", 5, status="failed"), *END)) == []
    assert anomaly_codes(timeline_of(*START, moment("ladder", 3, BROWSER, step="text"), asked, *END)) == []


def test_an_outage_states_recovery_steps_and_its_end() -> None:
    """Requirement 64 and complaint 6: the record shows what happened to the video."""
    result = timeline_of(
        *START,
        moment("frozen", 10, BROWSER),
        moment("ladder", 10.1, BROWSER, step="rejoin"),
        moment("first_frame", 14, BROWSER),
        moment("ladder", 30, BROWSER, step="rejoin"),
        moment("ladder", 35, BROWSER, step="sound"),
        *END,
    )
    first, second = result.outages
    assert (first.sign, first.steps, first.ends_at) == ("frozen", ("rejoin",), BEGAN + timedelta(seconds=14))
    assert (second.steps, second.ends_at) == (("rejoin", "sound"), None)


@pytest.mark.parametrize(
    ("moments", "code"),
    [
        ([*START[:7], status_change("connecting", "live", 1.4), *END], "live_unseen"),
        ([*START, *END, status_change("stopping", "ended", 70, reason="idle")], "two_ends"),
        ([*START[:3], status_change("connecting", "live", 2), *END], "status_jump"),
        ([*START, END[0], status_change("stopping", "ended", 61)], "no_reason"),
        ([*START, *END, moment("avatar_start_talking", 65, BROWSER)], "went_on"),
        (
            [
                *START,
                status_change("live", "stopping", 30, reason="provider_ended"),
                moment("first_frame", 40, BROWSER),
            ],
            "went_on",
        ),
        ([*START[:6], moment("first_frame", 0.3, BROWSER), START[6], START[8]], "out_of_order"),
        (
            [
                *START,
                moment("avatar_stop_talking", 3, BROWSER, task_id="t"),
                moment("avatar_start_talking", 9, BROWSER, task_id="t"),
            ],
            "out_of_order",
        ),
    ],
    ids=["unseen", "two ends", "jump", "no reason", "after the end", "provider's end", "frame first", "stop first"],
)
def test_contradictions_are_marked(moments: list[Moment], code: str) -> None:
    assert code in anomaly_codes(timeline_of(*moments))


def test_missing_events_are_marked() -> None:
    rows = list(timeline_of(*START, *END).moments)
    holed = [row for row in rows if row.number not in (4, 5)]
    anomaly = timeline.build(holed, BEGAN).anomalies[0]
    assert (anomaly.code, anomaly.data) == ("missing", {"from": 4, "to": 5})


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
def test_the_timeline_does_not_depend_on_the_order_of_events(moments: list[Moment], mixed: Any) -> None:
    result = timeline.build(moments, BEGAN)
    assert sorted(result.moments, key=lambda m: m.at) == list(result.moments)
    assert all(stage.begins >= timedelta(0) and (stage.took or timedelta(0)) >= timedelta(0) for stage in result.stages)
    assert all(turn.latency is None or turn.latency >= timedelta(0) for turn in result.turns)
    assert all(outage.ends_at is None or outage.ends_at >= outage.begins_at for outage in result.outages)
    mixed.shuffle(moments)
    if len({moment.number for moment in moments}) == len(moments):
        assert timeline.build(moments, BEGAN) == result


@given(
    ahead=st.floats(-86_400, 86_400),
    ways=st.lists(st.tuples(st.floats(0, 5), st.floats(0.001, 3)), min_size=1, max_size=40),
)
def test_a_page_clock_is_corrected_up_to_its_fastest_report(ahead: float, ways: list[tuple[float, float]]) -> None:
    """Each report is held for a while before it is sent."""
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
def test_an_invalid_time_is_replaced_by_the_portals(at: Any) -> None:
    assert PageClock().read(at, None, BEGAN) == (BEGAN, None)


def test_an_old_report_gets_the_portals_time_and_keeps_its_own() -> None:
    clock, now_ms = PageClock(), BEGAN.timestamp() * 1000
    old = BEGAN - MAX_REPORT_AGE - timedelta(seconds=1)
    assert clock.read(old.timestamp() * 1000, now_ms, BEGAN) == (BEGAN, old)
