from __future__ import annotations

from pathlib import Path

import pytest

from heygen_portal import env


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a `.env` file.

    The secret is not set in the environment.
    """
    for name in ("DJANGO_SECRET_KEY", "DJANGO_SECRET_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(env, "env", env.PortalEnv())
    return tmp_path / ".env"


def secret_with(written: Path, content: str) -> str:
    written.write_text(content)
    env.env.read_env(str(written), recurse=False)
    return env.env.str("DJANGO_SECRET_KEY", "default")


def test_a_secret_comes_from_the_file_that_is_named_in_the_env_file(written: Path) -> None:
    (written.parent / "key").write_text("from a file\n")
    assert secret_with(written, f"DJANGO_SECRET_KEY_FILE={written.parent}/key") == "from a file"


def test_a_secrets_value_takes_precedence_over_its_file(written: Path) -> None:
    content = f"DJANGO_SECRET_KEY=given\nDJANGO_SECRET_KEY_FILE={written.parent}/none"
    assert secret_with(written, content) == "given"


def test_an_empty_value_gives_way_to_the_file(written: Path) -> None:
    (written.parent / "key").write_text("from a file\n")
    content = f"DJANGO_SECRET_KEY=\nDJANGO_SECRET_KEY_FILE={written.parent}/key"
    assert secret_with(written, content) == "from a file"


@pytest.mark.parametrize(("content", "keys"), [("one\ntwo, three\n\n", ["one", "two, three"]), ("\n", [])])
def test_a_file_with_a_list_has_one_secret_per_line(written: Path, content: str, keys: list[str]) -> None:
    (written.parent / "keys").write_text(content)
    secret_with(written, f"RETIRED_KEYS_FILE={written.parent}/keys")
    assert env.stored_secrets("RETIRED_KEYS", written.parent / "none") == keys


def test_a_value_with_a_list_has_secrets_separated_by_commas(written: Path) -> None:
    secret_with(written, "RETIRED_KEYS=one, two,")
    assert env.stored_secrets("RETIRED_KEYS", written.parent / "none") == ["one", "two"]


def test_a_missing_secret_has_its_default(written: Path) -> None:
    assert secret_with(written, "") == "default"


def test_commands_find_the_keys_that_serve_stores(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = written.parent / "keys"
    assert env.stored_secret("DJANGO_SECRET_KEY", keys, "default") == "default"
    keys.mkdir()
    (keys / "django_secret_key").write_text("kept\n")
    assert env.stored_secret("DJANGO_SECRET_KEY", keys, "default") == "kept"
    (written.parent / "empty").write_text("\n")
    monkeypatch.setenv("DJANGO_SECRET_KEY_FILE", str(written.parent / "empty"))
    assert env.stored_secret("DJANGO_SECRET_KEY", keys, "default") == "kept"
    monkeypatch.setenv("DJANGO_SECRET_KEY", "given")
    assert env.stored_secret("DJANGO_SECRET_KEY", keys, "default") == "given"
