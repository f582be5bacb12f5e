"""Limits of the emulated services: documented values and changeable guesses."""

from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any, Self


@dataclass(frozen=True)
class Rules:
    """Each field is a limit or a guess. `docs/providers.md` says which."""

    concurrency: int = 100  # a paid key; trials have 3
    idle_s: float = 120.0  # default of `activity_idle_timeout`
    duration_s: float = 600.0  # `session_duration_limit`
    no_user_s: float = 300.0  # the avatar leaves after this long without a user
    realtime_idle_s: float = 300.0
    text_limit: int = 1000  # characters in a task
    quota: int = 6_000_000  # 60 per credit
    credits_per_minute: float = 0.2
    minimum_s: float = 30.0  # minimum billed
    sync_waits: bool = False  # guess: `task_mode: sync` responds only after the speech
    live_idle_s: float = 300.0  # LiveAvatar's, fixed
    live_duration_s: float = 1200.0  # LiveAvatar's plan limit and default
    live_credits: float = 1000.0  # LiveAvatar's
    live_full_credits: float = 2.0  # per minute of FULL mode; LITE costs half
    live_rate: int = 100  # calls per second, LiveAvatar endpoint and credential
    sandbox_s: float = 60.0  # limit of a LiveAvatar sandbox session
    model_first_token_s: float = 0.0  # before the first token of a streamed completion
    model_token_s: float = 0.0  # before each further token

    def liveavatar(self) -> Self:
        """Return the same rules with LiveAvatar's values."""
        return replace(
            self,
            idle_s=self.live_idle_s,
            duration_s=self.live_duration_s,
            quota=int(self.live_credits * 60),
            credits_per_minute=self.live_full_credits,
            minimum_s=0.0,
        )

    def with_changes(self, **changes: Any) -> Self:
        """Return a copy with other values.

        Raises ValueError for an unknown name or a bad value.
        """
        known = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"there is no rule {name!r}; the rules are {', '.join(known)}")
            changes[name] = _convert(name, known[name], value)
        return replace(self, **changes)


def _convert(name: str, kind: type, value: object) -> object:
    """Convert a value from the command line or from JSON to `kind`."""
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
