"""When `manage.py back_up_daily` makes a backup, and which ones it keeps."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from unittest.mock import Mock

import pytest

from heygen_portal import backups
from heygen_portal.management.commands.back_up_daily import back_up_if_due

AT = time(0, 30)


@pytest.fixture
def back_up(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Replace the backup by one that only creates both folders.

    `tests/test_backups.py` makes real ones.
    """

    def create(data: Path, keys: Path) -> str:
        for folder in (data, keys):
            folder.mkdir(parents=True)
            (folder / "manifest.json").touch()
        return "an ID"

    made = Mock(spec=backups.back_up, side_effect=create)
    monkeypatch.setattr(backups, "back_up", made)
    return made


def moment(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, minute, tzinfo=UTC)


def backup(root: Path, now: datetime, keep: int = 3) -> bool:
    return back_up_if_due(root / "data", root / "keys", now, AT, keep)


def names(root: Path) -> list[str]:
    found = [sorted(path.name for path in (root / folder).iterdir()) for folder in ("data", "keys")]
    assert found[0] == found[1]
    return found[0]


def test_each_day_has_one_backup_from_its_time_on(back_up: Mock, tmp_path: Path) -> None:
    for now in (moment(7, 0, 29), moment(7, 0, 30), moment(7, 23, 59), moment(8, 0, 0), moment(8, 1)):
        assert backup(tmp_path, now)
    assert names(tmp_path) == ["2026-01-06", "2026-01-07", "2026-01-08"]
    assert back_up.call_count == 3


def test_only_the_newest_backups_are_kept(back_up: Mock, tmp_path: Path) -> None:
    (tmp_path / "data" / "before-the-move").mkdir(parents=True)
    (tmp_path / "keys" / "before-the-move").mkdir(parents=True)
    for day in range(1, 7):
        assert backup(tmp_path, moment(day, 12))
    assert names(tmp_path) == ["2026-01-04", "2026-01-05", "2026-01-06", "before-the-move"]


def test_a_failed_backup_deletes_none_and_is_tried_again(back_up: Mock, tmp_path: Path) -> None:
    assert backup(tmp_path, moment(1, 12), keep=1)
    create, back_up.side_effect = back_up.side_effect, backups.BackupError("the disk is full")
    assert not backup(tmp_path, moment(2, 12), keep=1)
    assert names(tmp_path) == ["2026-01-01"]
    back_up.side_effect = create
    assert backup(tmp_path, moment(2, 12), keep=1)
    assert names(tmp_path) == ["2026-01-02"]


@pytest.mark.parametrize("half", ["data", "keys"])
def test_half_a_backup_is_replaced(back_up: Mock, tmp_path: Path, half: str) -> None:
    (tmp_path / half / "2026-01-02").mkdir(parents=True)
    assert backup(tmp_path, moment(2, 12))
    assert (tmp_path / half / "2026-01-02" / "manifest.json").exists()
