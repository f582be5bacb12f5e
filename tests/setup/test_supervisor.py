from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

import pytest

from local import supervisor
from local.supervisor import ChildEnded, Supervisor

FOR_EVER = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FOR_EVER
# A program with a child of its own, whose process ID it prints.
PARENT = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {FOR_EVER!r}]).pid); {FOR_EVER}"


@pytest.fixture
def programs() -> Iterator[Supervisor]:
    running = Supervisor(["one", "two"])
    yield running
    running.stop()


def start(programs: Supervisor, name: str, script: str) -> None:
    programs.start(name, [sys.executable, "-c", script], os.environ)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as status:
        return status.read().rpartition(")")[2].split()[0] != "Z"


def test_a_program_that_exits_is_named_with_its_code(programs: Supervisor) -> None:
    start(programs, "one", FOR_EVER)
    start(programs, "two", "raise SystemExit(7)")
    with pytest.raises(ChildEnded, match="two ended by itself, with code 7"):
        programs.watch()


def test_each_output_line_has_its_programs_name(programs: Supervisor, capfd: pytest.CaptureFixture[str]) -> None:
    start(programs, "one", "print('¿qué tal?')")
    with pytest.raises(ChildEnded):
        programs.watch()
    programs.stop()
    assert "one | ¿qué tal?" in capfd.readouterr().out


def test_hidden_lines_are_not_printed_and_all_others_are(capfd: pytest.CaptureFixture[str]) -> None:
    programs = Supervisor(["one"], hidden=["overcommit"])
    start(programs, "one", "print('before'); print('# WARNING overcommit must be enabled'); print('after')")
    with pytest.raises(ChildEnded):
        programs.watch()
    programs.stop()
    assert capfd.readouterr().out == "one | before\none | after\n"


def test_a_program_that_never_answers_is_named(programs: Supervisor) -> None:
    start(programs, "one", FOR_EVER)
    with pytest.raises(ChildEnded, match="web did not answer within 0 s"):
        programs.wait_until(lambda: False, "web", seconds=0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("script", [STUBBORN, PARENT])
def test_stopping_leaves_nothing_running(
    script: str, programs: Supervisor, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "STOP_TIMEOUT_S", 0.1)
    start(programs, "one", script)
    output = ""

    def is_up() -> bool:
        nonlocal output
        output += capfd.readouterr().out
        return "up" in output

    programs.wait_until(is_up, "one")
    children = [programs._children["one"].pid, *map(int, re.findall(r"\| (\d+)", output))]
    programs.stop()
    assert not any(map(is_alive, children))
