"""`python -m tests.setup.terminal PROGRAM …`: become that program, with its signals as a terminal hands them over.

A runner in the background, or one under nohup, hands down that Ctrl-C or a closed terminal is to be ignored.
"""

import os
import signal
import sys

AS_IN_A_TERMINAL = [sys.executable, "-m", "tests.setup.terminal"]

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
