"""Two browsers that differ only in what they report and which session they join have the same facts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
import time_machine
from channels.layers import BaseChannelLayer
from django.contrib.auth.models import User
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from avatars.models import Persona
from heygen_portal import providers
from heygen_portal.people.access import live_access
from heygen_portal.providers.contract.provider import (
    OpenSession,
    ProviderSession,
    ProviderUnreachable,
    RoomAccess,
    SessionGone,
    SessionRecord,
    Speaker,
    SpokenLine,
)
from heygen_portal.runtime import background
from sessions import errors
from sessions.actions import deadlines, provision
from sessions.actions import stop as stopping
from sessions.capacity import claims, provider_lookups, quotas, slots
from sessions.capacity.claims import Claim
from sessions.capacity.leases import this_process
from sessions.costs import ledger, provider_record
from sessions.lifecycle import broadcast, end_evidence
from sessions.models import (
    EndReason,
    ServerProcess,
    SessionTask,
    SessionTotal,
    Status,
    StreamingSession,
    Utterance,
)
from sessions.timeline.page_clock import PageClock
from sessions.web import page_reports
from sessions.web.session_consumer import SessionConsumer
from tests.sessions import reports
from tests.sessions.simulation import Process, Simulation
from tests.support.factories import PersonaFactory, StreamingSessionFactory, UserFactory

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MAY_DIFFER = {EndReason.IDLE, EndReason.NO_PICTURE, EndReason.TAB_CLOSED}
"""End reasons that a browser can cause or delay."""
IDLE, LONGEST, PICTURE, PATIENCE, GRACE = 180, 600, 60, 8, 10
"""Limits in seconds: idle, duration, from Start to the first frame, before a page may give up, and without a tab."""
ROUNDS = 60
EARLIEST_END = 5
"""Steps after which a stop may be requested."""


@dataclass
class Provider:
    """A provider that knows the times and the transcript of each session."""

    latency: timedelta
    is_away: bool = False
    open: dict[str, datetime] = field(default_factory=dict)
    created: dict[str, datetime] = field(default_factory=dict)
    ended: dict[str, datetime] = field(default_factory=dict)
    ended_by_itself: set[str] = field(default_factory=set)
    """Sessions that the provider ended without a request."""

    async def new_session(self, request: Any) -> ProviderSession:
        name = f"theirs-{id(self)}-{len(self.created)}"
        self.open[name] = self.created[name] = timezone.now()
        return ProviderSession(name, RoomAccess("ws://rooms.test", "t"), credential="t")

    async def start_session(self, session: ProviderSession) -> ProviderSession:
        return session

    async def stop_session(self, name: str, why: Any = None) -> None:
        if self.is_away:
            raise ProviderUnreachable("ReadTimeout")
        if name not in self.open:
            raise SessionGone("closed", status=400)
        self.end(name)

    def end(self, name: str) -> None:
        self.ended[name] = timezone.now()
        self.open.pop(name)

    def end_all(self) -> None:
        """End every open session, as a provider may at any time."""
        self.ended_by_itself |= self.open.keys()
        for name in list(self.open):
            self.end(name)

    async def list_sessions(self) -> list[OpenSession]:
        if self.is_away:
            raise ProviderUnreachable("ReadTimeout")
        return [OpenSession(name, "connected", at) for name, at in self.open.items()]


class Page(SessionConsumer):
    """The consumer of a tab, without its socket."""

    def __init__(self, person: User, session: StreamingSession) -> None:
        super().__init__()
        self.user, self.owner = person, person.pk
        self.persona_id, self.channel_name = session.persona_id, f"tab-{session.pk}"
        self.claim = live_access.Claim("", person.pk, self.permission)
        vars(self)["scope"] = {"cookies": {}, "query_string": b""}
        self.is_open, self.join_lock = True, asyncio.Lock()
        self.sent_lines_of, self.last_sent_line = None, 0
        self.channel_layer = AsyncMock(BaseChannelLayer)

    async def relay(self, event: broadcast.Event) -> None:
        pass

    async def go_to(self, session: StreamingSession) -> None:
        await self.join(session.pk, {})


@dataclass
class Side:
    """One user, their session, and the facts about it."""

    person: User
    session: StreamingSession
    former: StreamingSession
    """An older session of the same user."""
    page: Page
    left_at: datetime | None = None
    """When the tab went to the older session, if the session was still open and the tab has not come back."""
    clock: PageClock = field(default_factory=PageClock)
    written: list[str] = field(default_factory=list)
    stop_seen_at: datetime | None = None
    stopped_at: datetime | None = None
    """When the user pressed Stop, if the session was still open."""
    has_asked: bool = False
    """The page requested a stop by itself."""

    def read(self) -> StreamingSession:
        self.session.refresh_from_db()
        return self.session


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.floats(), st.sampled_from(["", "text", "picture", "out", "good"])
)
LINES = ["Hola.", "Son las ocho.", "You: yes", "Respuesta 0", "respuesta 0 y respuesta 1", "x" * 300]
data = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "message": st.sampled_from(LINES),
            "task_id": st.sampled_from(["", "t1", "t2"]),
            "interrupted": st.booleans(),
            "step": st.sampled_from(["rejoin", "renew", "sound", "text", "out"]),
            "reason": st.sampled_from([4, 5, "over"]),
            "code": st.sampled_from(["network", "frozen", "nonsense"]),
            "rating": st.sampled_from(["good", "awful"]),
            "ms": st.integers(-10, 10_000),
            "page_at": scalars,
        },
    ),
    st.dictionaries(st.sampled_from(["message", "reason", "x", "is_final"]), scalars, max_size=3),
    scalars,
)
# The portal accepts a page's time up to half a minute in the past.
moments = st.one_of(
    st.none(), st.sampled_from([0, -1e18, 1e18]), st.integers(-30_000, 0), st.integers(-7_200_000, 7_200_000)
)
WORD_OF_AN_END: list[tuple[str, dict[str, Any]]] = [
    ("room_disconnected", {"reason": 4}),
    ("room_disconnected", {"reason": 5}),
    ("session_stopped", {"reason": "over"}),
    ("verdict", {"code": "network"}),
]
"""Reports that say or suggest that a session has ended, without requesting a stop."""
kinds = st.one_of(st.sampled_from(sorted(page_reports.EFFECTS)), st.sampled_from(["", "no such kind"]))


class TwoBrowsers(RuleBasedStateMachine):
    """Events happen to both at the same time; the two report them differently."""

    def __init__(self) -> None:
        super().__init__()
        self.done = 0
        self.travel = time_machine.travel(NOON, tick=False)
        self.time = self.travel.start()
        self.patch = pytest.MonkeyPatch()
        self.simulation, self.web = Simulation(), Process("web")
        for name, module in list(sys.modules.items()):
            if name.startswith("sessions.") and hasattr(module, "in_thread"):
                self.patch.setattr(module, "in_thread", self.simulation.in_thread)
        for name in ("publish", "publish_all", "wake"):
            self.patch.setattr(broadcast, name, lambda *args: None)
        self.patch.setattr(background, "call_later", lambda *args: None)  # ticks alone enforce limits
        self.patch.setattr(this_process, "ensure_lease", AsyncMock())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run all of it now without interruption; return the result."""
        answers: list[Any] = []

        async def note() -> None:
            answers.append(await work)

        self.simulation.spawn(self.web, note())
        while self.simulation.steps:
            self.simulation.take_step(self.simulation.steps[0])
        return answers[0]

    @initialize(
        latency=st.integers(0, 20),
        are_seen=st.sampled_from([(True, True), (True, False), (False, False)]),
        seen_at=moments,
    )
    def begin(self, latency: int, are_seen: tuple[bool, bool], seen_at: Any) -> None:
        self.provider = Provider(timedelta(seconds=latency))
        self.patch.setattr(providers, "for_account", lambda account: self.provider)
        self.patch.setattr(provider_lookups, "listed", lambda session: self.provider.list_sessions())
        persona = PersonaFactory.create(
            published=True, greeting="", avatar__account__credits_per_minute=1, avatar__account__is_exclusive=True,
            idle_timeout=timedelta(seconds=IDLE), duration_limit=timedelta(seconds=LONGEST),
        )  # fmt: skip
        self.account = persona.avatar.account
        lease = {"lease_ends_at": NOON + timedelta(days=1)}
        ServerProcess.objects.update_or_create(pk=this_process.id, defaults=lease)
        self.sides = [self._side(person, persona) for person in UserFactory.create_batch(2)]
        self.time.shift(latency)
        for side in self.sides:
            self.run(provision.create_and_start(side.session, self._give_room))
        for who, is_seen in enumerate(are_seen):
            if is_seen:
                self.report(who, "first_frame", {}, seen_at, 0)

    def _side(self, person: User, persona: Persona) -> Side:
        former = StreamingSessionFactory.create(user=person, persona=persona, status=Status.ENDED)
        session = slots.open_session(person.pk, persona.slug)
        side = Side(person, session, former, Page(person, session))
        self.run(side.page.go_to(session))
        return side

    async def _give_room(self, room: RoomAccess) -> None:
        pass

    def may_end(self) -> bool:
        """Whether enough has happened; otherwise most examples would end at once."""
        return self.done >= EARLIEST_END

    # Facts, for both

    @rule(seconds=st.sampled_from([1, 5, 5, 9, 12, 31, 61, 170, 200]))
    def let_time_pass(self, seconds: int) -> None:
        self.done += 1
        until = timezone.now() + timedelta(seconds=seconds)
        while (at := self._next_tick_at()) and at <= until:
            self.time.move_to(max(at, timezone.now()))
            self._tick()
        self.time.move_to(until)

    def _next_tick_at(self) -> datetime | None:
        rows = StreamingSession.objects.open().filter(pk__in=[side.session.pk for side in self.sides])
        return rows.order_by("deadline_at").values_list("deadline_at", flat=True).first()

    def _tick(self) -> None:
        self.run(stopping.enforce_due(timezone.now()))
        StreamingSession.objects.open().filter(deadline_at__lte=timezone.now()).update(
            deadline_at=timezone.now()
            + timedelta(seconds=1)  # a provider that is away is retried later, not for ever now
        )
        self._see_stops()

    def _see_stops(self) -> None:
        """Record with a separate clock when a stop was requested."""
        for side in self.sides:
            if side.stop_seen_at is None and side.read().status in (Status.STOPPING, Status.ENDED):
                side.stop_seen_at = timezone.now()

    @rule()
    def write(self) -> None:
        self.done += 1
        if any(side.read().status != Status.LIVE for side in self.sides):
            return
        for side in self.sides:
            text = f"Pregunta {len(side.written)}"
            deadlines.accept_task(side.session.pk, text=text, kind=SessionTask.Kind.TALK, user_id=side.person.pk)
            side.written.append(text)

    @rule(seconds=st.sampled_from([0, 0, IDLE, LONGEST]))
    def stay(self, seconds: int) -> None:
        """Stay, and again before each idle limit until this time has passed."""
        until = timezone.now() + timedelta(seconds=seconds)
        while True:
            for side in self.sides:
                if side.read().status == Status.LIVE:
                    deadlines.stay(side.session.pk)
            if timezone.now() >= until:
                return
            self.let_time_pass(min(IDLE - 30, int((until - timezone.now()).total_seconds())))

    @precondition(may_end)
    @rule()
    def stop(self) -> None:
        for side in self.sides:
            if side.stop_seen_at is None:
                side.stopped_at = timezone.now()
            evidence = end_evidence.person(side.person.pk)
            self.run(stopping.stop_by_id(side.session.pk, EndReason.USER_STOPPED, evidence))
        self._see_stops()

    @precondition(may_end)
    @rule()
    def provider_ends_them(self) -> None:
        self.provider.end_all()

    @rule()
    def reconcile(self) -> None:
        self.run(stopping.try_reconcile(self.account))
        self._see_stops()

    @rule(is_away=st.booleans())
    def provider_is_lost_or_returns(self, is_away: bool) -> None:
        self.provider.is_away = is_away

    # One of them goes to the user's older session and comes back

    @rule(who=st.integers(0, 1), comes_back=st.booleans())
    def join(self, who: int, comes_back: bool) -> None:
        side = self.sides[who]
        was_away, is_open = side.page.session_id != side.session.pk, side.read().status != Status.ENDED
        self.run(side.page.go_to(side.session if comes_back else side.former))
        if side.stop_seen_at is None and is_open and comes_back == was_away:
            side.left_at = None if comes_back else timezone.now()

    # Reports of one of them

    @rule(who=st.integers(0, 1), kind=kinds, data=data, at=moments, sent=moments)
    def report(self, who: int, kind: str, data: Any, at: Any, sent: Any) -> None:
        self.done += 1
        side, now_ms = self.sides[who], timezone.now().timestamp() * 1000
        own = {"at": None if at is None else now_ms + at, "sent": None if sent is None else now_ms + sent}
        is_final = kind == "verdict" and isinstance(data, dict) and data.get("is_final") is True
        side.has_asked |= is_final and side.read().status in (Status.CONNECTING, Status.LIVE)
        with suppress(errors.BadMessage):
            self.run(reports.handle(side.page.current_session_id(), {"kind": kind, "data": data, **own}, side.clock))
        self._see_stops()

    @rule(who=st.integers(0, 1), kind=st.sampled_from(["first_frame", "user_start", "avatar_end_message"]), at=moments)
    def report_what_counts(self, who: int, kind: str, at: Any) -> None:
        self.report(who, kind, {"message": "Respuesta 0"}, at, 0)

    @rule(who=st.integers(0, 1), report=st.sampled_from(WORD_OF_AN_END))
    def report_an_end(self, who: int, report: tuple[str, dict[str, Any]]) -> None:
        self.report(who, *report, 0, 0)

    @precondition(may_end)
    @rule(who=st.integers(0, 1))
    def give_up(self, who: int) -> None:
        self.report(who, "verdict", {"code": "network", "is_final": True}, 0, 0)

    @precondition(may_end)
    @rule(who=st.integers(0, 1), because=st.sampled_from(claims.RENEWABLE))
    def ask_for_a_renewal(self, who: int, because: EndReason) -> None:
        side = self.sides[who]
        if side.read().status in (Status.CONNECTING, Status.LIVE):
            side.has_asked = True
            claim = self.run(claims.check_with_provider(side.session, Claim(side.person.pk, because)))
            self.run(stopping.stop_as_claimed(side.session, claim))
        self._see_stops()

    # What must hold in the end

    def teardown(self) -> None:
        try:
            if hasattr(self, "sides"):
                self._wait_for_the_end()
                for side in self.sides:
                    self._judge(side)
                self._compare(*self.sides)
        finally:
            for side in getattr(self, "sides", ()):
                this_process.forget_session(side.page.channel_name)
            self.simulation.close()
            self.patch.undo()
            self.travel.stop()

    def _wait_for_the_end(self) -> None:
        self.provider.is_away = False
        for _ in range(ROUNDS):
            if all(side.read().status == Status.ENDED for side in self.sides):
                return
            self.let_time_pass(31)
        raise AssertionError([side.read().status for side in self.sides])

    def _judge(self, side: Side) -> None:
        """Compare one session with the provider's own times and transcript."""
        session = side.read()
        assert session.provider_session_id
        assert session.ended_at
        assert side.stop_seen_at
        created_at = self.provider.created[session.provider_session_id]
        assert (session.opened_at, session.stop_requested_at) == (created_at, side.stop_seen_at)
        assert quotas.used_by(side.person.pk, timezone.now()) == side.stop_seen_at - created_at
        ledger.book_all()
        total = SessionTotal.objects.get(session=session)
        assert total.time == session.ended_at - created_at
        assert session.ended_at >= max(self.provider.ended[session.provider_session_id], side.stop_seen_at)
        assert session.ends_at == session.created_at + timedelta(seconds=LONGEST)
        lasted, was_open = side.stop_seen_at - session.created_at, side.stop_seen_at - created_at
        self._judge_reason(side, session, lasted.total_seconds(), was_open.total_seconds())
        self._judge_lines(side, session)

    def _judge_reason(self, side: Side, session: StreamingSession, lasted_s: float, was_open_s: float) -> None:
        reason = session.end_reason
        assert lasted_s <= LONGEST
        assert side.stop_seen_at
        alone_s = (side.stop_seen_at - side.left_at).total_seconds() if side.left_at else 0
        assert alone_s <= GRACE
        if reason == EndReason.NO_PICTURE:
            assert session.live_at is None
            assert lasted_s == PICTURE or (side.has_asked and was_open_s >= PATIENCE)
        elif reason == EndReason.TAB_CLOSED:
            assert alone_s == GRACE
        elif reason == EndReason.IDLE:
            assert lasted_s >= IDLE
        elif reason == EndReason.DURATION_LIMIT:
            assert lasted_s == LONGEST
        elif reason == EndReason.PROVIDER_ENDED:
            assert session.provider_session_id in self.provider.ended_by_itself
            assert self.provider.ended[session.provider_session_id] <= (side.stop_seen_at or NOON)
        else:
            assert reason == EndReason.USER_STOPPED
            self._judge_stop(side, session)

    def _judge_stop(self, side: Side, session: StreamingSession) -> None:
        """A user's stop needs the user, or a page that requested it and is named as such."""
        if session.end_evidence["code"] == "person":
            assert side.stopped_at == side.stop_seen_at
        else:
            assert session.end_evidence["code"] in ("continued", "gave_up")
            assert side.has_asked

    def _judge_lines(self, side: Side, session: StreamingSession) -> None:
        theirs = [
            line
            for number, text in enumerate(side.written)
            for line in (SpokenLine(Speaker.USER, text, NOON), SpokenLine(Speaker.AVATAR, f"Respuesta {number}", NOON))
        ]
        # The provider accepted every text, so its own transcript adds none of them.
        SessionTask.objects.filter(session=session).update(status=SessionTask.Status.SENT)
        provider_record.store(session, SessionRecord(lines=tuple(theirs)))
        rows = Utterance.objects.filter(session=session).order_by("pk")
        kept = {source: [line.text for line in rows if line.source == source] for source in ("portal", "provider")}
        answers = [line.text for line in theirs if line.who == Speaker.AVATAR]
        assert kept == {"portal": side.written, "provider": answers}

    def _compare(self, one: Side, other: Side) -> None:
        """Only idle limits, missing video, a tab that left, or a requested stop may make a difference."""
        ends = {(side.session.end_reason, side.session.stop_requested_at) for side in (one, other)}
        if len(ends) > 1 and not (one.has_asked or other.has_asked):
            first = min((one, other), key=lambda side: side.session.stop_requested_at or NOON)
            is_room_checked = first.session.end_reason == EndReason.PROVIDER_ENDED
            assert first.session.end_reason in MAY_DIFFER or is_room_checked


def run(max_examples: int, steps: int) -> None:
    run_state_machine_as_test(
        TwoBrowsers,
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.django_db
def test_reports_of_two_browsers_do_not_change_the_facts() -> None:
    run(max_examples=8, steps=25)


@pytest.mark.proof
@pytest.mark.django_db
def test_long_reports_of_two_browsers_do_not_change_the_facts() -> None:
    run(max_examples=400, steps=50)
