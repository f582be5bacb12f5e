"""Random sequences of calls checked against the documented states."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from heygen_portal.emulator.heygen.catalogue import Catalogue
from heygen_portal.emulator.heygen.requests import parse_options
from heygen_portal.emulator.sessions.clock import Clock
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import ACTIONS, ERRORS, OPEN, TRANSITIONS, Refusal, State
from heygen_portal.emulator.sessions.store import Caller, Session, Store
from tests.emulator.providers_doc import table

DOCUMENTED = {row["verb"]: row for row in table("verb")}
RULES = Rules(concurrency=3, quota=2000)


def refusal_of(act: Callable[[], object]) -> int | None:
    """Return the code of the refusal, or None."""
    try:
        act()
    except Refusal as refusal:
        return refusal.error.code
    return None


class Sessions(RuleBasedStateMachine):
    """Compares the store with a simple model under random actions and times."""

    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = Store(RULES, self.clock)
        self.catalogue = Catalogue()
        self.states: dict[str, State] = {}

    @rule(target=sessions, idle=st.sampled_from([None, 30, 120, 3600]), never=st.booleans())
    def order(self, idle: int | None, never: bool) -> Session | None:
        order = parse_options(
            {"activity_idle_timeout": idle, "disable_idle_timeout": never}, self.catalogue, self.store.rules
        )
        was_full = sum(state in OPEN for state in self.states.values()) >= RULES.concurrency
        was_broke = self.store.remaining_quota() <= 0
        made: list[Session] = []
        code = refusal_of(lambda: made.append(self.store.new_session(order, Caller())))
        assert code == (10007 if was_full else 10015 if was_broke else None)
        for session in made:
            self.states[session.id] = session.state
        return made[0] if made else None

    @rule(session=sessions, verb=st.sampled_from(sorted(ACTIONS)))
    def use(self, session: Session | None, verb: str) -> None:
        if session is None:
            return
        documented = DOCUMENTED[verb][session.state]
        code = refusal_of(lambda: self.store.accept(session, verb))
        assert documented == (str(code) if code else "yes")
        if verb == "start" and code is None:
            assert self.store.move(session, State.CONNECTING)

    @rule(session=sessions, to=st.sampled_from(State))
    def move(self, session: Session | None, to: State) -> None:
        if session is None:
            return
        before = session.state
        assert self.store.move(session, to, "test") == (to in TRANSITIONS[before])
        assert session.state == (to if to in TRANSITIONS[before] else before)

    @rule(session=sessions, here=st.booleans())
    def join_or_leave(self, session: Session | None, here: bool) -> None:
        if session is not None and session.is_open:
            self.store.set_user(session, here)

    @rule(seconds=st.floats(0, 700))
    def wait(self, seconds: float) -> None:
        self.clock.move(seconds)
        now = self.clock.now()
        for session, _ in self.store.due():
            assert session.is_open
            self.store.move(session, State.CLOSING, "due")
        for session in self.store.open_sessions():
            assert self.store.deadline(session)[0] > now

    @invariant()
    def states_never_go_backwards_and_the_open_sessions_are_those_in_open_states(self) -> None:
        order = list(State)
        for session_id, before in self.states.items():
            now = self.store.sessions[session_id].state
            assert order.index(now) >= order.index(before)
            self.states[session_id] = now
        assert {session.id for session in self.store.open_sessions()} == {
            session_id for session_id, state in self.states.items() if state in OPEN
        }

    @invariant()
    def every_open_session_has_a_scheduled_deadline(self) -> None:
        for session in self.store.open_sessions():
            assert self.store.next_deadline() <= self.store.deadline(session)[0]


Sessions.TestCase.settings = settings(
    max_examples=80, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestRandomCalls = Sessions.TestCase


def test_every_state_refusal_is_a_documented_error() -> None:
    for row in ACTIONS.values():
        assert set(row) == set(State)
        assert {refusal for refusal in row.values() if refusal} <= ERRORS.keys()
