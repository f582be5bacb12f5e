"""The Containerfile: what is in the image, and as whom it runs."""

from __future__ import annotations

import re
import shlex

from local.paths import ROOT
from local.statics import FOLDERS
from tests.deploy.containerfile import CONTAINERFILE
from tests.support import compose

FINAL = CONTAINERFILE.chain("portal")


def copied(stage: str) -> set[str]:
    """Return the paths of the repository that a stage copies."""
    values = [shlex.split(value) for value in CONTAINERFILE.stages[stage].values("COPY")]
    return {source for value in values if not value[0].startswith("--from") for source in value[:-1]}


def test_the_portal_is_the_default_stage_and_runs_as_an_ordinary_user() -> None:
    assert list(CONTAINERFILE.stages)[-1] == "portal"
    users = [user for stage in FINAL for user in stage.values("USER")]
    assert users == ["10001:10001"]
    # The same user as the tmpfs mounts of compose.yaml are for.
    variables = dict.fromkeys(("PORTAL_DOMAIN", "LIVEKIT_DOMAIN", "ACME_EMAIL"), "x.example.org")
    mounts = compose.load("compose.yaml", variables)["services"]["web"]["tmpfs"]
    assert {owner for mount in mounts for owner in re.findall(r"uid=(\d+)", mount)} == {"10001"}


def test_the_final_stage_has_neither_compilers_nor_the_emulator() -> None:
    installed = [value for stage in FINAL for value in stage.values("RUN")]
    packages = [words.split() for words in re.findall(r"apt-get install ([^&]+)", " ".join(installed))]
    assert packages == [["--yes", "--no-install-recommends", "postgresql-client-17"]]
    assert not any(re.search(r"\bpip\b|\bnpm\b", command) for command in installed)
    copies = [value for stage in FINAL for value in stage.values("COPY")]
    assert copies == ["--from=build /venv /venv", "--from=build /app /app"]
    build = CONTAINERFILE.stages["build"].values("RUN")
    assert any("mv heygen_portal/emulator /emulator" in command for command in build)
    assert "requirements-emulator.txt" not in copied("build")


def test_packages_are_installed_from_the_lock_files_and_nothing_is_compiled() -> None:
    installs = [run for stage in CONTAINERFILE.stages.values() for run in stage.values("RUN") if "pip install" in run]
    assert len(installs) == 2
    assert all("--require-hashes --only-binary :all:" in run for run in installs)
    assert any("npm ci --omit=dev --ignore-scripts" in run for run in CONTAINERFILE.stages["scripts"].values("RUN"))


def test_everything_that_the_portal_serves_is_copied() -> None:
    sources = copied("build")
    apps = {path.parent.name for path in ROOT.glob("*/apps.py")}
    assert {"manage.py", "locale", "locale_theme", "templates", "requirements.txt", *apps} <= sources
    assert all(folder.split("/")[0] in sources for folder in FOLDERS)
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    stages = ("scripts", "build", "build-emulator")
    assert {source for stage in stages for source in copied(stage)} == allowed


def test_each_image_has_a_health_check_and_a_command() -> None:
    for name in ("portal", "emulator"):
        (check,), (command,) = (CONTAINERFILE.stages[name].values(each) for each in ("HEALTHCHECK", "CMD"))
        assert "/app/deploy/healthcheck.py" in check
        assert command.startswith('["python", "-m", ')
