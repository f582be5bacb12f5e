"""Creates the dumps of this folder: see README.md.

Runs in a checkout of the commit to dump.
"""

from __future__ import annotations

import asyncio
import gzip
import inspect
import os
import sqlite3
import subprocess
import sys
import tempfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

KEY = "a-key-for-the-dumps-and-for-nothing-else"


def main(target: Path) -> None:
    sys.path.insert(0, os.getcwd())
    if os.environ.get("DATABASE_URL"):
        fill()
        return
    from tests.support import servers

    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as here:
        path = Path(here) / "portal.sqlite3"
        run(here, f"sqlite:///{path}")
        with sqlite3.connect(path) as database:
            write(target / "sqlite.sql.gz", "\n".join(database.iterdump()))
        with servers.postgres() as url:
            run(here, url)
            dump = ["pg_dump", "--inserts", "--rows-per-insert=200", "--no-owner", "--no-privileges", url]
            found = subprocess.run(dump, check=True, capture_output=True, text=True)
            # Newer clients than servers write lines that only they know.
            lines = [
                line for line in found.stdout.splitlines() if not line.startswith(("\\", "SET transaction_timeout"))
            ]
            write(target / "postgres.sql.gz", "\n".join(lines))


def run(folder: str, url: str) -> None:
    environment = {**os.environ, "DATABASE_URL": url, "FIELD_ENCRYPTION_KEY": KEY, "SECRET_KEY": KEY, "VAR_DIR": folder}
    environment |= {"DJANGO_SETTINGS_MODULE": "heygen_portal.settings", "TIME_ZONE": "UTC"}
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], env=environment, check=True)
    subprocess.run([sys.executable, __file__, "-"], env=environment, check=True)


def write(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(path.name, path.stat().st_size)


def fill() -> None:
    """Store an ordinary day's data with the portal's own functions."""
    import django

    django.setup()
    from django.contrib.auth.models import Group
    from django.utils import timezone

    from heygen_portal.people.access import roles
    from heygen_portal.providers.contract.provider import ProviderSession, SessionRecord, Speaker, SpokenLine
    from heygen_portal.trail import audit_log
    from heygen_portal.trail.models import AuditEntry
    from sessions.actions import deadlines, send_task
    from sessions.audit import inspection
    from sessions.costs import ledger, provider_record
    from sessions.exports import list_export
    from sessions.integrity import nightly_check
    from sessions.lifecycle import broadcast, transitions
    from sessions.models import EndReason, Erasure, Export, SessionTask, StreamingSession
    from sessions.retention import erasure
    from sessions.timeline import page_clock
    from tests.sessions import reports
    from tests.support.factories import PersonaFactory, UserFactory

    for name in ("publish", "publish_all", "notify_board"):
        setattr(broadcast, name, lambda *args: None)
    roles.sync()
    staff = UserFactory.create(username="auditor", is_staff=True)
    staff.groups.add(Group.objects.get(name=roles.AUDITOR.group))
    audit_log.record_access_change(None, staff, {})
    audit_log.record_by(staff.pk, "192.0.2.7", AuditEntry.Kind.KEY_SET, "Account")
    persona = PersonaFactory.create(published=True, slug="lucia", greeting="Hola, soy Lucía.")
    people = [UserFactory.create(username=f"person-{number}") for number in range(7)]

    def opened(number: int, *, is_live: bool = True) -> StreamingSession:
        session = transitions.request(persona, people[number].pk)
        if is_live:
            transitions.connect(
                session, ProviderSession(f"their-session-{number}", None, duration_limit=timedelta(minutes=10))
            )
            transitions.record_started(session, ProviderSession(f"their-session-{number}", None))
            report(session, "first_frame", {"width": 1280, "share": 0.25})
        return session

    def report(session: StreamingSession, kind: str, data: dict[str, object]) -> None:
        now = timezone.now().timestamp() * 1000
        message = {"kind": kind, "data": data, "at": now, "sent": now}
        if kind == "first_frame":
            transitions.go_live(session)
        asyncio.run(reports.handle(session.pk, message, page_clock.PageClock()))

    def typed(session: StreamingSession, text: str, failure: str = "") -> None:
        kind = SessionTask.Kind.TALK
        task, _ = deadlines.accept_task(session.pk, text=text, kind=kind, user_id=session.user_id, ref=text[:9])
        task.status = SessionTask.Status.FAILED if failure else SessionTask.Status.SENT
        task.failure, task.latency = failure, timedelta(milliseconds=120)
        task.provider_task_id = "" if failure else f"their-task-{task.pk}"
        send_task._record_outcome(task)

    def talk(session: StreamingSession) -> None:
        typed(session, "¿Cuánto cuesta la entrada?")
        report(session, "avatar_start_talking", {})
        report(session, "avatar_end_message", {"message": "Son 20 € 🙂", "task_id": "one", "interrupted": True})
        report(session, "user_end_message", {"message": "Gracias, adiós.", "task_id": "two"})
        typed(session, "Esto no llega.", "provider_refused")

    def close(session: StreamingSession, reason: EndReason = EndReason.USER_STOPPED) -> None:
        transitions.begin_stop(session, reason, {"code": "person", "user": session.user_id})
        transitions.end(session)

    def continued(before: StreamingSession, number: int) -> StreamingSession:
        session = transitions.request(persona, (before.user_id or 0), continues=before)
        transitions.connect(session, ProviderSession(f"their-session-{number}", None))
        report(session, "first_frame", {"width": 1280, "share": 0.25})
        close(session)
        return session

    plain, erased, held, released, theirs, refused, running = (
        opened(number, is_live=number != 5) for number in range(7)
    )
    for session in (plain, erased, held, released, theirs, running):
        talk(session)
    for session in (plain, erased, held, released, theirs):
        close(session)
    close(refused, EndReason.PROVIDER_REFUSED)
    record = SessionRecord(
        end_reason="user",
        duration=timedelta(seconds=65),
        credits=Decimal("1.2500"),
        lines=(SpokenLine(Speaker.AVATAR, "Son 20 €", None), SpokenLine(Speaker.AVATAR, "Una línea más.", None)),
    )
    provider_record.store(theirs, record)
    if "continues" in inspect.signature(transitions.request).parameters:
        again = continued(theirs, 7)  # a conversation of four sessions, two of which continue the same one
        continued(again, 8)
        continued(again, 9)
    erasure.hold(held.pk, "Litigation", staff.pk, "192.0.2.7")
    kept = erasure.hold(released.pk, "Litigation", staff.pk, "192.0.2.7")
    erasure.release(kept, staff.pk, "192.0.2.7")
    erasure.erase(erased.pk, Erasure.Cause.STAFF, staff.pk, "192.0.2.7")
    inspection.record_opening(plain.pk, staff.pk, "192.0.2.7", "A complaint")
    list_export.request_export(
        staff.pk, "192.0.2.7", Export.What.RECORD, Export.Format.JSON, reason="A complaint", session=plain
    )
    listed = list_export.request_export(staff.pk, "192.0.2.7", Export.What.SESSIONS, Export.Format.CSV)
    print(len(b"".join(list_export.stream(listed))), "bytes exported")
    ledger.book_all()
    check = nightly_check.check_record(timezone.now())
    print(check.sessions, check.events, check.entries, check.faults)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
