from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations

from sessions.integrity import record_upgrade


class Command(BaseCommand):
    help = (
        "Add the columns of sessions from earlier versions to their records, so that verification covers every"
        " column from now on. Can be interrupted and repeated. Exit code 1 if a record was changed."
    )

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        done = record_upgrade.upgrade()
        self.stdout.write(f"{done.sessions} sessions upgraded, {done.remaining} left.")
        if not done.is_audit_log_intact:
            raise CommandError(
                "An audit entry, an export or an integrity check was changed after it was recorded, so none of these "
                "was upgraded. Run manage.py verify_history to see what was changed."
            )
        if done.faulty:
            names = ", ".join(map(str, done.faulty))
            raise CommandError(
                f"These sessions were changed after they were recorded and were not upgraded: {names}. "
                "Run manage.py verify_history to see what was changed."
            )
