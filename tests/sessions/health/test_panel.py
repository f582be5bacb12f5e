"""The panel on the admin's start page shows the facts of `/health/work`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.utils import timezone

from heygen_portal.people.access import roles
from heygen_portal.redis import marks
from sessions.health import work
from sessions.models import HistoryCheck
from tests.support.factories import PersonaFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_redis(settings: Any, redis_url: str) -> None:
    settings.REDIS_URL = redis_url
    marks.client.cache_clear()
    marks.client().flushdb()


def start_page(role: roles.Role, language: str = "en") -> str:
    client = Client(headers={"accept-language": language})
    user: User = UserFactory.create(is_staff=True)
    user.groups.add(Group.objects.get(name=role.group))
    client.force_login(user)
    return client.get("/admin/").content.decode()


def has_panel(page: str) -> bool:
    return 'aria-labelledby="health"' in page


def let_the_worker_die() -> None:
    marks.put(mark := marks.of_job("sessions.tasks.enforce_limits"))
    marks.client().pexpire(f"portal-mark:{mark}", timedelta(days=7, minutes=-4))


def test_every_check_is_shown(settings: Any) -> None:
    settings.BACKUP_STAMP_FILE = "/nonexistent"
    PersonaFactory.create(published=True)
    page = start_page(roles.OPERATOR)
    assert has_panel(page)
    for check in work.read(timezone.now()):
        assert f'<b class="text-important">{check.label}</b>' in page


@pytest.mark.parametrize(
    ("language", "problem", "remedy"),
    [
        ("en", "No worker has enforced the limits for 4 min.", "Start the worker of the queue “limits” again."),
        ("es", "Ningún proceso de trabajo (worker) aplica los límites desde hace 4 min.", "Vuelve a iniciar"),
    ],
)
def test_what_is_wrong_and_what_to_do_is_said_in_the_readers_language(language: str, problem: str, remedy: str) -> None:
    let_the_worker_die()
    page = start_page(roles.OPERATOR, language)
    assert problem in page
    assert remedy in page
    assert "docker compose restart limits" in page


@pytest.mark.parametrize(("role", "is_linked"), [(roles.ADMINISTRATOR, True), (roles.OPERATOR, False)])
def test_only_pages_that_the_reader_may_see_are_linked(role: roles.Role, is_linked: bool) -> None:
    HistoryCheck.objects.create(ended_at=timezone.now(), fault_count=2)
    page = start_page(role)
    panel = page[page.index('class="health') : page.index("</section>")]
    assert "The last integrity check found 2 problems." in panel
    assert ("/admin/avatar_sessions/historycheck/" in panel) is is_linked


@pytest.mark.parametrize("role", [roles.EDITOR, roles.AUDITOR])
def test_the_panel_is_for_those_who_run_the_portal(role: roles.Role) -> None:
    assert not has_panel(start_page(role))


def test_the_page_opens_if_the_work_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(now: object) -> None:
        raise ValueError("a damaged row")

    monkeypatch.setattr(work, "read", fail)
    assert "The state of the portal’s work is unknown." in start_page(roles.OPERATOR)
