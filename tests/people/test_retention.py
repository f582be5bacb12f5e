"""Sign-in logs and expired login sessions are deleted."""

from __future__ import annotations

from datetime import timedelta

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.sessions.models import Session
from django.core.checks import run_checks
from django.test import Client, override_settings
from django.utils import timezone

from heygen_portal.celery import app
from heygen_portal.people.sign_in import retention
from heygen_portal.trail import audit_log
from heygen_portal.trail.models import AuditEntry
from tests.support.factories import EndUserFactory

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def failed_sign_in(client: Client, name: str) -> None:
    client.post("/accounts/login/", {"login": name, "password": "wrong"}, headers={"user-agent": name})


def test_sign_ins_are_deleted_once_they_are_older_than_the_setting(client: Client) -> None:
    EndUserFactory.create(username="nora").set_password("wj3-longer-than-most")
    client.force_login(EndUserFactory.create(username="ines"))
    failed_sign_in(Client(), "stranger")
    assert AccessAttempt.objects.filter(username="stranger").exists()
    AccessLog.objects.create(username="ines", ip_address="192.0.2.7", user_agent="x", path_info="/")
    with override_settings(SIGN_IN_LOG_DAYS=30):
        retention.delete_old(NOW + timedelta(days=29))
        assert AccessAttempt.objects.count() == 1
        assert AccessLog.objects.exists()
        retention.delete_old(NOW + timedelta(days=31))
    assert not AccessAttempt.objects.exists()
    assert not AccessLog.objects.exists()


def test_more_rows_than_one_transaction_holds_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_PER_DELETE", 2)
    AccessLog.objects.bulk_create(AccessLog(username=f"n{n}", user_agent="x", path_info="/") for n in range(5))
    assert retention.delete_old(NOW + timedelta(days=365)) == 5


def test_login_sessions_are_deleted_once_they_have_expired(client: Client) -> None:
    client.force_login(EndUserFactory.create())
    retention.delete_old(NOW)
    assert Session.objects.count() == 1
    retention.delete_old(NOW + timedelta(days=15))
    assert not Session.objects.exists()


def test_addresses_in_the_audit_log_are_kept() -> None:
    audit_log.record_by(None, "192.0.2.7", AuditEntry.Kind.JOINED, "ines")
    retention.delete_old(NOW + timedelta(days=3650))
    assert AuditEntry.objects.get().address == "192.0.2.7"
    assert audit_log.check()[1] is None


def test_the_job_is_run_each_night() -> None:
    app.loader.import_default_modules()  # as a worker does when it starts
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)
    assert "heygen_portal.tasks.forget_sign_ins" in app.tasks


@pytest.mark.parametrize(("setting", "value"), [("SIGN_IN_LOG_DAYS", 0), ("PRIVACY_NOTICE_URL", "javascript:alert(1)")])
def test_an_invalid_setting_is_reported(setting: str, value: object) -> None:
    with override_settings(**{setting: value}):
        assert [setting in message.msg for message in run_checks(tags=["security"])].count(True) == 1
