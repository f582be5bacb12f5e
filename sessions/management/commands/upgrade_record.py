from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, no_translations

from sessions import upgrading


class Command(BaseCommand):
    help = (
        "State in the record of each session of an earlier version what its rows show, so that verification covers"
        " every column from now on. It can be stopped and run again. Exit code 1 if a record does not fit."
    )

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        done = upgrading.upgrade()
        self.stdout.write(f"{done.sessions} sessions upgraded, {done.left} left.")
        if not done.are_lists_whole:
            raise CommandError(
                "The audit's list, or an export or check of the record, does not fit: run verify_history."
            )
        if done.faulty:
            raise CommandError("These do not fit, and were left as they are: " + ", ".join(map(str, done.faulty)))
