"""The examples for operators match each other and the tested versions."""

from __future__ import annotations

import shlex

import yaml

from local.livekit import VERSION
from local.paths import ROOT

EXAMPLES = ROOT / "docs" / "examples"


def test_compose_runs_the_tested_livekit_version_with_its_configuration() -> None:
    """Complaint 23."""
    service = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]["livekit"]
    inside = dict(mount.removesuffix(":ro").split(":") for mount in service["volumes"])
    turn = yaml.safe_load((EXAMPLES / "livekit.yaml").read_text())["turn"]
    assert service["image"] == f"livekit/livekit-server:v{VERSION}"
    assert shlex.split(service["command"]) == ["--config", inside["./livekit.yaml"]]
    assert {turn["cert_file"], turn["key_file"]} == {inside["./turn.crt"], inside["./turn.key"]}
