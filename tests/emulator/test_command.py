"""The command `python -m heygen_portal.emulator`."""

from __future__ import annotations

import ssl
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest

from heygen_portal.emulator.__main__ import api_key_of, livekit_of, parser, rules_of
from tests.support import servers


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "heygen_portal.emulator", *args], capture_output=True, text=True, timeout=60, check=False
    )


def test_the_emulator_imports_nothing_of_the_portal() -> None:
    script = (
        "import sys, heygen_portal.emulator.__main__, heygen_portal.emulator.avatar.performer\n"
        "import heygen_portal.emulator.avatar.recording\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('django', 'celery', 'avatars', 'sessions')"
        " or name.startswith('heygen_portal.') and not name.startswith('heygen_portal.emulator')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_taken_port_is_reported_in_one_line(quiet_emulator: servers.Emulator) -> None:
    port = httpx.URL(quiet_emulator.url).port
    done = run("--no-media", "--port", str(port))
    assert done.returncode == 1
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_control_is_refused_off_loopback() -> None:
    done = run("--no-media", "--control", "--host", str(IPv4Address(0)))
    assert done.returncode == 2
    assert "only on loopback" in done.stderr


def test_limits_can_be_set_on_the_command_line() -> None:
    rules = rules_of(parser().parse_args(["--concurrency", "3", "--idle", "9.5", "--rule", "sync_waits=true"]))
    assert (rules.concurrency, rules.idle_s, rules.sync_waits) == (3, 9.5, True)
    for wrong in ("timeout_s=1", "idle_s=soon", "nonsense"):
        with pytest.raises(ValueError, match=r"rule|idle_s"):
            rules_of(parser().parse_args(["--rule", wrong]))


def test_a_key_comes_from_the_command_line_else_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file\n")
    (tmp_path / "empty").write_text("\n")
    by_file = {"EMULATOR_API_KEY_FILE": str(tmp_path / "key")}
    for args, env, key in (
        ([], {}, ""),
        ([], {"EMULATOR_API_KEY": "from-the-environment", **by_file}, "from-the-environment"),
        ([], by_file, "from-a-file"),
        (["--api-key-file", str(tmp_path / "key")], {"EMULATOR_API_KEY": "from-the-environment"}, "from-a-file"),
        (["--api-key", "named"], by_file, "named"),
    ):
        assert api_key_of(parser().parse_args(args), env) == key
    with pytest.raises(ValueError, match="holds no key"):
        api_key_of(parser().parse_args([]), {"EMULATOR_API_KEY_FILE": str(tmp_path / "empty")})


def test_keys_of_livekit_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("APIkey\n")
    (tmp_path / "secret").write_text("secret\n")
    files = {"LIVEKIT_API_KEY_FILE": str(tmp_path / "key"), "LIVEKIT_API_SECRET_FILE": str(tmp_path / "secret")}
    livekit = livekit_of({"LIVEKIT_URL": "ws://livekit:7880", **files})
    assert (livekit.url, livekit.key, livekit.secret) == ("ws://livekit:7880", "APIkey", "secret")


def test_https_uses_a_certificate_of_a_persistent_authority(tmp_path: Path) -> None:
    args = ["--tls", "--tls-port", "0", "--tls-folder", str(tmp_path)]
    authority = b""
    for _ in range(2):
        with servers.emulator(media=False, args=args) as emulator:
            port = next(line for line in emulator.process.output().splitlines() if "https://" in line).rsplit(":", 1)[1]
            context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
            with httpx.Client(verify=context, trust_env=False) as http:
                assert http.get(f"https://localhost:{port}/_health").json() == {"status": "ok"}
        assert authority in (b"", (tmp_path / "ca.pem").read_bytes())
        authority = (tmp_path / "ca.pem").read_bytes()
    assert (tmp_path / "ca-key.pem").stat().st_mode & 0o077 == 0
