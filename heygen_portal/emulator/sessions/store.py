"""Sessions in memory: states, limits and cost."""

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

MAX_REMEMBERED: Final = 10_000  # closed sessions, and unused session tokens


@dataclass(frozen=True)
class TranscriptLine:
    """A line of the transcript, kept for services that can return it."""

    role: str  # user or avatar
    text: str
    at: float


@dataclass(slots=True)
class Session:
    """A streaming session. `billing_factor` scales the reported duration; 1 is exact."""

    id: str
    options: SessionOptions
    created_by_key: bool  # created with the account's key, not with a session token
    created_at: float
    active_at: float
    ends_at: float
    user_since: float | None = None
    no_user_since: float | None = None
    state: State = State.NEW
    ended_at: float | None = None
    end_reason: str = ""
    present: bool = False  # both of the avatar's tracks are published
    tasks: int = 0
    billing_factor: float = 1.0
    transcript: list[TranscriptLine] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    def duration(self, now: float) -> float:
        """Return the duration in seconds as the service reports it."""
        return ((self.ended_at or now) - self.created_at) * self.billing_factor


@dataclass(slots=True)
class Token:
    """A session token, valid for the sessions it was created or first used for."""

    sessions: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Caller:
    """The caller: the account, or the bearer of a session token."""

    token: Token | None = None

    @property
    def is_account(self) -> bool:
        return self.token is None


class Store:
    """All sessions of the account. Never waits; the time comes from `clock`."""

    def __init__(self, rules: Rules, clock: Clock) -> None:
        self.rules = rules
        self.clock = clock
        self.sessions: dict[str, Session] = {}
        self.tokens: dict[str, Token] = {}
        self.used_credits = 0.0  # by closed sessions
        self.is_quota_exhausted = self.is_limit_reached = False  # set by faults
        self._open: dict[str, Session] = {}
        self._over: deque[str] = deque()
        self._deadlines: list[tuple[float, str]] = []

    def new_token(self, session_id: str | None = None) -> str:
        """Return a new token.

        Letters and digits only: the published SDK inserts it into a URL unquoted.
        """
        if session_id is not None:
            self.find(session_id)
        if len(self.tokens) >= 2 * MAX_REMEMBERED:
            self._forget_tokens()
        name = uuid4().hex + uuid4().hex
        self.tokens[name] = Token({session_id} if session_id else set())
        return name

    def _forget_tokens(self) -> None:
        """Keep the tokens of open sessions and the newest of the rest."""
        spare = [name for name, token in self.tokens.items() if not token.sessions & self._open.keys()]
        for name in spare[: max(len(spare) - MAX_REMEMBERED, 0)]:
            del self.tokens[name]

    def new_session(self, options: SessionOptions, caller: Caller, session_id: str = "") -> Session:
        """Add a session. Raises Refusal without a free slot or quota."""
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
        """Return the session if the caller may use it. Raises Refusal otherwise.

        An unused token is bound to the first session it is used for, as when a backend creates a session with
        its key and gives a browser a token.
        """
        session = self.find(session_id)
        if caller.token is not None and session_id not in caller.token.sessions:
            if caller.token.sessions or not session.created_by_key:
                raise Refusal("unauthorized", "token of another session")
            caller.token.sessions.add(session_id)
        return session

    def accept(self, session: Session, verb: str) -> None:
        """Record activity, or raise the refusal documented for this action and state."""
        if refusal := ACTIONS[verb][session.state]:
            raise Refusal(refusal)
        session.active_at = self.clock.now()

    def move(self, session: Session, to: State, reason: str = "") -> bool:
        """Change the state. Return False if the transition is not allowed."""
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
        """Return the quota left in sixtieths of a credit, open sessions deducted."""
        if self.is_quota_exhausted:
            return 0
        spent = self.used_credits + sum(map(self.credits, self._open.values()))
        return int(self.rules.quota - spent * 60)

    def is_quota_gone(self) -> bool:
        """Return whether the quota is exhausted.

        Cheap while the quota is far from exhausted, whatever the number of open sessions.
        """
        longest = max(self.rules.duration_s, self.rules.minimum_s)
        maximum = self.used_credits * 60 + len(self._open) * longest * self.rules.credits_per_minute
        return (self.is_quota_exhausted or maximum >= self.rules.quota) and self.remaining_quota() <= 0

    def credits(self, session: Session) -> float:
        """Return the session's cost so far in credits."""
        seconds = max(session.duration(self.clock.now()), self.rules.minimum_s)
        return seconds / 60 * self.rules.credits_per_minute * session.options.cost_factor

    # Deadlines ----------------------------------------------------------------------------------------------

    def set_user(self, session: Session, here: bool) -> None:
        """Record that the first user joined or the last one left."""
        now = self.clock.now()
        session.user_since = now if here else None
        session.no_user_since = None if here else now
        self.schedule(session)

    def deadline(self, session: Session) -> tuple[float, str]:
        """Return when the session ends without further activity, and the reason."""
        idle_at = inf if session.options.idle_s is None else session.active_at + session.options.idle_s
        alone_at = inf if session.no_user_since is None else session.no_user_since + self.rules.no_user_s
        return min((session.ends_at, "duration"), (idle_at, "idle"), (alone_at, "no_user"))

    def schedule(self, session: Session) -> None:
        """Check the session at its deadline. A deadline that moved is rescheduled then."""
        heapq.heappush(self._deadlines, (self.deadline(session)[0], session.id))

    def next_deadline(self) -> float:
        return self._deadlines[0][0] if self._deadlines else inf

    def due(self) -> Iterator[tuple[Session, str]]:
        """Yield due sessions, each with the end reason."""
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
