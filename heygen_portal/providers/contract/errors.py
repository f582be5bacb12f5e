"""How a provider fails. Each class is there because somebody catches it.

* ProviderError
  - ProviderUnreachable   no usable answer; the call may or may not have taken effect
    + NotSent             the call never reached it: nothing can have taken effect
  - ProviderRejected      an answer that says no, with the provider's own code
    + CredentialRefused   the key is wrong, blocked, or not allowed to do this
    + LimitReached        no free place, or too many calls: later may work
    + OutOfCredits        the account has nothing left to spend
    + NotReady            the session is not connected yet: soon may work
    + SessionGone         the session is closed or unknown; for a stop, that is success
"""

from __future__ import annotations


class ProviderError(Exception):
    """Something went wrong at the provider. The message never holds a key, a token or what people said."""


class ProviderUnreachable(ProviderError):
    """No usable answer came: the call may or may not have taken effect."""


class NotSent(ProviderUnreachable):
    """No connection came about: nothing can have taken effect."""


class ProviderRejected(ProviderError):
    """The provider said no. `code` is its own code, `status` the HTTP status."""

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class CredentialRefused(ProviderRejected):
    """The key is wrong, blocked, or not allowed to do this."""


class LimitReached(ProviderRejected):
    """No free place, or too many calls."""


class OutOfCredits(ProviderRejected):
    """The account has nothing left to spend."""


class NotReady(ProviderRejected):
    """The session is not connected yet."""


class SessionGone(ProviderRejected):
    """The session is closed or unknown."""
