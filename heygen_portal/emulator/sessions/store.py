"""Sessions in memory: the five states, the limits that end them, and what they cost."""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final
from uuid import uuid1, uuid4

from heygen_portal.emulator.sessions.clock import Clock
from heygen_portal.emulator.sessions.options import SessionOptions
from heygen_portal.emulator.sessions.rules import Rules
from heygen_portal.emulator.sessions.states import ACTIONS, OPEN, TRANSITIONS, Refusal, State

MAX_REMEMBERED: Final = 10_000  # closed sessions, and session tokens that nobody used for a session


@dataclass(frozen=True)
class TranscriptLine:
    """Something said; kept where the service has a route that tells it."""

    role: str  # user or avatar
    text: str
    at: float


@dataclass(slots=True)
class Session:
    """One streaming session. `billed` stretches what it is said to have lasted: 1 is the truth."""

    id: str
    options: SessionOptions
    created_by_key: bool  # ordered with the account's key rather than a session token
    created_at: float
    active_at: float
    ends_at: float
    user_since: float | None = None
    no_user_since: float | None = None
    state: State = State.NEW
    ended_at: float | None = None
    end_reason: str = ""
    present: bool = False  # the avatar publishes
    tasks: int = 0
    billing_factor: float = 1.0
    transcript: list[TranscriptLine] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    def duration(self, now: float) -> float:
        """Seconds open, as the service reports them."""
        return ((self.ended_at or now) - self.created_at) * self.billing_factor


@dataclass(slots=True)
class Token:
    """A session token; it serves the sessions it was made or used for, and no others."""

    sessions: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Caller:
    """Who asks: the account, or the bearer of one session token."""

    token: Token | None = None

    @property
    def is_account(self) -> bool:
        return self.token is None


