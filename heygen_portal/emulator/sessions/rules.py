"""How strict the emulated service is: documented limits, and guesses that can be changed."""

from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any, Self


@dataclass(frozen=True)
class Rules:
    """One field a limit or a guess; `docs/providers.md` says which is which."""

    concurrency: int = 100  # a paid key; trials have 3
    idle_s: float = 120.0  # default of `activity_idle_timeout`
    duration_s: float = 600.0  # `session_duration_limit`
    no_user_s: float = 300.0  # nobody in the room for so long: the avatar leaves
    realtime_idle_s: float = 300.0
    text_limit: int = 1000  # characters a task
    quota: int = 6_000_000  # credits are a sixtieth of it
    credits_per_minute: float = 0.2
    minimum_s: float = 30.0  # the least that is billed
    sync_waits: bool = False  # a guess: does `task_mode: sync` answer only after the speech?
    live_idle_s: float = 300.0  # LiveAvatar's, which no client can change
    live_duration_s: float = 1200.0  # LiveAvatar's plan limit, and what a session lasts that asks for nothing
    live_credits: float = 1000.0  # LiveAvatar's
    live_full_credits: float = 2.0  # a minute of LiveAvatar's FULL mode; LITE is half of it
    live_rate: int = 100  # calls a second of one LiveAvatar endpoint by one credential
    sandbox_s: float = 60.0  # the longest a LiveAvatar sandbox session lasts

    def liveavatar(self) -> Self:
        """The same rules as they hold for LiveAvatar's sessions."""
        return replace(
            self,
            idle_s=self.live_idle_s,
            duration_s=self.live_duration_s,
            quota=int(self.live_credits * 60),
            credits_per_minute=self.live_full_credits,
            minimum_s=0.0,
        )

    def with_changes(self, **changes: Any) -> Self:
        """A copy with other values; ValueError for an unknown name or a value that is not of its kind."""
        known = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"there is no rule {name!r}; the rules are {', '.join(known)}")
            changes[name] = _convert(name, known[name], value)
        return replace(self, **changes)


def _convert(name: str, kind: type, value: object) -> object:
    """`value`, as typed on a command line or sent as JSON, as a `kind`."""
    if kind is bool:
        words = {"true": True, "1": True, "false": False, "0": False}
        if str(value).lower() not in words:
            raise ValueError(f"{name} is true or false, not {value!r}")
        return words[str(value).lower()]
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if not isfinite(number) or number < 0:
        raise ValueError(f"{name} is a number of 0 or more, not {value!r}")
    return int(number) if kind is int else number
