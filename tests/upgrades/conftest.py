"""Nobody listens to what an upgrade announces."""

from tests.sessions.conftest import announced

__all__ = ["announced"]
