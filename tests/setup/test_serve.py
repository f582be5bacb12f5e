"""`bin/serve` and `bin/emulator`, started as from a terminal."""

from __future__ import annotations

import os
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from heygen_portal.emulator.__main__ import parser
from local import emulator
from local.paths import ROOT
from local.ports import free_port
from local.processes import answers_http
from tests.setup.terminal import AS_IN_A_TERMINAL
from tests.support import migrated

BIN = ROOT / "bin"
README = ROOT / "heygen_portal/emulator/README.md"


@contextmanager
def serving(var: Path, program: str = "serve", *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a program until it has printed its welcome.

    Yield the process and its output.
    """
    env = {**os.environ, "VAR_DIR": str(var)}
    with subprocess.Popen(
        [*AS_IN_A_TERMINAL, BIN / program, *args],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if "Ctrl-C ends it" in line:
                break
        try:
            yield process, output
        finally:
            process.send_signal(signal.SIGTERM)


def start_again(var: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "VAR_DIR": str(var)}
    return subprocess.run([BIN / "serve"], env=env, capture_output=True, text=True, check=False)


@pytest.mark.media
@pytest.mark.proof
def test_serve_prints_how_to_sign_in_runs_once_and_ends_all_children(tmp_path: Path) -> None:
    migrated.copy_to(tmp_path / "db.sqlite3")  # serve only has to see that nothing is missing
    with serving(tmp_path) as (process, output):
        address = re.search(r"The portal is ready: (\S+)/ ", output)
        assert address, output
        assert answers_http(f"{address[1]}/health")
        assert len(re.findall(r"Sign in as (?:admin|demo) with the password \S+", output)) == 2
        assert "already runs" in start_again(tmp_path).stderr
        group = _children_of(process.pid)
        assert len(group) >= 6
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert process.returncode == 0, rest
    assert "The portal is stopped." in rest
    assert not re.findall("superuser|overcommit|HTTP/2", output + rest)  # nothing that a newcomer need not act on
    assert not [pid for pid in group if Path(f"/proc/{pid}").exists()]


def test_the_emulator_runs_alone_and_prints_its_url_and_key(tmp_path: Path) -> None:
    with serving(tmp_path, "emulator", "--no-media") as (process, output):
        address = re.search(r"The emulator is ready: (\S+)\nAPI key: \S{20,}", output)
        assert address, output
        assert answers_http(f"{address[1]}/_health")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert process.returncode == 0, rest
    assert not answers_http(f"{address[1]}/_health")


def test_every_documented_option_works_with_the_emulators_program(tmp_path: Path) -> None:
    options = {
        "--host": "127.0.0.1",
        "--port": str(free_port()),
        "--api-key": "our-key",
        "--liveavatar-key": "their-key",
        "--no-media": None,
        "--latency": "1",
        "--concurrency": "7",
        "--idle": "33",
        "--duration": "44",
        "--rule": "text_limit=55",
        "--control": None,
        "--tls": None,
        "--tls-port": str(free_port()),
        "--tls-folder": os.path.relpath(tmp_path / "authority"),
    }
    table = "".join(re.findall(r"^\| `--.*$", README.read_text(), re.MULTILINE))
    documented = set(re.findall(r"(?<=`)--[a-z-]+", table))
    assert documented == {*options, "--api-key-file"}
    assert documented == {name for action in parser()._actions for name in action.option_strings} - {"-h", "--help"}
    args = [part for option in options.items() for part in option if part]
    with serving(tmp_path, "emulator", *args) as (process, output):
        url = f"http://127.0.0.1:{options['--port']}"
        assert f"The emulator is ready: {url}\nAPI key: our-key\n" in output
        with httpx.Client(trust_env=False) as http:
            assert http.get(f"{url}/v1/streaming.list", headers={"X-Api-Key": "our-key"}).status_code == 200
            assert http.get(f"{url}/v1/contexts", headers={"X-Api-Key": "our-key"}).status_code == 401
            assert http.get(f"{url}/v1/contexts", headers={"X-Api-Key": "their-key"}).status_code == 200
            rules = http.get(f"{url}/_emulator/rules").json()
        assert [rules[name] for name in ("concurrency", "idle_s", "duration_s", "text_limit")] == [7, 33, 44, 55]
        trust = ssl.create_default_context(cafile=tmp_path / "authority" / "ca.pem")
        with httpx.Client(verify=trust, trust_env=False) as http:
            assert http.get(f"https://localhost:{options['--tls-port']}/_health").status_code == 200
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert process.returncode == 0, rest


def test_the_emulators_key_may_be_in_a_file_of_the_callers_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").write_text("from-a-file\n")
    options, _ = emulator._parser().parse_known_args(["--api-key-file", "key", "--rule", "idle_s=9"])
    assert emulator._arguments(options) == [f"--api-key-file={tmp_path / 'key'}"]
    environ = {"EMULATOR_API_KEY": "another"}
    emulator._use_key(options, environ)
    assert environ == {"EMULATOR_API_KEY_FILE": str(tmp_path / "key")}


def test_an_old_python_gets_an_explanation() -> None:
    script = "import sys; sys.version_info = (3, 9); sys.path.insert(0, 'bin'); import _start; _start.run('setup')"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "needs Python 3.11 or newer" in done.stderr


def _children_of(pid: int) -> list[int]:
    """Return the IDs of all descendants of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found += [child, *_children_of(child)]
    return found
