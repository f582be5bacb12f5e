"""Timeout for waits in tests."""

PATIENCE_S = 60
"""Passing tests never wait this long. It only limits how late a failure is reported."""
