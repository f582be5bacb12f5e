"""The published JavaScript client of OpenAI, unchanged against the emulator."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from local.node import node
from tests.support import servers
from tests.timeouts import WAIT_TIMEOUT_S

SCRIPT = Path(__file__).parents[1] / "sdk" / "openai.mjs"
ANSWER = "The museum opens at ten. [1]"


@pytest.mark.proof
def test_the_published_javascript_client_runs_unchanged(fresh_emulator: servers.Emulator) -> None:
    call = node()
    assert call
    done = subprocess.run(
        [*call, str(SCRIPT), f"{fresh_emulator.url}/v1", fresh_emulator.api_key],
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_TIMEOUT_S,
    )
    assert json.loads(done.stdout) == {
        "streamed": ANSWER,
        "whole": ANSWER,
        "called": {"name": "leave_note", "arguments": '{"text": "hello"}'},
        "same": True,
        "flagged": True,
        "refused": "model_not_found",
        "models": 4,
    }
