"""Sessions under test talk to a stand-in provider: the one seam is `providers.for_account`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from unittest.mock import AsyncMock, Mock
from uuid import UUID

import pytest
from pytest_django import DjangoDbBlocker

from heygen_portal import providers
from heygen_portal.providers.base import Delivered, Provider, ProviderSession, RoomAccess
from sessions import broadcast
from tests import on_postgres, servers


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
    """Collect what browsers would be told, without waiting for a commit."""
    told: list[dict[str, object]] = []

    def note(events_told: Mapping[UUID, broadcast.Event]) -> None:
        told.extend(event.envelope()["event"] for event in events_told.values())

    monkeypatch.setattr(broadcast, "publish_all", note)
    monkeypatch.setattr(broadcast, "publish", lambda session_id, event: note({session_id: event}))
    return told


@pytest.fixture(scope="session")
def postgres_url(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Give a PostgreSQL server with the portal's tables."""
    with servers.postgres() as url, django_db_blocker.unblock():
        on_postgres.migrate(url)
        yield url


@pytest.fixture
def postgres(postgres_url: str, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let the test run on PostgreSQL, with empty tables."""
    with django_db_blocker.unblock(), on_postgres.swapped(postgres_url):
        yield
    with django_db_blocker.unblock():
        on_postgres.empty(postgres_url)
