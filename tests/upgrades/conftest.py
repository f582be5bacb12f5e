"""Upgrade tests collect broadcasts instead of sending them."""

from tests.sessions.conftest import announced

__all__ = ["announced"]
