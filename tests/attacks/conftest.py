"""Fixtures of the attack tests: the fake provider of the session tests."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any
from unittest.mock import Mock

import pytest

from tests.attacks.served import staff, web
from tests.sessions.conftest import announced, provider

__all__ = ("announced", "provider", "provider_of_many", "staff", "web")


@pytest.fixture
def provider_of_many(provider: Mock) -> Mock:
    """Give each session its own ID, as a real provider does."""
    answer, numbers = provider.new_session.return_value, count()

    async def new_session(request: Any) -> Any:
        return replace(answer, provider_session_id=f"their-session-{next(numbers)}")

    provider.new_session.side_effect = new_session
    return provider
