"""How long a test waits for what is sure to come."""

PATIENCE_S = 60
"""Passing tests never wait this long: it only bounds how late a failure is seen, on a machine of any speed."""
