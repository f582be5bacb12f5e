"""PostgreSQL as the default database of single tests in a run on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dj_database_url
from django.core.management import call_command
from django.db import connections

from heygen_portal.people.access import roles
from heygen_portal.trail import audit_log


@contextmanager
def as_default(url: str) -> Iterator[None]:
    """Use the database at this URL as `default`, in this thread and threads started later."""
    before = connections.settings["default"]
    wanted = {"default": dict(dj_database_url.parse(url))}
    _use(connections.configure_settings(wanted)["default"])
    try:
        yield
    finally:
        _use(before)


def _use(database: object) -> None:
    connections["default"].close()
    del connections["default"]  # the next use creates a connection with these settings
    connections.settings["default"] = database


def migrate(url: str) -> None:
    with as_default(url):
        call_command("migrate", verbosity=0)


def flush(url: str) -> None:
    with as_default(url):
        call_command("flush", interactive=False, verbosity=0, inhibit_post_migrate=True)
        audit_log.lock_head()
        roles.ensure_organisation()
