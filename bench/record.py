"""Cost of the hash-chained record: appending, verifying and exporting.

PostgreSQL. Events are appended one per transaction, as the portal does. The plain INSERT stores prepared rows with
their hashes and updates no head. The two alternate, so that both get the same conditions. Then the table is filled,
verified, and exported by a separate process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import django

from tests.support import servers

ROUNDS = 20
EVENTS_PER_SESSION = 50
"""Events per session."""
KIND, DATA = "connection_state", {"state": "connected", "participant": "u-4821", "rtt_ms": 38, "lost": 0}
"""An event kind that is stored and not broadcast, to exclude the cost of Redis."""


def main(appended: int, stored: int) -> None:
    with servers.postgres() as database_url, servers.folder() as here:
        os.environ |= {"DATABASE_URL": database_url, "VAR_DIR": str(here)}
        set_up()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        report: dict[str, Any] = {"bench": "record", "events": stored}
        report |= measure_appending(appended)
        store_events(stored - 2 * appended)
        report |= measure_verification()
        report |= measure_export()
    print(json.dumps(report))


def set_up() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "heygen_portal.settings"
    django.setup()


def create_sessions(events: int) -> list[UUID]:
    """Create running sessions for a number of events."""
    from avatars.models import Persona
    from bench import _live_sessions
    from tests.support.factories import PersonaFactory

    if not Persona.objects.exists():
        PersonaFactory.create(published=True)
    return [session.pk for session in _live_sessions.store([None] * -(-events // EVENTS_PER_SESSION))]


def chained_rows(sessions: list[UUID], count: int) -> Iterator[Any]:
    """Build chained rows, ready to be stored."""
    from sessions.lifecycle import events

    for session_id in sessions:
        number, last_hash = 0, ""
        while number < EVENTS_PER_SESSION and count:
            row = events._next_event(session_id, number, last_hash, events.Entry(KIND, DATA))
            number, last_hash, count = row.number, row.hash, count - 1
            yield row


def measure_appending(count: int) -> dict[str, float]:
    from sessions.lifecycle import events

    entry = events.Entry(KIND, DATA, events.Source.BROWSER)
    begun = create_sessions(count)
    for session_id in begun:  # otherwise their records would have no head, as after a deletion
        events.begin(session_id, events.Entry("requested"))
    targets = [session_id for session_id in begun for _ in range(EVENTS_PER_SESSION)][:count]
    ready = list(chained_rows(create_sessions(count), count))
    store_heads(ready)
    size = count // ROUNDS
    took: dict[str, list[float]] = {"append": [], "insert": []}
    for round_number in range(ROUNDS):
        part = slice(round_number * size, (round_number + 1) * size)
        took["append"].append(seconds_for(lambda session_id: events.record(session_id, entry), targets[part]))
        took["insert"].append(seconds_for(lambda row: row.save(force_insert=True), ready[part]))
    ratio = statistics.median(a / b for a, b in zip(took["append"], took["insert"], strict=True))
    rates = {name: size / statistics.median(seconds) for name, seconds in took.items()}
    print(f"appended through events.record {rates['append']:>8.0f} a second")
    print(f"plain INSERT of the same rows  {rates['insert']:>8.0f} a second; an append takes {ratio:.2f} of it")
    return {
        "appends_per_s": round(rates["append"]),
        "inserts_per_s": round(rates["insert"]),
        "append_over_insert": round(ratio, 2),
    }


def store_heads(rows: list[Any]) -> None:
    """Store the heads of the records of these events, in order."""
    from sessions.models import SessionHead

    last = {row.session_id: row for row in rows}
    SessionHead.objects.bulk_create((SessionHead.of(row) for row in last.values()), batch_size=2000)


def seconds_for(work: Callable[[Any], Any], items: list[Any]) -> float:
    began = time.perf_counter()
    for item in items:
        work(item)
    return time.perf_counter() - began


def store_events(count: int) -> None:
    """Store more events with plain SQL, because only their content matters."""
    from django.db import connection

    from sessions.models import SessionEvent

    targets = create_sessions(count)  # first: nothing else may be asked while rows are copied
    last: dict[UUID, Any] = {}
    columns = [field.attname for field in SessionEvent._meta.concrete_fields if not field.primary_key]
    names = ", ".join(columns)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {SessionEvent._meta.db_table} ({names}) FROM STDIN") as copy,
    ):
        data = json.dumps(DATA)
        for row in chained_rows(targets, count):
            copy.write_row([data if name == "data" else getattr(row, name) for name in columns])
            last[row.session_id] = row
    store_heads(list(last.values()))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def measure_verification() -> dict[str, float]:
    """Verify the whole record like `manage.py verify_history`."""
    from sessions.integrity import scope, verification

    count, began = scope.CheckCounts(), time.perf_counter()
    if found := [fault.description() for fault in verification.faults(count)]:
        sys.exit("\n".join(found))
    rate = count.all_rows / (time.perf_counter() - began)
    print(f"verified {count.all_rows} rows of {len(count.rows)} tables, {rate:.0f} a second: {dict(count.rows)}")
    return {"verify_rows_per_s": round(rate)}


def measure_export() -> dict[str, float]:
    """Export all events in a new process, as the worker does. Return its memory use."""
    from sessions.exports import list_export
    from sessions.models import Export
    from tests.support.factories import UserFactory

    with patch.object(list_export, "MAX_STREAMED_ROWS", 0):  # few events would be streamed in the response
        export = list_export.request_export(UserFactory.create().pk, None, Export.What.EVENTS, Export.Format.JSONL)
    began = time.perf_counter()
    child = subprocess.run(
        [sys.executable, "-m", "bench.record", "--write", str(export.pk)], capture_output=True, check=True
    )
    seconds = time.perf_counter() - began
    export.refresh_from_db()
    with export.path.open("rb") as file:
        lines = sum(1 for _ in file)
    if export.state != Export.State.READY or lines != export.rows_done:
        sys.exit(f"the export is {export.state}, with {lines} of {export.rows_done} rows")
    used = int(child.stdout) / 1024
    print(f"exported {lines} events in {seconds:.0f} s, {export.written / 1e6:.0f} MB; memory at most {used:.0f} MB")
    return {"export_rows_per_s": round(lines / seconds), "export_rss_mb": round(used, 1)}


def write_export(export_id: str) -> None:
    """Write an export and print this process's peak memory in kilobytes.

    Runs in its own process.
    """
    set_up()
    from sessions.exports import list_export as exports

    while exports.continue_writing(UUID(export_id), 3):
        pass
    print(peak_memory_kb())


def peak_memory_kb() -> int:
    """Return the peak memory of this process in kilobytes.

    On Linux `ru_maxrss` is no less than what the process that started this one had at that moment.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // 1024 if sys.platform == "darwin" else most


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--appended", type=int, default=10_000, help="events for the comparison with a plain INSERT")
    parser.add_argument("--events", type=int, default=1_000_000, help="events that are verified and exported")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write_export(options.write)
    else:
        main(options.appended, options.events)
