"""A worker's shutdown request reaches the processes of its pool."""

from __future__ import annotations

import os
import subprocess
import sys

from local.paths import ROOT

# Like Celery: signal the start, fork the pool, signal the end.
WORKER = """
import multiprocessing, sys
from celery.signals import worker_init, worker_shutting_down
import heygen_portal.celery
from heygen_portal.runtime.jobs.worker_shutdown import this_worker

worker_init.send(sender=None)
fork = multiprocessing.get_context("fork")
ready, seen = fork.Event(), fork.Event()

def pool_process():
    if this_worker.is_ending():
        sys.exit("it counts as ending from the start")
    ready.set()
    while not this_worker.is_ending():
        seen.wait(0.01)
    seen.set()

child = fork.Process(target=pool_process, daemon=True)
child.start()
ready.wait(60)
worker_shutting_down.send(sender=None)
sys.exit(None if seen.wait(60) else "the process of the pool did not see it")
"""


def test_pool_processes_see_that_their_worker_is_ending() -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "heygen_portal.settings"}
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
