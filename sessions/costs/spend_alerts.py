"""Alerts when an account has spent a share of its monthly cap.

Staff get a mail, and the dashboard shows a note.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from smtplib import SMTPException

from django.core.mail import send_mail
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _

from avatars.models import ProviderAccount
from heygen_portal.branding.current import current
from heygen_portal.models import EventType
from heygen_portal.people.mail import holders, outgoing
from heygen_portal.people.preferences import time_zones
from heygen_portal.permissions import Permission
from heygen_portal.runtime.jobs import each_row
from heygen_portal.runtime.text import bidi
from heygen_portal.webhooks import outbox
from heygen_portal.webhooks.outbox import Notice
from sessions.capacity import quotas
from sessions.capacity.quotas import Spending
from sessions.models import SpendAlarm

logger = logging.getLogger(__name__)

# Percent. A second alert is sent when the cap itself is reached.
CAP_PERCENT = 100
# Alerts go to people who may change the cap.
ALERT_PERMISSION = Permission.CHANGE_ACCOUNT


@dataclass(frozen=True)
class CappedAccount:
    """An account with a monthly cap, and what it has spent this month."""

    account: ProviderAccount
    spending: Spending

    @property
    def percent(self) -> int:
        assert self.account.monthly_cap is not None
        return int(100 * self.spending.spent / self.account.monthly_cap) if self.account.monthly_cap else CAP_PERCENT

    @property
    def is_over_alarm_share(self) -> bool:
        return self.percent >= self.account.alarm_share


def capped_accounts(now: datetime) -> list[CappedAccount]:
    """Return the accounts with a cap, the one closest to its cap first.

    An account whose row cannot be read, or whose spending cannot be computed, is logged and left out. Four queries.
    """
    accounts = each_row.readable(ProviderAccount.objects.exclude(monthly_cap=None))
    spent = quotas.spendings(accounts, now)
    rows = (CappedAccount(account, spent[account.pk]) for account in accounts if account.pk in spent)
    return sorted(rows, key=lambda row: row.percent, reverse=True)


def raise_alerts(now: datetime) -> None:
    """Store the alerts that are due, and send mails that are pending.

    Idempotent, and safe to run concurrently.
    """
    month = quotas.month_of(now).date()
    rows = capped_accounts(now)
    due: list[SpendAlarm] = []
    for row in rows:
        with each_row.log_failure(f"account {row.account.pk}: its spending could not be compared with its cap"):
            shares = {row.account.alarm_share, CAP_PERCENT}
            due += [
                SpendAlarm(account=row.account, month=month, share=share, at=now)
                for share in shares
                if row.percent >= share
            ]
    by_account = {row.account.pk: row for row in rows}
    known = set(SpendAlarm.objects.filter(month=month).values_list("account", "share"))
    for alarm in due:
        if (alarm.account_id, alarm.share) not in known:
            _raise(alarm, by_account[alarm.account_id])
    for alarm in SpendAlarm.objects.filter(month=month, mailed_at=None, account__in=by_account):
        # The process that marks an alert sends its mail. If that fails, it removes the mark for the next run.
        with each_row.log_failure(f"account {alarm.account_id}: its alert could not be sent"):
            if SpendAlarm.objects.filter(pk=alarm.pk, mailed_at=None).update(mailed_at=now):
                _mail(alarm, by_account[alarm.account_id])


def _raise(alarm: SpendAlarm, row: CappedAccount) -> None:
    """Store an alert and tell webhooks, unless another process has just done so."""
    with transaction.atomic():
        _stored, is_new = SpendAlarm.objects.get_or_create(
            account=alarm.account, month=alarm.month, share=alarm.share, defaults={"at": alarm.at}
        )
        if is_new:
            outbox.write(EventType.SPENDING_ALARM, lambda: _notice(alarm, row))


def _notice(alarm: SpendAlarm, row: CappedAccount) -> Notice:
    data = {
        "account": row.account.pk,
        "account_name": row.account.name,
        "month": f"{alarm.month:%Y-%m}",
        "share": alarm.share,
        "spent": f"{row.spending.spent:.2f}",
        "cap": f"{row.account.monthly_cap:.2f}",
        "is_cap_reached": alarm.share >= CAP_PERCENT,
    }
    return Notice(EventType.SPENDING_ALARM, data)


def _mail(alarm: SpendAlarm, row: CappedAccount) -> None:
    addresses, who = holders.addresses(ALERT_PERMISSION), (row.account.pk, row.percent)
    if not addresses:
        logger.warning("account %s has spent %s %% of its cap, but no account manager has a mail address", *who)
        return
    with translation.override(current().default_language):
        figures = {
            "account": bidi.isolated(str(row.account)),
            "percent": row.percent,
            "spent": row.spending.spent,
            "cap": row.account.monthly_cap,
        }
        subject = _("%(account)s has spent %(percent)d %% of its monthly cap") % figures
        summary = _("%(spent).2f of %(cap).2f credits have been spent this month on the account %(account)s.") % figures
        months = _("Days and months are counted in %(zone)s.") % {"zone": time_zones.portal_label()}
        consequence = _("At the cap, no new sessions start on this account, and running sessions are ended in time.")
        try:
            send_mail(outgoing.subject(subject), f"{summary}\n{consequence}\n{months}\n", outgoing.sender(), addresses)
        except (SMTPException, OSError):
            logger.exception("the alert for account %s could not be mailed; the next run tries again", row.account.pk)
            SpendAlarm.objects.filter(pk=alarm.pk).update(mailed_at=None)
