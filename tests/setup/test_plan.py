from __future__ import annotations

import stat
from pathlib import Path

import pytest

from local import plan, servers

LIVEKIT = {"LIVEKIT_URL": "wss://rooms.test", "LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "secret"}


def test_a_start_without_settings_plans_and_connects_all_servers(tmp_path: Path) -> None:
    made = plan.portal(tmp_path, {})
    assert made.names == ["redis", "livekit", "emulator", "web", "limits", "worker", "beat", "monitor"]
    assert made.env["REDIS_URL"] == f"redis://127.0.0.1:{made.env['REDIS_PORT']}/0"
    assert made.env["LIVEKIT_URL"] == f"ws://127.0.0.1:{made.env['LIVEKIT_PORT']}"
    assert made.env["EMULATOR_URL"] == f"http://127.0.0.1:{made.env['EMULATOR_PORT']}"


@pytest.mark.parametrize(
    ("given", "spared"),
    [
        ({"REDIS_URL": "redis://elsewhere.test/0"}, "redis"),
        (LIVEKIT, "livekit"),
        ({"EMULATOR_URL": "http://elsewhere.test", "EMULATOR_API_KEY": "key"}, "emulator"),
    ],
)
def test_a_server_named_by_the_environment_is_not_started(tmp_path: Path, given: dict[str, str], spared: str) -> None:
    made = plan.portal(tmp_path, given)
    assert spared not in made.names
    assert given.items() <= made.env.items()


def test_livekit_named_without_its_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(plan.ConfigurationError, match="LIVEKIT_API_KEY and LIVEKIT_API_SECRET"):
        plan.portal(tmp_path, {"LIVEKIT_URL": "wss://rooms.test"})


def test_secrets_are_kept_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    first, second = plan.portal(tmp_path, {}), plan.portal(tmp_path, {})
    assert first.env["LIVEKIT_API_SECRET"] == second.env["LIVEKIT_API_SECRET"]
    files = [*(tmp_path / "keys").iterdir(), tmp_path / "livekit.json"]
    assert len(files) == 6
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_secret_from_the_environment_is_not_replaced(tmp_path: Path) -> None:
    made = plan.portal(tmp_path, {"DJANGO_SECRET_KEY": "given"})
    assert "DJANGO_SECRET_KEY_FILE" not in made.env


def test_a_folder_name_may_contain_a_space(tmp_path: Path) -> None:
    call = servers.command("beat", {"VAR_DIR": str(tmp_path / "my data")})
    assert call[call.index("--schedule") + 1] == str(tmp_path / "my data" / "beat-schedule")


def test_the_environment_overrides_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "ROOT", tmp_path)
    (tmp_path / ".env").write_text("PORT=9001\nREDIS_PORT=9002\n")
    monkeypatch.delenv("REDIS_PORT", raising=False)
    monkeypatch.setenv("PORT", "9003")
    found = plan.environment()
    assert (found["PORT"], found["REDIS_PORT"]) == ("9003", "9002")
