"""Comparison of the chosen settings with the fields sent to the provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COMPARED = ("avatar_id", "voice_id", "voice_rate", "voice_emotion", "language", "quality", "knowledge_base_id")
DEFAULT_VOICE_RATE = 1.0


@dataclass(frozen=True)
class SentValue:
    """One setting: as chosen, and as sent in a field of the request.

    Empty values are omitted from requests.
    """

    name: str
    chosen: Any
    field: str
    sent: Any

    @property
    def is_same(self) -> bool:
        if self.name == "voice_rate":
            return _number(self.chosen) == _number(self.sent)
        return str(self.chosen or "").casefold() == str(self.sent or "").casefold()


def compare(chosen: Mapping[str, Any], sent: Mapping[str, Any], sent_as: Mapping[str, str]) -> list[SentValue]:
    """Return the settings that a provider takes with the values it was sent."""
    return [
        SentValue(name, chosen.get(name), sent_as[name], sent.get(sent_as[name]))
        for name in COMPARED
        if name in sent_as
    ]


def _number(rate: Any) -> float | None:
    if rate is None or rate == "":
        return DEFAULT_VOICE_RATE
    return float(rate) if isinstance(rate, int | float) else None
