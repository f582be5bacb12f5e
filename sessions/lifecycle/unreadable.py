"""Sessions that can be stopped although their row or their account cannot be read.

A value changed in the database may have no equivalent in Python. A stop needs only a few columns, which hold text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import QuerySet

from avatars.models import ProviderAccount
from heygen_portal.runtime.jobs import each_row
from heygen_portal.trail.raw_values import AsText
from sessions.models import StreamingSession

logger = logging.getLogger(__name__)

STOP_COLUMNS = ("status", "end_reason", "provider_session_id", "room", "account")
CONNECTION_COLUMNS = ("name", "kind", "base_url", "api_key", "key_header", "is_sandbox", "is_exclusive")


class AccountUnreadable(Exception):
    """The account has no kind or key with which its provider can be called.

    The message is the name of the column, or of the exception's class.
    """


def load(rows: QuerySet[StreamingSession]) -> list[StreamingSession]:
    """Return the sessions with their accounts.

    If a session or its account cannot be read, it is returned with `STOP_COLUMNS` only.
    """
    try:
        with transaction.atomic():
            return list(rows.select_related("account"))
    except Exception as exc:
        if each_row.is_outage(exc):
            raise
        logger.exception("sessions could not be read together")
    return [session for pk in ids(rows) for session in _load_one(rows.filter(pk=pk), pk)]


def replace_invalid_ids(rows: QuerySet[StreamingSession]) -> None:
    """Give sessions whose own ID is no UUID a new one, so that they can be stopped.

    Only SQLite stores such an ID. Their records keep the former one, so verification names the sessions.
    """
    if connection.vendor != "sqlite":
        return
    stored = rows.select_related(None).order_by().annotate(stored_id=AsText("pk"))
    for text in list(stored.values_list("stored_id", flat=True)):
        if not _is_uuid(text):
            new = uuid4()
            StreamingSession.objects.annotate(stored_id=AsText("pk")).filter(stored_id=text).update(id=new)
            logger.error("a session's ID was changed to %r; it is %s now", text, new)


def ids(rows: QuerySet[StreamingSession]) -> list[UUID]:
    """Return the IDs of sessions, without those that are no valid ID."""
    return list(_valid(rows.select_related(None).values_list(AsText("pk"), flat=True)))


def _valid(stored: Iterable[str]) -> Iterator[UUID]:
    for text in stored:
        if _is_uuid(text):
            yield UUID(text)
        else:
            logger.error("a session has an invalid ID: %r", text)


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def _load_one(row: QuerySet[StreamingSession], pk: UUID) -> list[StreamingSession]:
    try:
        with transaction.atomic():
            return list(row.select_related("account"))
    except Exception as exc:
        if each_row.is_outage(exc):
            raise
        logger.exception("session %s or its account cannot be read", pk)
    return list(row.select_related(None).only(*STOP_COLUMNS))


def account_of(session: StreamingSession) -> ProviderAccount:
    """Return the session's account, with `CONNECTION_COLUMNS` at least.

    Raises AccountUnreadable.
    """
    if "account" in session._state.fields_cache:
        account = session.account
    else:
        try:
            account = ProviderAccount.objects.only(*CONNECTION_COLUMNS).get(pk=session.account_id)
        except Exception as exc:
            if each_row.is_outage(exc):
                raise
            raise AccountUnreadable(type(exc).__name__) from exc
        session.account = account
    if not account.is_key_readable:
        raise AccountUnreadable("api_key")
    return account
