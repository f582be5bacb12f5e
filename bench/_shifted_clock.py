"""Run a program on a machine whose clock is wrong: `python -m bench._shifted_clock SECONDS PROGRAM ARGUMENTS`.

Only what the portal reads is shifted: Django's `timezone.now` and Python's `time.time`. PROGRAM is a module, or
`celery`.
"""

from __future__ import annotations

import runpy
import sys
import time
from datetime import timedelta

from django.utils import timezone


def shift(seconds: float) -> None:
    real_now, real_time = timezone.now, time.time
    timezone.now = lambda: real_now() + timedelta(seconds=seconds)
    time.time = lambda: real_time() + seconds


if __name__ == "__main__":
    shift(float(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
