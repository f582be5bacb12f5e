"""What is wrong, what follows from it, and what to do, for the panel, mail and `/health/work`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from heygen_portal.permissions import Permission
from sessions.health.readings import Cause, Reading
from sessions.models import Check

PROBLEMS: dict[tuple[Check, Cause], Promise] = {
    (Check.REDIS, Cause.NO_ANSWER): _("Redis does not answer."),
    (Check.WEB, Cause.LATE): _("No web process has answered for %(age)s."),
    (Check.WEB, Cause.NEVER): _("No web process is running."),
    (Check.BEAT, Cause.LATE): _("The scheduler (beat) has not worked for %(age)s."),
    (Check.BEAT, Cause.NEVER): _("The scheduler (beat) is not running."),
    (Check.LIMITS, Cause.LATE): _("No worker has enforced the limits for %(age)s."),
    (Check.LIMITS, Cause.NEVER): _("No worker enforces the limits."),
    (Check.WORKER, Cause.LATE): _("No worker has handled other jobs for %(age)s."),
    (Check.WORKER, Cause.NEVER): _("No worker is running."),
    (Check.DEADLINES, Cause.LATE): _("A session’s deadline has been overdue for %(age)s."),
    (Check.PROVIDER, Cause.LATE): _("The provider of account %(account)s has not answered for %(age)s."),
    (Check.PROVIDER, Cause.NEVER): _("The provider of account %(account)s does not answer."),
    (Check.CATALOGUE_SYNC, Cause.LATE): _("The catalogue of account %(account)s was not synced for %(age)s."),
    (Check.CATALOGUE_SYNC, Cause.NEVER): _("The catalogue of account %(account)s was never synced."),
    (Check.INTEGRITY_CHECK, Cause.LATE): _("The record was not verified for %(age)s."),
    (Check.INTEGRITY_CHECK, Cause.NEVER): _("The record was never verified."),
    (Check.ROWS, Cause.UNREADABLE): _("Rows of the database cannot be read. The last one was met %(age)s ago."),
    (Check.WEBHOOKS, Cause.LATE): _("Messages for webhooks have not been sent for %(age)s."),
    (Check.BACKUP, Cause.LATE): _("No backup was made for %(age)s."),
    (Check.BACKUP, Cause.NEVER): _("No backup was made yet."),
}


@dataclass(frozen=True)
class Advice:
    """What a failing check leads to, and what to do.

    `command` is for the server. `page` is the name of an admin page, for users with `permission`.
    """

    consequence: str | Promise
    remedy: str | Promise
    command: str = ""
    page: str = ""
    permission: str = ""


ADVICE: dict[Check, Advice] = {
    Check.REDIS: Advice(
        _("Pages reconnect, and limits are enforced late."),
        _("Start Redis (Valkey) again, and check that REDIS_URL leads to it."),
        "docker compose restart valkey",
    ),
    Check.WEB: Advice(
        _("People cannot open the portal. Conversations without a page end after the grace period."),
        _("Start the web processes again. Their log says why they ended."),
        "docker compose restart web",
    ),
    Check.BEAT: Advice(
        _("Limits are enforced late, and nightly jobs do not start."),
        _("Start beat again. Its log says why it ended."),
        "docker compose restart beat",
    ),
    Check.LIMITS: Advice(
        _("Conversations continue. The web processes enforce limits meanwhile, some seconds later."),
        _("Start the worker of the queue “limits” again. Its log says why it ended."),
        "docker compose restart limits",
    ),
    Check.WORKER: Advice(
        _("Conversations continue. Costs are not booked; exports and nightly jobs wait."),
        _("Start the worker again. Its log says why it ended."),
        "docker compose restart worker",
    ),
    Check.DEADLINES: Advice(
        _("Sessions run longer than they may, and cost more."),
        _("Look for sessions that do not stop. The worker’s log says what the provider answers."),
        "docker compose logs --tail 100 limits",
        "admin:avatar_sessions_streamingsession_live",
        Permission.VIEW_SESSION,
    ),
    Check.PROVIDER: Advice(
        _("New conversations may fail, and open sessions are not compared with the provider’s list."),
        _("“Check connection” on the account’s page shows which call fails, and why."),
        page="admin:avatars_provideraccount_change",
        permission=Permission.VIEW_ACCOUNT,
    ),
    Check.CATALOGUE_SYNC: Advice(
        _("Avatars and voices that the provider removed are still offered."),
        _("Sync the catalogue on the account’s page, which shows why a sync failed."),
        page="admin:avatars_provideraccount_change",
        permission=Permission.VIEW_ACCOUNT,
    ),
    Check.INTEGRITY_CHECK: Advice(
        _("Changes to the record would go unnoticed."),
        _("Verify it now. If it ends with an error, the error says why the nightly check failed, too."),
        "docker compose exec worker python manage.py verify_history",
        "admin:avatar_sessions_historycheck_changelist",
        Permission.VIEW_INTEGRITY_CHECK,
    ),
    Check.ROWS: Advice(
        _("Jobs leave these rows out: their sessions, alerts or erasures are not handled."),
        _("The logs name each row. If the database was not changed on purpose, verify the record, too."),
        "docker compose logs --since 1h | grep 'could not be read'",
        "admin:avatar_sessions_historycheck_changelist",
        Permission.VIEW_INTEGRITY_CHECK,
    ),
    Check.WEBHOOKS: Advice(
        _("Other systems are not told what happens here. Nothing is lost: messages are kept for three days."),
        _("Start the worker again. If it runs, its log says why it sends nothing."),
        "docker compose logs --tail 100 worker",
        "admin:heygen_portal_webhook_changelist",
        Permission.VIEW_WEBHOOK,
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
    permission=Permission.VIEW_INTEGRITY_CHECK,
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
    values = {"age": rounded(reading.age or timedelta(0)), "account": reading.account_id}
    return str(PROBLEMS[check, reading.cause]) % values


def advice(check: Check, cause: Cause) -> Advice:
    return FAULTS_FOUND if cause == Cause.FAULTS else ADVICE[check]


def page_path(check: Check, reading: Reading) -> str:
    """Return the path of the admin page that helps, or an empty string."""
    assert reading.cause
    name = advice(check, reading.cause).page
    return reverse(name, args=[reading.account_id] if name.endswith("_change") else []) if name else ""


def status(check: Check, reading: Reading) -> str:
    """Return in a few words when something was last done, or what is found instead."""
    if reading.cause == Cause.FAULTS:
        return ngettext("%(count)d problem", "%(count)d problems", reading.faults) % {"count": reading.faults}
    if reading.is_starting:
        return gettext("starting")
    if check == Check.ROWS and not reading.cause:
        return gettext("all readable")
    if reading.age is None:
        return gettext("never") if reading.cause else gettext("not due yet")
    if check == Check.DEADLINES:
        return gettext("overdue for %(age)s") % {"age": rounded(reading.age)} if reading.age else gettext("all kept")
    if check == Check.WEBHOOKS:
        return gettext("waiting for %(age)s") % {"age": rounded(reading.age)} if reading.age else gettext("all sent")
    return gettext("%(age)s ago") % {"age": rounded(reading.age)}


def rounded(age: timedelta) -> str:
    """Return an age as "3 s", "3 min", "3 h" or "3 days"."""
    minutes = age.total_seconds() / 60
    if minutes < 2:
        return gettext("%(count)d s") % {"count": round(age.total_seconds())}
    if minutes < 120:
        return gettext("%(count)d min") % {"count": round(minutes)}
    if minutes < 48 * 60:
        return gettext("%(count)d h") % {"count": round(minutes / 60)}
    return gettext("%(count)d days") % {"count": round(minutes / 60 / 24)}
