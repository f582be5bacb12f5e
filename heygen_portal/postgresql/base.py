"""Connections that give up on a server that accepts and does not answer.

`statement_timeout` does not help: the server that would keep it is the one that stands still. The kernel of its
machine confirms what it receives, so TCP's time-outs do not help either.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from psycopg.errors import _WaitTimeout

REFUSED_AFTER_TIMEOUT_S = 2.0
"""After a wait in vain, calls are refused at once for so long. Otherwise each of many would wait in turn."""

FORGOTTEN_TRANSACTION_S = 30.0
"""The server ends a connection that is silent for so long in the middle of a transaction.

A process that was frozen there would otherwise keep its locks, and nobody could end the sessions that it had locked.
"""


class NoAnswer(psycopg.OperationalError):
    """The server did not answer in time, or not just now."""


class _Waits:
    """The limit of this process, and until when it refuses calls."""

    def __init__(self) -> None:
        self.limit_s: float | None = None
        self.refused_until = 0.0

    def require_answers(self) -> None:
        if time.monotonic() < self.refused_until:
            raise NoAnswer("the database did not answer just now")

    def gave_up(self) -> None:
        self.refused_until = time.monotonic() + REFUSED_AFTER_TIMEOUT_S


_waits = _Waits()


def limit_waits(seconds: float | None) -> None:
    """Let every call of this process raise OperationalError if the server does not answer within `seconds`.

    For web processes. Jobs and commands may have long statements, and end when the server answers again.
    """
    _waits.limit_s = seconds


class BoundedConnection(psycopg.Connection[Any]):
    """Waits for each answer no longer than the limit of this process. Closes itself if one is missing."""

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        _waits.require_answers()
        try:
            return super().wait(gen, interval, timeout or _waits.limit_s)
        except _WaitTimeout as exc:
            self.pgconn.finish()
            _waits.gave_up()
            raise NoAnswer(f"the database did not answer within {_waits.limit_s} s") from exc


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        params = super().get_connection_params()
        ends = f"-c idle_in_transaction_session_timeout={FORGOTTEN_TRANSACTION_S * 1000:.0f}"
        params["options"] = f"{ends} {params.get('options', '')}".strip()
        return params

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        if _waits.limit_s is None:
            return super().get_new_connection(conn_params)
        _waits.require_answers()
        self.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # Django's default, which it sets here, too
        try:
            return BoundedConnection.connect(**conn_params)
        except psycopg.errors.ConnectionTimeout:
            _waits.gave_up()
            raise