class Store:
    """Every session of the account. Nothing here waits; the moment comes from `clock`."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self.rules = rules
        self.clock = clock
        self.sessions: dict[str, Session] = {}
        self.tokens: dict[str, Token] = {}
        self.used_credits = 0.0  # by sessions that are over
        self.is_quota_exhausted = self.is_limit_reached = (
            False  # faults: the quota gone, the limit reached, whatever the truth
        )
        self._open: dict[str, Session] = {}
        self._over: deque[str] = deque()
        self._deadlines: list[tuple[float, str]] = []

    def new_token(self, session_id: str | None = None) -> str:
        """A token of letters and digits only: the published SDK pastes it raw into a URL."""
        if session_id is not None:
            self.find(session_id)
        if len(self.tokens) >= 2 * MAX_REMEMBERED:
            self._forget_tokens()
        name = uuid4().hex + uuid4().hex
        self.tokens[name] = Token({session_id} if session_id else set())
        return name

    def _forget_tokens(self) -> None:
        """Keep those of open sessions and the newest half of the rest."""
        spare = [name for name, token in self.tokens.items() if not token.sessions & self._open.keys()]
        for name in spare[: max(len(spare) - MAX_REMEMBERED, 0)]:
            del self.tokens[name]

    def new_session(self, options: SessionOptions, caller: Caller, session_id: str = "") -> Session:
        """Take a slot. Refused when all are taken or the quota is gone."""
        if self.is_limit_reached or len(self._open) >= self.rules.concurrency:
            raise Refusal("concurrent_limit")
        if options.cost_factor and self.is_quota_gone():
            raise Refusal("trial_limit")
        now = self.clock.now()
        session = Session(
            id=session_id or str(uuid1()),
            options=options,
            created_by_key=caller.is_account,
            created_at=now,
            active_at=now,
            ends_at=now + (self.rules.duration_s if options.duration_s is None else options.duration_s),
            no_user_since=now,
        )
        if caller.token:
            caller.token.sessions.add(session.id)
        self.sessions[session.id] = self._open[session.id] = session
        self.schedule(session)
        return session

    def find(self, session_id: str) -> Session:
        if session := self.sessions.get(session_id):
            return session
        raise Refusal("session_not_found")

    def find_for(self, session_id: str, caller: Caller) -> Session:
        """The session, if this caller may speak to it.

        A token not yet used for any session is bound to the first one it is used for, as with a backend
        that orders with its key and hands a browser a token.
        """
        session = self.find(session_id)
        if caller.token is not None and session_id not in caller.token.sessions:
            if caller.token.sessions or not session.created_by_key:
                raise Refusal("unauthorized", "token of another session")
            caller.token.sessions.add(session_id)
        return session

    def accept(self, session: Session, verb: str) -> None:
        """Raise the documented refusal unless `verb` is taken in the session's state; it counts as activity."""
        if refusal := ACTIONS[verb][session.state]:
            raise Refusal(refusal)
        session.active_at = self.clock.now()

    def move(self, session: Session, to: State, reason: str = "") -> bool:
        """Change state; False when the table of moves forbids it, as for the second of two callers."""
        if to not in TRANSITIONS[session.state]:
            return False
        session.state = to
        if to is State.CLOSING:
            session.ended_at = max(self.clock.now(), session.created_at)
            session.end_reason = reason
            self.used_credits += self.credits(session)
            del self._open[session.id]
        elif to is State.CLOSED:
            self._over.append(session.id)
            if len(self._over) > MAX_REMEMBERED:
                del self.sessions[self._over.popleft()]
        return True

    def open_sessions(self) -> list[Session]:
        return list(self._open.values())

    def remaining_quota(self) -> int:
        """Sixtieths of a credit left, counting what the open sessions have cost so far."""
        if self.is_quota_exhausted:
            return 0
        spent = self.used_credits + sum(map(self.credits, self._open.values()))
        return int(self.rules.quota - spent * 60)

    def is_quota_gone(self) -> bool:
        """Whether nothing is left; cheap while far from it, however many sessions are open."""
        longest = max(self.rules.duration_s, self.rules.minimum_s)
        maximum = self.used_credits * 60 + len(self._open) * longest * self.rules.credits_per_minute
        return (self.is_quota_exhausted or maximum >= self.rules.quota) and self.remaining_quota() <= 0

    def credits(self, session: Session) -> float:
        """What the session has cost so far."""
        seconds = max(session.duration(self.clock.now()), self.rules.minimum_s)
        return seconds / 60 * self.rules.credits_per_minute * session.options.cost_factor

    # What is due ------------------------------------------------------------------------------------------

    def set_user(self, session: Session, here: bool) -> None:
        """Somebody other than the avatar and its agents came into the room, or the last one left."""
        now = self.clock.now()
        session.user_since = now if here else None
        session.no_user_since = None if here else now
        self.schedule(session)

    def deadline(self, session: Session) -> tuple[float, str]:
        """When the session ends if nothing more happens, and for what reason."""
        idle_at = inf if session.options.idle_s is None else session.active_at + session.options.idle_s
        alone_at = inf if session.no_user_since is None else session.no_user_since + self.rules.no_user_s
        return min((session.ends_at, "duration"), (idle_at, "idle"), (alone_at, "no_user"))

    def schedule(self, session: Session) -> None:
        """Look at the session when its deadline comes; one that moved later by then is looked at again."""
        heapq.heappush(self._deadlines, (self.deadline(session)[0], session.id))

    def next_deadline(self) -> float:
        return self._deadlines[0][0] if self._deadlines else inf

    def due(self) -> Iterator[tuple[Session, str]]:
        """Sessions whose moment has come, each with the reason."""
        now = self.clock.now()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, session_id = heapq.heappop(self._deadlines)
            session = self._open.get(session_id)
            if session is None:
                continue
            moment, reason = self.deadline(session)
            if moment <= now:
                yield session, reason
            else:
                heapq.heappush(self._deadlines, (moment, session_id))
