from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from heygen_portal import backups


class Command(BaseCommand):
    help = "Back up the database and the media files into one folder, and the keys and anchors into another."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("data", type=Path, help="new folder for the database and the media files")
        parser.add_argument("keys", type=Path, help="new folder for the keys and anchors, stored apart from the data")

    def handle(self, *args: Any, data: Path, keys: Path, **options: Any) -> None:
        try:
            backup_id = backups.back_up(data, keys)
        except (backups.BackupError, OSError) as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(f"Backup {backup_id} is in {data} and {keys}.")
