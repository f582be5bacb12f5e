"""The file that shows a container's health check that a process works."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from heygen_portal.celery import app
from heygen_portal.runtime.jobs import alive
from heygen_portal.runtime.jobs.scheduler import SteadyScheduler


def test_beat_renews_its_file(tmp_path: Path, settings: Any) -> None:
    settings.ALIVE_FILE = str(tmp_path / "alive")
    scheduler = SteadyScheduler(app, lazy=True)
    scheduler.tick()
    os.utime(settings.ALIVE_FILE, (0, 0))
    scheduler.tick()  # less than five seconds later: not yet
    assert (tmp_path / "alive").stat().st_mtime == 0
    scheduler._marks_again_at = 0
    scheduler.tick()
    assert (tmp_path / "alive").stat().st_mtime > 0


def test_a_file_that_cannot_be_written_stops_nothing(
    tmp_path: Path, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ALIVE_FILE = str(tmp_path / "missing" / "alive")
    alive.renew()
    assert "ALIVE_FILE cannot be renewed" in caplog.text


def test_without_the_setting_nothing_is_written(settings: Any) -> None:
    settings.ALIVE_FILE = ""
    alive.renew()
