from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from heygen_portal import backups


class Command(BaseCommand):
    help = "Restore a backup into an empty database."
    requires_system_checks = ()  # they read settings that the backup brings

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("data", type=Path, help="folder with the database and the media files")
        parser.add_argument("keys", type=Path, help="folder with the keys and anchors")

    def handle(self, *args: Any, data: Path, keys: Path, **options: Any) -> None:
        try:
            backup_id = backups.restore(data, keys)
        except (backups.BackupError, OSError) as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(f"Backup {backup_id} is restored. Now run manage.py migrate and manage.py verify_history.")
