"""PostgreSQL as the default database of single tests in a run on SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dj_database_url
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.backends.utils import CursorWrapper

from heygen_portal.people.access import roles
from heygen_portal.trail import audit_log
from local import postgres
from tests.support import migrated, servers


@contextmanager
def as_default(url: str) -> Iterator[None]:
    """Use the database at this URL as `default`.

    In this thread and in threads started later.
    """
    before = connections.settings["default"]
    engine = "heygen_portal.postgresql" if url.startswith("postgres") else None
    wanted = {"default": dict(dj_database_url.parse(url, engine=engine))}
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


@contextmanager
def server() -> Iterator[str]:
    """Run a migrated PostgreSQL server. Yield its URL."""

    def make(folder: Path) -> None:
        with servers.postgres(keep=folder) as url:
            migrate(url)

    with ExitStack() as stack:
        with migrated.cluster(postgres.folder() or Path(), make) as made:
            url = stack.enter_context(servers.postgres(cluster=made))
        with as_default(url), connection.cursor() as cursor:
            _checks[url] = _check_constraints(cursor)
        yield url


# The check constraints of each migrated database.
_checks: dict[str, dict[tuple[str, str], str]] = {}


def _check_constraints(cursor: CursorWrapper) -> dict[tuple[str, str], str]:
    """Return the definitions by table and name."""
    columns = "conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
    cursor.execute(f"SELECT {columns} FROM pg_constraint WHERE contype = 'c' AND conrelid > 0")
    return {(table, name): definition for table, name, definition in cursor.fetchall()}


# Permissions and their content types are the same in every test and take long to create.
KEPT = ("auth_permission", "django_content_type")


def flush(url: str) -> None:
    """Delete all rows except permissions and those the portal requires, and put back constraints that a test dropped.

    Django's flush truncates every table, which recreates hundreds of files.
    """
    with as_default(url):
        names = connection.introspection.django_table_names(only_existing=True, include_views=False)
        names = [name for name in names if name not in KEPT]
        kept_sequences = [f"{name}_id_seq" for name in ("django_migrations", *KEPT)]
        filled = " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM \"{name}\")" for name in names)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")  # neither guards nor foreign keys
            cursor.execute(filled)
            for (name,) in cursor.fetchall():
                cursor.execute(f'DELETE FROM "{name}"')
            cursor.execute(
                "SELECT setval(quote_ident(schemaname) || '.' || quote_ident(sequencename), start_value, false)"
                " FROM pg_sequences WHERE last_value IS NOT NULL AND sequencename <> ALL (%s)",
                [kept_sequences],
            )
        with connection.cursor() as cursor:
            for table, name in _checks[url].keys() - _check_constraints(cursor).keys():
                cursor.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {_checks[url][table, name]}')
        audit_log.lock_head()
        roles.ensure_organisation()
