"""Judging the portal's work again and again.

Each web process judges in a thread, and the worker as a job: a process that died cannot report its own death.
"""

from __future__ import annotations

import logging
import threading

from django.db import close_old_connections
from django.utils import timezone
from redis.exceptions import RedisError

from heygen_portal.redis import marks
from sessions.health import incidents, work

logger = logging.getLogger(__name__)

INTERVAL_S = 20.0
"""Seconds between two rounds. The checks' limits and INCIDENT_MINUTES are longer."""
_ROUND = "portal-work-judged"


def judge() -> None:
    """Judge the work, unless another process has just done so."""
    if _is_just_judged():
        return
    now = timezone.now()
    incidents.judge(work.read(now), now)


def _is_just_judged() -> bool:
    """Claim this round. Without Redis every process judges."""
    try:
        return not marks.client().set(_ROUND, 1, nx=True, px=round(INTERVAL_S * 500))
    except RedisError:
        return False


def start() -> None:
    """Judge in a thread until the process ends. Called when a web process starts to serve."""
    threading.Thread(target=_judge_for_ever, name="watch", daemon=True).start()


def _judge_for_ever() -> None:
    pause = threading.Event()
    while True:
        try:
            marks.put(marks.WEB)
            close_old_connections()
            judge()
        except Exception:
            logger.exception("the portal's work could not be judged")
        pause.wait(INTERVAL_S)
