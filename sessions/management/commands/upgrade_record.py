from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations

from sessions.integrity import record_upgrade


class Command(BaseCommand):
    help = (
        "State in the record of each session of an earlier version what its rows show, so that verification covers"
        " every column from now on. It can be stopped and run again. Exit code 1 if a record was changed."
    )

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        done = record_upgrade.upgrade()
        self.stdout.write(f"{done.sessions} sessions upgraded, {done.left} left.")
        if not done.are_lists_whole:
            raise CommandError(
                "An audit entry, an export or a check of the record was changed since it was recorded: "
                "nothing of these was upgraded. manage.py verify_history names what was changed."
            )
        if done.faulty:
            names = ", ".join(map(str, done.faulty))
            raise CommandError(
                f"These sessions were changed since they were recorded, and were not upgraded: {names}. "
                "manage.py verify_history names what was changed."
            )
