"""The lines of a session for a webhook that was chosen to get speech. Read when they are sent, and stored nowhere."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sessions.lifecycle import line_standing
from sessions.models import SpeechKey, Utterance

MAX_LINES = 2_000
MAX_CHARACTERS = 200_000
"""Of all lines together. The rest is left out, and can be exported."""
LINES_PER_BATCH = 100


def read(session_id: UUID) -> dict[str, Any]:
    """Return the lines of a session with their text, or None for the lines if they were erased."""
    if SpeechKey.objects.filter(session_id=session_id).exclude(erased_at=None).exists():
        return {"lines": None, "is_complete": False}
    rows = line_standing.without_confirmed(Utterance.objects.filter(session_id=session_id), session_id)
    found: list[dict[str, Any]] = []
    characters = 0
    for start in range(0, MAX_LINES, LINES_PER_BATCH):
        batch = line_standing.for_reading(list(rows[start : start + LINES_PER_BATCH]))
        for line in batch:
            text = line.shown
            characters += len(text)
            if characters > MAX_CHARACTERS:
                return {"lines": found, "is_complete": False}
            found.append(_line(line, text))
        if len(batch) < LINES_PER_BATCH:
            return {"lines": found, "is_complete": True}
    return {"lines": found, "is_complete": False}


def _line(line: Utterance, text: str) -> dict[str, Any]:
    return {
        "at": line.at.isoformat(),
        "who": str(line.who),
        "by": str(line.by),
        "source": str(line.standing),
        "is_interrupted": bool(line.interruption),
        "text": text,
    }
