"""Accept a row that verification names, once people have examined it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from sessions.integrity import audit_statements
from sessions.lifecycle import coverage


class Command(BaseCommand):
    help = (
        "States in the audit log that a row is right as it is now, such as a user created in a shell. Examine the "
        "finding first: earlier differences of this row are no longer reported."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", choices=sorted(table.name for table in coverage.NAMED))
        parser.add_argument("row", help="The row’s ID, as the finding names it.")

    def handle(self, *, table: str, row: str, **options: Any) -> None:
        if not audit_statements.accept(table, row):
            raise CommandError(f"There is no {table} {row}, and the audit log states none.")
        self.stdout.write(f"The audit log now states {table} {row} as it is.")
