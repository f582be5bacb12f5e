"""Run a program with default signal handlers, as from a terminal.

python -m tests.setup.terminal PROGRAM …

Under nohup or in the background, programs inherit that SIGINT or SIGHUP is ignored.
"""

import os
import signal
import sys

AS_IN_A_TERMINAL = [sys.executable, "-m", "tests.setup.terminal"]

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
