"""Messages to the team, as users leave them."""

from __future__ import annotations

import json

from sessions.brain.tools import tool_events
from sessions.lifecycle import events
from sessions.lifecycle.event_kinds import EventKind
from sessions.lifecycle.events import Entry
from sessions.models import StaffMessage, StreamingSession

CONTACT = "rosa@example.com"


def left_message(session: StreamingSession, text: str = "Please call me back.") -> StaffMessage:
    """Store a message of a running session."""
    content = json.dumps({"contact": CONTACT, "text": text})
    sealed = tool_events.seal(session.pk, tool_events.MESSAGE, content)
    events.append(session.pk, Entry(EventKind.MESSAGE_LEFT, {"characters": len(text), "sealed": sealed}))
    return StaffMessage.objects.create(event=session.events.latest("number"))
