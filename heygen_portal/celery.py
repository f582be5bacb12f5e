"""The Celery application.

`celery -A heygen_portal worker`, `celery -A heygen_portal beat`.
"""

import os
from typing import Any

from celery import Celery, bootsteps
from celery.schedules import crontab
from celery.signals import (
    beat_init,
    celeryd_init,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutting_down,
)
from django.core.exceptions import ImproperlyConfigured
from kombu import Queue

from heygen_portal import production
from heygen_portal.runtime import background, tracing
from heygen_portal.runtime.jobs import alive, job_loop, queues
from heygen_portal.runtime.jobs.worker_shutdown import this_worker
from heygen_portal.runtime.metrics import snapshots

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heygen_portal.settings")

app = Celery("heygen_portal", task_cls="heygen_portal.runtime.jobs.scheduler:PortalTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# A worker that is not told its queues consumes all.
app.conf.task_queues = [Queue(name) for name in queues.ALL]
app.conf.task_default_queue = queues.DEFAULT
app.conf.task_routes = {
    "sessions.tasks.enforce_limits": {"queue": queues.LIMITS},
    "avatars.tasks.look_after_videos": {"queue": queues.LONG},
    "avatars.tasks.read_document": {"queue": queues.LONG},
    "avatars.tasks.sync_account": {"queue": queues.LONG},
    "sessions.tasks.erase_old_speech": {"queue": queues.LONG},
    "sessions.tasks.forget_superseded_documents": {"queue": queues.LONG},
    "sessions.tasks.read_bills": {"queue": queues.LONG},
    "sessions.tasks.rehearse": {"queue": queues.LONG},
    "sessions.tasks.run_persona_tests": {"queue": queues.LONG},
    "sessions.tasks.verify_history": {"queue": queues.LONG},
    "sessions.tasks.write_export": {"queue": queues.LONG},
}
app.conf.task_time_limit = queues.TIME_LIMIT_S
app.conf.worker_prefetch_multiplier = 1  # a job must not wait behind a long one while another worker is free
app.conf.beat_scheduler = "heygen_portal.runtime.jobs.scheduler:SteadyScheduler"
app.conf.beat_schedule = {
    "enforce-limits": {"task": "sessions.tasks.enforce_limits", "schedule": 0.5},
    "look-after-videos": {"task": "avatars.tasks.look_after_videos", "schedule": 3.0},
    "maintain-documents": {"task": "avatars.tasks.maintain_documents", "schedule": 30.0},
    "forget-questions": {"task": "avatars.tasks.forget_questions", "schedule": crontab(hour="2", minute="45")},
    "sync-catalogues": {"task": "avatars.tasks.sync_all", "schedule": crontab(hour="1", minute="30")},
    "read-records": {"task": "sessions.tasks.read_records", "schedule": 10.0},
    "forget-superseded-documents": {
        "task": "sessions.tasks.forget_superseded_documents",
        "schedule": crontab(hour="2", minute="50"),
    },
    "erase-old-speech": {"task": "sessions.tasks.erase_old_speech", "schedule": crontab(hour="2", minute="40")},
    "forget-sign-ins": {"task": "heygen_portal.tasks.forget_sign_ins", "schedule": crontab(hour="2", minute="30")},
    "forget-at-providers": {"task": "sessions.tasks.forget_at_providers", "schedule": 30.0},
    "verify-history": {"task": "sessions.tasks.verify_history", "schedule": crontab(hour="3", minute="10")},
    "keep-books": {"task": "sessions.tasks.keep_books", "schedule": 5.0},
    "watch-work": {"task": "sessions.tasks.watch_work", "schedule": 20.0},
    "look-at-spending": {"task": "sessions.tasks.look_at_spending", "schedule": 60.0},
    "read-bills": {"task": "sessions.tasks.read_bills", "schedule": crontab(minute="20")},
    "rehearse": {"task": "sessions.tasks.rehearse", "schedule": crontab(hour="4", minute="0")},
    "test-personas": {"task": "sessions.tasks.test_personas", "schedule": crontab(hour="4", minute="20")},
    "maintain-persona-tests": {"task": "sessions.tasks.maintain_persona_tests", "schedule": 30.0},
    "check-observers": {"task": "sessions.tasks.check_observers", "schedule": 20.0},
    "check-programs": {"task": "sessions.tasks.check_programs", "schedule": 20.0},
    "remove-brain-access": {"task": "sessions.tasks.remove_brain_access", "schedule": 5.0},
    "reconcile": {"task": "sessions.tasks.reconcile", "schedule": 60.0},
    "deliver-webhooks": {"task": "sessions.tasks.deliver_webhooks", "schedule": 2.0},
    "maintain-webhooks": {"task": "sessions.tasks.maintain_webhooks", "schedule": 60.0},
    "forget-webhooks": {"task": "heygen_portal.tasks.delete_old_webhooks", "schedule": crontab(hour="2", minute="35")},
    "look-after-exports": {"task": "sessions.tasks.look_after_exports", "schedule": 60.0},
}


class AliveStep(bootsteps.StartStopStep):
    """Renews the worker's sign of life from its event loop, which stands still if the worker hangs."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        alive.renew()
        parent.timer.call_repeatedly(alive.RENEW_INTERVAL_S, alive.renew)


app.steps["worker"].add(AliveStep)


@celeryd_init.connect
@beat_init.connect
def _refuse_unsafe_settings(**about: Any) -> None:
    """Refuse to start with an unsafe critical setting, like the web process."""
    try:
        production.refuse_unsafe_settings()
    except ImproperlyConfigured as exc:
        raise SystemExit(str(exc)) from exc  # Celery only logs other exceptions of a receiver


@worker_process_init.connect
def _measure_worker(**about: Any) -> None:
    """Exchange the metrics of a process of the pool, which is forked without threads."""
    snapshots.start("worker")
    tracing.start("worker")


@beat_init.connect
def _measure_beat(**about: Any) -> None:
    snapshots.start("beat")


@worker_init.connect  # before the pool forks
@beat_init.connect
def _follow_database_clock(**about: Any) -> None:
    """Judge deadlines by the clock that all machines share."""
    from heygen_portal.postgresql import clock

    clock.follow()


@worker_init.connect
def _prepare_shutdown(**about: Any) -> None:
    """Create the shutdown flag before the pool forks."""
    this_worker.prepare()


@worker_shutting_down.connect
def _announce_shutdown(**about: Any) -> None:
    """Tell running jobs to hand back unfinished work.

    Supervisors send SIGKILL after ten seconds.
    """
    this_worker.request()


@worker_process_shutdown.connect
def _close_connections(**about: Any) -> None:
    """Close the connections that jobs of this process kept open."""
    from heygen_portal import livekit, providers

    job_loop.close(background.finish, providers.close, livekit.close)
    tracing.stop()
