from __future__ import annotations

import logging
import re
import shutil
import signal
import threading
from argparse import ArgumentParser
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from heygen_portal import backups

logger = logging.getLogger(__name__)

POLL_S = 30.0
RETRY_AFTER = timedelta(minutes=10)
NAME = re.compile(r"\d{4}-\d{2}-\d{2}")


class Command(BaseCommand):
    help = "Make a backup every day until SIGTERM, in folders named by date, and delete the oldest ones."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("data", type=Path, help="folder of the folders with the database and the media files")
        parser.add_argument("keys", type=Path, help="folder of the folders with the keys and anchors, stored apart")
        parser.add_argument("--at", type=time.fromisoformat, default=time(0, 30), help="time of day in UTC")
        parser.add_argument("--keep", type=int, default=14, help="number of backups to keep (default: %(default)s)")

    def handle(self, *args: Any, data: Path, keys: Path, at: time, keep: int, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        retry_at = datetime.min.replace(tzinfo=UTC)
        while not stop.is_set():
            now = datetime.now(UTC)
            if now >= retry_at and not back_up_if_due(data, keys, now, at, keep):
                retry_at = now + RETRY_AFTER
            stop.wait(POLL_S)


def back_up_if_due(data: Path, keys: Path, now: datetime, at: time, keep: int) -> bool:
    """Make the latest due backup unless it exists. Return False if it failed."""
    due = datetime.combine(now.date(), at, UTC)
    name = (due if due <= now else due - timedelta(days=1)).date().isoformat()
    if (data / name).exists() and (keys / name).exists():
        return True
    try:
        # Half a backup, interrupted between the names of its folders, is of no use.
        for folder in (data / name, keys / name):
            shutil.rmtree(folder, ignore_errors=True)
        backup_id = backups.back_up(data / name, keys / name)
        for folder in (data, keys):
            _delete_oldest(folder, keep)
    except (backups.BackupError, OSError):
        logger.exception("the backup of %s failed; trying again later", name)
        return False
    logger.info("backup %s is in %s and %s", backup_id, data / name, keys / name)
    return True


def _delete_oldest(folder: Path, keep: int) -> None:
    """Delete all but the newest backups. Folders with other names stay."""
    found = sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))
    for path in found[: -max(1, keep)]:
        shutil.rmtree(path)
