"""The health check that the image runs in its containers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from local.paths import ROOT
from tests.timeouts import WAIT_TIMEOUT_S


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health/live" else 503)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run_check(alive: Path, url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "deploy" / "healthcheck.py", url],
        env={"ALIVE_FILE": str(alive), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=5 * WAIT_TIMEOUT_S,
        check=False,
    )


def test_a_web_process_is_healthy_while_it_answers(server: str, tmp_path: Path) -> None:
    assert run_check(tmp_path / "none", f"{server}/health/live").returncode == 0
    ill = run_check(tmp_path / "none", f"{server}/other")
    assert (ill.returncode, "503" in ill.stderr) == (1, True)
    assert run_check(tmp_path / "none", "http://127.0.0.1:1/health/live").returncode == 1


@pytest.mark.parametrize(("age_s", "code"), [(-10, 0), (5, 0), (3600, 1)])
def test_another_process_is_healthy_while_it_renews_its_file(
    server: str, tmp_path: Path, age_s: float, code: int
) -> None:
    alive = tmp_path / "alive"
    alive.touch()
    renewed_at = alive.stat().st_mtime - age_s
    os.utime(alive, (renewed_at, renewed_at))
    checked = run_check(alive, f"{server}/health/live")
    assert (checked.returncode, "was last renewed" in checked.stderr) == (code, bool(code))
