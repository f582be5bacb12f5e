"""Mock provider for sessions, through `providers.for_account`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import pytest

from heygen_portal import providers
from heygen_portal.providers.contract.provider import Delivered, Provider, ProviderSession, RoomAccess
from sessions.lifecycle import broadcast


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Answer every call as a healthy provider does."""
    stand_in = Mock(spec=Provider)
    stand_in.new_session = AsyncMock(
        return_value=ProviderSession(
            provider_session_id="their-session",
            room=RoomAccess("ws://rooms.test", "room-token"),
            duration_limit=timedelta(minutes=10),
            is_paid=True,
            credential="their-token",
        )
    )
    stand_in.start_session = AsyncMock(side_effect=lambda session: session)
    stand_in.send_task = AsyncMock(return_value=Delivered("their-task"))
    stand_in.interrupt = AsyncMock(return_value=Delivered())
    stand_in.list_sessions = AsyncMock(return_value=[])
    monkeypatch.setattr(providers, "for_account", lambda account: stand_in)
    return stand_in


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """Collect the events for browsers without waiting for a commit."""
    sent: list[dict[str, object]] = []

    def note(events_sent: Mapping[UUID, broadcast.Event]) -> None:
        sent.extend(event.envelope()["event"] for event in events_sent.values())

    monkeypatch.setattr(broadcast, "publish_all", note)
    monkeypatch.setattr(broadcast, "publish", lambda session_id, event: note({session_id: event}))
    return sent
