"""The turn's stand-ins for model and provider."""

from tests.sessions.brain.test_turn import model, sent

__all__ = ["model", "sent"]
