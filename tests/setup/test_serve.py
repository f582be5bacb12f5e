"""`bin/serve` and `bin/emulator`, started as from a terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local.paths import ROOT
from local.processes import answers_http
from tests.setup.terminal import AS_IN_A_TERMINAL

BIN = ROOT / "bin"


@contextmanager
def serving(var: Path, program: str = "serve", *args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a program until it has printed its welcome. Yield the process and its output."""
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
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C ends it" in line:
                break
        try:
            yield process, said
        finally:
            process.send_signal(signal.SIGTERM)


def start_again(var: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "VAR_DIR": str(var)}
    return subprocess.run([BIN / "serve"], env=env, capture_output=True, text=True, check=False)


@pytest.mark.media
def test_serve_prints_how_to_sign_in_runs_once_and_ends_all_children(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, said):
        address = re.search(r"The portal is ready: (\S+)/ ", said)
        assert address, said
        assert answers_http(f"{address[1]}/health")
        assert len(re.findall(r"Sign in as (?:admin|demo) with the password \S+", said)) == 2
        assert "already runs" in start_again(tmp_path).stderr
        group = _children_of(process.pid)
        assert len(group) >= 6
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert process.returncode == 0, rest
    assert "The portal is stopped." in rest
    assert not [pid for pid in group if Path(f"/proc/{pid}").exists()]


def test_the_emulator_runs_alone_and_prints_its_url_and_key(tmp_path: Path) -> None:
    with serving(tmp_path, "emulator", "--no-media") as (process, said):
        address = re.search(r"The emulator is ready: (\S+)\nAPI key: \S{20,}", said)
        assert address, said
        assert answers_http(f"{address[1]}/_health")
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate()
    assert process.returncode == 0, rest
    assert not answers_http(f"{address[1]}/_health")


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
