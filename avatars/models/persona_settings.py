"""The settings that a session was started with.

They are stored with the session because personas change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import timedelta
from typing import Any, Self

# Increase when a key is renamed or changes its meaning, and keep `PersonaSettings.of` able to read older formats.
FORMAT = 1


# Values of `brain`: whose model answers.
PROVIDER, OWN = "provider", "own"

MAX_SECONDS = 10 * 365 * 86_400  # no limit is longer


class DamagedSettings(ValueError):
    """The stored settings were changed by SQL, so that they cannot be read."""


@dataclass(frozen=True, kw_only=True)
class PersonaSettings:
    """The settings of one session.

    Field names are the stored JSON keys, and durations are seconds.

    Sessions from before a field existed lack it, so later fields have defaults.
    """

    avatar_id: str
    voice_id: str
    voice_rate: float
    voice_emotion: str
    knowledge_base_id: str
    language: str
    quality: str
    greeting: str
    duration_limit_s: int
    idle_timeout_s: int
    voice_settings: dict[str, float] = field(default_factory=dict)
    takes_voice: bool = False
    interactivity: str = "hands_free"
    breaks_silence: bool = False
    encoding: str = ""
    # Who answers. With `own`, the session's version has the instructions.
    brain: str = PROVIDER
    library_id: int = 0  # without documents
    library_version: int = 0
    reads_aloud: bool = True
    # The versions of staff's own tools, by name.
    tools: dict[str, int] = field(default_factory=dict)
    format: int = FORMAT

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Read stored settings. Without a format key they are of format 1.

        Unknown keys are ignored. Raises DamagedSettings if a value is missing or of another type.
        """
        known = {each.name for each in fields(cls)}
        values = {name: value for name, value in ({"format": 1} | dict(stored)).items() if name in known}
        try:
            settings = cls(**values)
        except TypeError as exc:
            raise DamagedSettings(str(exc)) from exc
        for name, value in values.items():
            if not isinstance(value, TYPES[name]) or (name in SECONDS and not 0 <= value <= MAX_SECONDS):
                raise DamagedSettings(name)
        return settings

    def as_stored(self) -> dict[str, Any]:
        """Return the JSON that is stored and hashed.

        What is as in every session before the setting existed is left out.
        """
        return {name: value for name, value in asdict(self).items() if LEFT_OUT.get(name) != value}

    @property
    def has_own_brain(self) -> bool:
        """Whether the organisation's own model answers."""
        return self.brain == OWN

    @property
    def is_heard_by_own_brain(self) -> bool:
        """Whether the provider hears the user and the organisation's own model answers."""
        return self.has_own_brain and self.takes_voice

    @property
    def duration_limit(self) -> timedelta:
        return timedelta(seconds=self.duration_limit_s)

    @property
    def idle_timeout(self) -> timedelta:
        return timedelta(seconds=self.idle_timeout_s)


# What a stored value may be. JSON does not tell whole numbers and others apart.
TYPES: Mapping[str, Any] = {
    each.name: {"str": str, "bool": bool, "int": int | float, "float": int | float}.get(str(each.type), dict)
    for each in fields(PersonaSettings)
}
SECONDS = ("duration_limit_s", "idle_timeout_s")
# Values that are not stored.
LEFT_OUT: Mapping[str, Any] = {
    "encoding": "",
    "brain": PROVIDER,
    "library_id": 0,
    "library_version": 0,
    "reads_aloud": True,
    "tools": {},
}
