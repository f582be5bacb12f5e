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
    format: int = FORMAT

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """Read stored settings. Without a format key they are of format 1.

        Unknown keys are ignored.
        """
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in ({"format": 1} | dict(stored)).items() if name in known})

    def as_stored(self) -> dict[str, Any]:
        """Return the JSON that is stored and hashed.

        An encoding is stored only if the page asked for one.
        """
        return {name: value for name, value in asdict(self).items() if name != "encoding" or value}

    @property
    def duration_limit(self) -> timedelta:
        return timedelta(seconds=self.duration_limit_s)

    @property
    def idle_timeout(self) -> timedelta:
        return timedelta(seconds=self.idle_timeout_s)
