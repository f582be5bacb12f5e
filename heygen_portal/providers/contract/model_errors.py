"""Errors of a model service.

Every class exists because some caller catches it.

* ModelError
  - ModelUnreachable   no connection, no response in time, or a stream that stalled
  - ModelRefused       the service refused, with its HTTP status
  - ModelGarbled       a response that is no completion, or one that was cut
"""

from __future__ import annotations


class ModelError(Exception):
    """Base of all errors of a model service. Messages contain neither a key nor what was said."""


class ModelUnreachable(ModelError):
    """The service did not respond in time."""


class ModelRefused(ModelError):
    """The service refused. `retry_after_s` is how long it asks to wait, if it says so."""

    def __init__(self, message: str, *, status: int, code: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def is_key_refused(self) -> bool:
        return self.status in (401, 403)


class ModelGarbled(ModelError):
    """The response makes no sense, or ended too early."""
