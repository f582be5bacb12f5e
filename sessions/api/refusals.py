"""Refusals of the session services as problem details."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from heygen_portal.rest import problems
from heygen_portal.rest.problems import Problem
from sessions import errors
from sessions.actions.start_by_program import StartFailed
from sessions.errors import SessionError
from sessions.lifecycle import end_evidence

RETRY_SECONDS = 10
STATUS: Mapping[type[SessionError], int] = {
    errors.BadMessage: 422,
    errors.TooLarge: 413,
    errors.NotFound: 404,
    errors.TextEmpty: 422,
    errors.TextTooLong: 422,
    errors.QuotaUsed: 403,
    errors.SpendCap: 403,
    errors.TooManyTasks: 429,
    errors.QueueFull: 503,
    errors.ProviderLimit: 503,
    errors.ProviderRefused: 502,
    errors.ProviderSilent: 502,
    errors.PortalUnavailable: 503,
    errors.StorageAway: 503,
    errors.Internal: 500,
}
CONFLICT = 409  # every other refusal depends on the state of a session


def of(refusal: SessionError) -> Problem:
    """Return the problem of a refusal, with the code that pages get, too."""
    if isinstance(refusal, errors.NotFound):
        return problems.not_found()
    if isinstance(refusal, errors.AccessLost):
        return Problem(403, refusal.code, str(refusal))
    status = next((code for kind, code in STATUS.items() if isinstance(refusal, kind)), CONFLICT)
    headers = {"Retry-After": str(RETRY_SECONDS)} if status in (429, 503) else {}
    return Problem(status, refusal.code, str(refusal), headers=headers, **refusal.details)


def of_failed_start(failure: StartFailed) -> Problem:
    session = failure.session
    return Problem(
        502,
        "start_failed",
        _("The session could not be started."),
        detail=end_evidence.own_label(session.end_reason) if session.end_reason else "",
        session_id=str(session.pk),
        end_reason=session.end_reason,
    )
