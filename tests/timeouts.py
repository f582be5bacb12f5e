"""Timeout for waits in tests."""

WAIT_TIMEOUT_S = 60
"""Passing tests never wait this long. It only limits how late a failure is reported."""
