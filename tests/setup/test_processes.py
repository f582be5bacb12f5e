from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from local.paths import ROOT
from tests.setup.terminal import AS_IN_A_TERMINAL

WAITING = """
import signal
from local.processes import end_as_on_ctrl_c
end_as_on_ctrl_c()
try:
    print("up", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("ended in order")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_sigterm_and_a_closed_terminal_end_a_program_in_order(number: signal.Signals) -> None:
    command = [*AS_IN_A_TERMINAL, sys.executable, "-c", WAITING]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "up\n"
        program.send_signal(number)
        assert program.stdout.read() == "ended in order\n"


def test_a_second_sigterm_does_not_interrupt_the_shutdown() -> None:
    again = "signal.raise_signal(signal.SIGTERM)"
    script = WAITING.replace("signal.pause()", again).replace('print("ended', f'{again}; print("ended')
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "up\nended in order\n"


def test_a_program_under_nohup_outlives_its_terminal() -> None:
    script = WAITING.replace("signal.pause()", "signal.raise_signal(signal.SIGHUP); print('still here')")
    done = subprocess.run(
        ["nohup", sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=True
    )
    assert done.stdout == b"up\nstill here\n"
