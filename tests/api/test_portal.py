"""The examples of the documentation, against a running portal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from local import node
from tests.api.conftest import Served

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120


def example(language: str) -> str:
    found = re.findall(rf"(?s)```{language}\n(.*?)```", (ROOT / "docs" / "api.md").read_text())
    return str(found[0])


@pytest.mark.proof
def test_the_examples_of_the_documentation_run(served: Served, tmp_path: Path) -> None:
    commands = {
        "sh": ["sh", "-c", example("sh")],
        "python": [sys.executable, "-c", example("python")],
        "js": [*(node.node() or ["node"]), str(tmp_path / "flow.mjs")],
    }
    (tmp_path / "flow.mjs").write_text(example("js"))
    outputs = {}
    for language, command in commands.items():
        env = {**os.environ, "PORTAL_URL": served.url, "API_KEY": served.secret}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        assert done.returncode == 0, f"{language}: {done.stdout}{done.stderr}"
        outputs[language] = done.stdout
    assert all("task: sent" in outputs[language] for language in ("python", "js")), outputs
    headers = {"Authorization": f"Bearer {served.secret}"}
    listed = httpx.get(f"{served.url}/api/v1/sessions", headers=headers, trust_env=False).json()["items"]
    assert [row["end_reason"] for row in listed] == ["user_stopped"] * len(commands)
