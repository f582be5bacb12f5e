"""Errors that a provider raises.

Every class exists because some caller catches it.

* ProviderError
  - ProviderUnreachable   no usable response; the call may or may not have taken effect
    + NotSent             no connection; the call cannot have taken effect
  - ProviderRejected      the provider refused, with its own error code
    + CredentialRefused   the key is wrong, blocked, or lacks the permission
    + LimitReached        no free slot, or rate limited; retry later
    + OutOfCredits        the account has no credits left
    + NotReady            the session is not connected yet; retry soon
    + SessionGone         the session is closed or unknown; stop treats this as success
"""

from __future__ import annotations


class ProviderError(Exception):
    """Base of all provider errors. Messages never contain a key, a token or speech."""


class ProviderUnreachable(ProviderError):
    """No usable response. The call may or may not have taken effect."""


class NotSent(ProviderUnreachable):
    """No connection was made. The call cannot have taken effect."""


class ProviderRejected(ProviderError):
    """The provider refused. `code` is its own error code, `status` the HTTP status."""

    def __init__(self, message: str, *, code: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class CredentialRefused(ProviderRejected):
    """The key is wrong, blocked, or lacks the permission."""


class LimitReached(ProviderRejected):
    """No free slot, or rate limited."""


class OutOfCredits(ProviderRejected):
    """The account has no credits left."""


class NotReady(ProviderRejected):
    """The session is not connected yet."""


class SessionGone(ProviderRejected):
    """The session is closed or unknown."""
