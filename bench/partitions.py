"""Events in one table beside events partitioned by month: size, look-ups, and a month that is taken out.

An experiment beside the product, whose tables are not partitioned. PostgreSQL fills copies of the events' table with
records of ten events whose hashes are right. Then a month is detached and its records are verified where they lie.
docs/scaling.md says what was found.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import django
import psycopg

SETTINGS = ("timezone = 'UTC'", "maintenance_work_mem = '256MB'", "work_mem = '64MB'")
EVENTS_PER_SESSION = 10
LOOK_UPS = 300
FIRST_MONTH = date(2025, 1, 1)
EVENTS = "avatar_sessions_sessionevent"
COLUMNS = "session_id, number, source, kind, data, at, prints, previous_hash, hash"
# One event of each session, after the one before it. The hash is that of `sessions.lifecycle.events.digest`.
INSERT_SQL = f"""
INSERT INTO whole ({COLUMNS})
SELECT session_id, number, 'portal', 'status', '{{}}', at, '', previous_hash, encode(sha256(convert_to(
    '["' || previous_hash || '","' || session_id || '",' || number || ',"portal","status",{{}},"'
    || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00"]', 'UTF8')), 'hex')
FROM (
    SELECT session.id AS session_id, %(number)s::int AS number, began + %(number)s::int * interval '7 seconds' AS at,
           coalesce(before.hash, '') AS previous_hash
    FROM session LEFT JOIN whole before ON before.session_id = session.id AND before.number = %(number)s::int - 1
    ORDER BY began
) next"""


def main(sessions: int, months: int) -> None:
    django_setup()
    from tests.support import on_postgres

    with on_postgres.server() as url, psycopg.connect(url, autocommit=True) as database:
        for setting in SETTINGS:
            database.execute(f"SET {setting}")
        with timed(f"{sessions * EVENTS_PER_SESSION:,} events in one table"):
            fill(database, sessions, months)
        with timed("the same, partitioned"):
            partition(database, months)
        result: dict[str, Any] = {"bench": "partitions", "events": sessions * EVENTS_PER_SESSION, "months": months}
        for table in ("whole", "parts"):
            result[f"{table}_bytes_per_event"] = round(size(database, table) / sessions / EVENTS_PER_SESSION)
            result[f"{table}_look_up_ms"] = look_up_ms(database, table)
        result |= take_out(database)
    print(json.dumps(result))


def django_setup() -> None:
    import os

    os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
    django.setup()


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    print(f"{what}: {time.perf_counter() - began:.1f} s", flush=True)


def fill(database: Any, sessions: int, months: int) -> None:
    """Fill one table, in order of time, with the indexes of the product's."""
    database.execute(f"CREATE TABLE whole (LIKE {EVENTS} INCLUDING ALL)")
    database.execute("CREATE TABLE session (id uuid PRIMARY KEY, began timestamptz)")
    database.execute(
        "INSERT INTO session SELECT gen_random_uuid(), %(first)s::timestamptz + interval '3 microseconds'"
        " + n * (%(months)s::int * interval '30 days') / %(sessions)s::int"
        " FROM generate_series(0, %(sessions)s::int - 1) n",
        {"first": FIRST_MONTH, "months": months, "sessions": sessions},
    )
    for number in range(1, EVENTS_PER_SESSION + 1):
        database.execute("ANALYZE whole")
        database.execute(INSERT_SQL, {"number": number})


def partition(database: Any, months: int) -> None:
    """Copy the events into a table partitioned by the time of the event."""
    database.execute(
        f"CREATE TABLE parts (LIKE {EVENTS} INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY RANGE (at)"
    )
    for number in range(months + 1):
        first, after = month(number), month(number + 1)
        database.execute(f"CREATE TABLE part_{number} PARTITION OF parts FOR VALUES FROM ('{first}') TO ('{after}')")
    database.execute(f"INSERT INTO parts ({COLUMNS}) SELECT {COLUMNS} FROM whole ORDER BY session_id, number")
    # A unique index of a partitioned table must contain the column by which it is partitioned.
    database.execute("CREATE UNIQUE INDEX ON parts (session_id, number, at)")
    database.execute("CREATE UNIQUE INDEX ON parts (id, at)")
    database.execute("CREATE INDEX ON parts (session_id)")
    database.execute(
        "CREATE TRIGGER parts_append_only BEFORE UPDATE ON parts FOR EACH ROW"
        " EXECUTE FUNCTION avatar_sessions_append_only()"
    )
    database.execute("VACUUM ANALYZE")


def month(number: int) -> date:
    return date(FIRST_MONTH.year + number // 12, number % 12 + 1, 1)


def size(database: Any, table: str) -> int:
    """Return the bytes of a table, or of all its partitions, with indexes."""
    (found,) = database.execute(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE oid = %(table)s::regclass"
        " OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = %(table)s::regclass)",
        {"table": table},
    ).fetchone()
    return int(found)


def look_up_ms(database: Any, table: str) -> float:
    """Return the median time in which the newest event of a session is found, as before each new event."""
    found = database.execute(f"SELECT id FROM session TABLESAMPLE SYSTEM (5) LIMIT {LOOK_UPS}").fetchall()
    taken = []
    for (session,) in found:
        began = time.perf_counter()
        database.execute(f"SELECT number FROM {table} WHERE session_id = %s ORDER BY number DESC LIMIT 1", [session])
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken) * 1000, 3)


def take_out(database: Any) -> dict[str, Any]:
    """Detach the second month and verify its records."""
    (triggers,) = database.execute("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'part_1'::regclass").fetchone()
    began = time.perf_counter()
    database.execute("ALTER TABLE parts DETACH PARTITION part_1")
    detach_ms = (time.perf_counter() - began) * 1000
    (left,) = database.execute("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'part_1'::regclass").fetchone()
    print(f"detached in {detach_ms:.1f} ms; append-only triggers before {triggers}, after {left}")
    began = time.perf_counter()
    events, split, faults = verify(database, "part_1")
    rate = events / (time.perf_counter() - began)
    print(f"{events:,} events verified at {rate:,.0f} a second; {split} records continue in another month", flush=True)
    database.execute("UPDATE part_1 SET kind = 'changed' WHERE id = (SELECT min(id) FROM part_1 WHERE number > 1)")
    _, _, faults_after = verify(database, "part_1")
    return {
        "detach_ms": round(detach_ms, 1),
        "triggers_after_detach": left,
        "verified_events_per_s": round(rate),
        "records_in_two_months": split,
        "faults": faults,
        "faults_after_a_change": faults_after,
    }


def verify(database: Any, table: str) -> tuple[int, int, int]:
    """Recompute the hash chains of a table.

    Return the events, the records that begin or continue elsewhere, and the faults.
    """
    from sessions.lifecycle import events

    count = split = faults = 0
    before: tuple[Any, int, str] = None, 0, ""
    with database.transaction(), database.cursor(name="rows") as rows:
        rows.execute(f"SELECT {COLUMNS} FROM {table} ORDER BY session_id, number")
        rows.itersize = 10_000
        for session, number, source, kind, data, at, prints, previous_hash, digest in rows:
            count += 1
            if session != before[0]:
                split += number != 1 or 0 < before[1] < EVENTS_PER_SESSION
            elif (number, previous_hash) != (before[1] + 1, before[2]):
                faults += 1
            found = events.digest_of(previous_hash, str(session), number, source, kind, data, at.isoformat(), prints)
            faults += found != digest
            before = session, number, digest
    return count, split, faults


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sessions", type=int, default=200_000, help=f"records of {EVENTS_PER_SESSION} events")
    parser.add_argument("--months", type=int, default=24)
    options = parser.parse_args()
    main(options.sessions, options.months)
