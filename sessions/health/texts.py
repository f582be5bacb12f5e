"""What is wrong, what follows from it, and what to do, for the panel, mail and `/health/work`."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.console.durations import readable_duration
from sessions.health.readings import Cause, Check, Reading

PROBLEMS: dict[tuple[Check, Cause], Promise] = {
    (Check.REDIS, Cause.NO_ANSWER): _("Redis does not answer."),
    (Check.BEAT, Cause.LATE): _("The scheduler (beat) has not worked for %(age)s."),
    (Check.BEAT, Cause.NEVER): _("The scheduler (beat) does not run."),
    (Check.WORKER, Cause.LATE): _("No worker has enforced the limits for %(age)s."),
    (Check.WORKER, Cause.NEVER): _("No worker runs."),
    (Check.DEADLINES, Cause.LATE): _("A session’s deadline has been overdue for %(age)s."),
    (Check.PROVIDER, Cause.LATE): _("The provider of account %(account)s has not answered for %(age)s."),
    (Check.PROVIDER, Cause.NEVER): _("The provider of account %(account)s does not answer."),
    (Check.CATALOGUE_SYNC, Cause.LATE): _("The catalogue of account %(account)s was not synced for %(age)s."),
    (Check.CATALOGUE_SYNC, Cause.NEVER): _("The catalogue of account %(account)s was never synced."),
    (Check.INTEGRITY_CHECK, Cause.LATE): _("The record was not verified for %(age)s."),
    (Check.INTEGRITY_CHECK, Cause.NEVER): _("The record was never verified."),
    (Check.BACKUP, Cause.LATE): _("No backup was made for %(age)s."),
    (Check.BACKUP, Cause.NEVER): _("No backup was made yet."),
}


@dataclass(frozen=True)
class Advice:
    """What a failing check leads to, what to do, a command for the server, and the name of a page."""

    consequence: str | Promise
    remedy: str | Promise
    command: str = ""
    page: str = ""


ADVICE: dict[Check, Advice] = {
    Check.REDIS: Advice(
        _("Pages reconnect, and limits are enforced late."),
        _("Start Redis (Valkey) again, and check that REDIS_URL leads to it."),
        "docker compose restart valkey",
    ),
    Check.BEAT: Advice(
        _("Limits are enforced late, and nightly jobs do not start."),
        _("Start beat again. Its log says why it ended."),
        "docker compose restart beat",
    ),
    Check.WORKER: Advice(
        _("Conversations continue. Limits are enforced late; exports and nightly jobs wait."),
        _("Start the worker again. Its log says why it ended."),
        "docker compose restart worker",
    ),
    Check.DEADLINES: Advice(
        _("Sessions run longer than they may, and cost more."),
        _("Look for sessions that do not stop. The worker’s log says what the provider answers."),
        "docker compose logs --tail 100 worker",
        "admin:avatar_sessions_streamingsession_live",
    ),
    Check.PROVIDER: Advice(
        _("New conversations may fail, and open sessions are not compared with the provider’s list."),
        _("“Check connection” on the account’s page shows which call fails, and why."),
        page="admin:avatars_provideraccount_change",
    ),
    Check.CATALOGUE_SYNC: Advice(
        _("Avatars and voices that the provider removed are still offered."),
        _("Sync the catalogue on the account’s page, which shows why a sync failed."),
        page="admin:avatars_provideraccount_change",
    ),
    Check.INTEGRITY_CHECK: Advice(
        _("Changes to the record would go unnoticed."),
        _("Verify it now. If it ends with an error, the error says why the nightly check failed, too."),
        "docker compose exec worker python manage.py verify_history",
        "admin:avatar_sessions_historycheck_changelist",
    ),
    Check.BACKUP: Advice(
        _("What was stored since the last backup would be lost with the disk."),
        _("The log of the backup says why it failed."),
        "docker compose logs --tail 100 backup",
    ),
}
FAULTS_FOUND = Advice(
    _("Rows of the record are not as they were stored."),
    _("Open the integrity check, which names each row."),
    page="admin:avatar_sessions_historycheck_changelist",
)


def problem(check: Check, reading: Reading) -> str:
    """Return what is wrong as a sentence in the active language."""
    assert reading.cause
    if reading.cause == Cause.FAULTS:
        words = ngettext(
            "The last integrity check found %(count)d problem.",
            "The last integrity check found %(count)d problems.",
            reading.faults,
        )
        return words % {"count": reading.faults}
    values = {"age": readable_duration(reading.age), "account": reading.account_id}
    return str(PROBLEMS[check, reading.cause]) % values


def advice(check: Check, cause: Cause) -> Advice:
    return FAULTS_FOUND if cause == Cause.FAULTS else ADVICE[check]


def page_path(check: Check, cause: Cause, account_id: int | None) -> str:
    """Return the path of the admin page that helps: the start page if no other does."""
    name = advice(check, cause).page or "admin:index"
    return reverse(name, args=[account_id] if name.endswith("_change") else [])


def status(reading: Reading) -> str:
    """Return a few words about a check that does not fail: when it was last done."""
    if reading.is_starting:
        return gettext("starting")
    return readable_duration(reading.age)
