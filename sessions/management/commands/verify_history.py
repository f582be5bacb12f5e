from __future__ import annotations

from argparse import ArgumentParser
from time import perf_counter
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, no_translations
from django.utils import timezone

from heygen_portal.trail import signing
from heygen_portal.trail.models import AuditHead
from sessions.integrity import nightly_check, verification
from sessions.models import StreamingSession


class Command(BaseCommand):
    help = (
        "Verify the records of all sessions and the audit log, or of one session, and print what was changed."
        " Exit code 1 if anything was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("session", nargs="?", type=UUID, help="ID of a session; everything if omitted")

    @no_translations
    def handle(self, *args: Any, session: UUID | None = None, **options: Any) -> None:
        _require_key()
        if session:
            self._verify_one(session)
            return
        began = perf_counter()
        found = nightly_check.check_record(timezone.now(), lambda fault: self.stdout.write(fault.description()))
        took = perf_counter() - began
        speed = found.rows / took
        self.stdout.write(
            f"{found.sessions} sessions, {found.events} events, {found.entries} audit entries, {found.anchors} anchors"
            f"; {found.rows} rows in {took:.1f} s ({speed:,.0f} rows a second)"
        )
        self._write_coverage(found.covered)
        if found.fault_count:
            raise CommandError(f"Faults found: {found.fault_count}.")
        self.stdout.write("No faults found.")

    def _write_coverage(self, covered: dict[str, Any]) -> None:
        """Print which rows were verified, and since when they are covered."""
        rows = ", ".join(f"{name} {count}" for name, count in sorted(covered["rows"].items()))
        self.stdout.write(f"Rows read: {rows}")
        if covered["since"]:
            self.stdout.write(f"Rows from earlier versions are covered from {max(covered['since'].values())} on.")
        if covered["older_sessions"]:
            self.stdout.write(
                f"{covered['older_sessions']} sessions of earlier versions are covered in part:"
                " run `manage.py upgrade_record`."
            )

    def _verify_one(self, session: UUID) -> None:
        if not StreamingSession.objects.filter(pk=session).exists():
            raise CommandError("There is no such session.")
        if fault := verification.first_fault_of(session):
            raise CommandError(fault.description())
        self.stdout.write("No faults found.")


def _require_key() -> None:
    """Refuse to verify with the keys of another portal.

    Entries that this process wrote would then follow a head that it takes for forged, leaving a permanent gap.
    """
    head = AuditHead.objects.first()
    name, dot, _mac = str(head.signature if head else "").rpartition(".")
    if dot and name not in signing.keys("sign"):
        raise CommandError(
            "The newest audit entry was signed with a key that this command does not have; nothing was written."
            " Give it the portal's FIELD_ENCRYPTION_KEY, and former ones in FIELD_ENCRYPTION_KEY_FALLBACKS."
            " If these are the portal's keys, the entry was forged."
        )
