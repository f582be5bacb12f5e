"""Faults that can be injected: what fails, where, and how often."""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from itertools import count
from typing import Any, Final

from heygen_portal.emulator.liveavatar.states import LIVEAVATAR_ERRORS
from heygen_portal.emulator.openai.errors import COMPLETIONS, OPENAI_ERRORS
from heygen_portal.emulator.sessions.runner import SessionRuntime
from heygen_portal.emulator.sessions.states import ERRORS
from heygen_portal.emulator.sessions.store import Session

# Parameters of each kind with defaults, for faults of calls, of sessions and of the account.
CALL_KINDS: Final[dict[str, dict[str, Any]]] = {
    "answer": {"status": 500, "body": None, "error": None},  # `error` is a key of the service's error table
    "delay": {"seconds": 5.0},  # delays the response, not the effect
    "cut": {"when": "after"},  # cut the connection before or after the effect
    "html": {"status": 502},
    "silence": {"when": "after"},  # never respond, before or after the effect
}
# Of chat completions. `after` counts the tokens that are sent before.
MODEL_KINDS: Final[dict[str, dict[str, Any]]] = {
    "stream_slow": {"seconds": 0.2},  # before each token
    "stream_stall": {"after": 0.0},  # the rest never comes
    "stream_cut": {"after": 3.0},  # the connection is cut
    "stream_end": {"after": 3.0},  # the response ends as if it were whole
    "stream_error": {"after": 3.0},  # an error comes instead of the rest
    "stream_garbled": {"after": 3.0},  # a chunk is no JSON
    "wrong_arguments": {"arguments": "garbled"},  # of a tool's call: no JSON, or of no such parameter
}
SESSION_KINDS: Final[dict[str, dict[str, Any]]] = {
    "never_connects": {},
    "late": {"seconds": 5.0},
    "no_video": {},
    "no_audio": {},
    "black": {},
    "frozen": {},
    "leaves": {"seconds": 1.0},  # after its next speech starts
    "packets": {"packets": "lost"},  # lost, doubled or reordered
    "foreign_token": {},  # the user's token opens another room
    "expired_token": {},  # the user's token has expired
    "billing": {"factor": 1.5},  # multiplies the real duration
}
ACCOUNT_KINDS: Final[dict[str, dict[str, Any]]] = {
    "room_deleted": {},  # at once, with everyone in it
    "quota_gone": {},  # until the fault is removed
    "limit_reached": {},  # until the fault is removed
}
KINDS: Final = CALL_KINDS | MODEL_KINDS | SESSION_KINDS | ACCOUNT_KINDS
CHOICES: Final = {
    "when": ("before", "after"),
    "packets": ("lost", "doubled", "reordered"),
    "error": tuple(ERRORS | LIVEAVATAR_ERRORS | OPENAI_ERRORS),
    "arguments": ("garbled", "unknown"),
}
MAX_SECONDS: Final = 3600
MAX_FAULTS: Final = 1000


@dataclass
class Fault:
    """An active fault. It is over after it happened `times` times; None means never."""

    id: int
    kind: str
    with_: dict[str, Any]
    on: str = ""  # for calls: the end of a path, such as `streaming.task`; empty: every call
    session: str = ""  # empty: every session
    times: int | None = 1
    share: float = 1.0
    happened: int = 0

    @property
    def is_over(self) -> bool:
        return self.times is not None and self.happened >= self.times

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "with_"} | self.with_


@dataclass
class Faults:
    """All active faults.

    The random seed is fixed, so that failing tests are repeatable.
    """

    active: dict[int, Fault] = field(default_factory=dict)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def add(self, request: dict[str, Any]) -> Fault:
        """Add a fault. Raises ValueError with a message for an invalid request."""
        if len(self.active) >= MAX_FAULTS:
            raise ValueError(f"more than {MAX_FAULTS} faults")
        fault = _parse(request, next(self._ids))
        self.active[fault.id] = fault
        return fault

    def remove(self, fault_id: int) -> Fault | None:
        return self.active.pop(fault_id, None)

    def clear(self) -> None:
        self.active.clear()
        self._random.seed(0)

    def on_call(self, path: str, session_id: str) -> list[Fault]:
        """Return the faults that affect this call, and count them."""
        kinds = CALL_KINDS | MODEL_KINDS if path == COMPLETIONS else CALL_KINDS
        return self._triggered(
            fault
            for fault in self.active.values()
            if fault.kind in kinds and path.endswith(fault.on) and fault.session in ("", session_id)
        )

    def on_new_session(self, session: Session, runtime: SessionRuntime) -> None:
        """Apply the faults meant for new sessions."""
        meant = (fault for fault in self.active.values() if fault.kind in SESSION_KINDS and not fault.session)
        for fault in self._triggered(meant):
            apply_fault(fault, session, runtime)

    def _triggered(self, candidates: Iterator[Fault]) -> list[Fault]:
        hits = [fault for fault in candidates if fault.share >= 1 or self._random.random() < fault.share]
        for fault in hits:
            fault.happened += 1
            if fault.is_over:
                del self.active[fault.id]
        return hits


def apply_fault(fault: Fault, session: Session, runtime: SessionRuntime) -> None:
    """Apply a fault of SESSION_KINDS. A running session is affected at once."""
    values = fault.with_
    match fault.kind:
        case "never_connects":
            runtime.never_connects = True
        case "foreign_token":
            runtime.foreign_token = True
        case "expired_token":
            runtime.expired_token = True
        case "billing":
            session.billing_factor = values["factor"]
        case "late":
            runtime.faults.late_s = values["seconds"]
        case "leaves":
            runtime.faults.leaves_after_s = values["seconds"]
        case "packets":
            runtime.faults.packets = values["packets"]
        case switch:
            setattr(runtime.faults, switch, True)


def remove_faults(session: Session, runtime: SessionRuntime) -> None:
    """Remove the faults of a running session. Tokens already issued stay as they are."""
    for switch in fields(runtime.faults):  # in place: the performer reads them continuously
        setattr(runtime.faults, switch.name, switch.default)
    runtime.never_connects = False
    session.billing_factor = 1.0


def _parse(request: dict[str, Any], fault_id: int) -> Fault:
    kind = request.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}")
    scope = {"kind", "on", "session", "times", "share"}
    if unknown := request.keys() - scope - KINDS[kind].keys():
        raise ValueError(f"{kind} does not take {', '.join(sorted(unknown))}")
    with_ = {name: _value(name, request.get(name), default) for name, default in KINDS[kind].items()}
    times = request.get("times", 1)
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise ValueError("times is a whole number of 1 or more, or null for ever")
    on, session = request.get("on") or "", request.get("session") or ""
    are_strings = isinstance(on, str) and isinstance(session, str)
    if not are_strings:
        raise ValueError("on and session are strings")
    return Fault(fault_id, kind, with_, on, session, times, _number("share", request.get("share", 1.0), 1.0))


def _value(name: str, given: Any, default: Any) -> Any:
    if given is None or name == "body":
        return given if name == "body" else default
    if name in CHOICES:
        if given not in CHOICES[name]:
            raise ValueError(f"{name} is one of {', '.join(CHOICES[name])}")
        return given
    if name == "status":
        if isinstance(given, bool) or not isinstance(given, int) or not 200 <= given <= 599:
            raise ValueError("status is from 200 to 599")
        return given
    return _number(name, given, MAX_SECONDS)


def _number(name: str, given: Any, maximum: float) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= maximum:
        raise ValueError(f"{name} is a number from 0 to {maximum:g}")
    return float(given)
