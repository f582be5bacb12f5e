"""Limits in the admin: whose binds, what people may use, and who waits."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from sessions import presence, queue
from sessions.models import Allowance, LimitBy, QueuePlace
from tests.factories import PersonaFactory, StreamingSessionFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("announced")]

ALLOWANCES = "/admin/avatar_sessions/allowance/"
LINE = "/admin/avatar_sessions/queueplace/"


def test_staff_read_in_words_which_limit_binds_a_session(admin_client: Client) -> None:
    """Complaint 19."""
    session = StreamingSessionFactory.create(limit_by=LimitBy.QUOTA, idle_limit_by=LimitBy.GROUP)
    page = admin_client.get(f"/admin/avatar_sessions/streamingsession/{session.pk}/change/").content.decode()
    assert "lo que queda de los minutos del mes" in page
    assert "el del grupo" in page


def test_an_allowance_is_given_to_a_group_and_read_again(admin_client: Client) -> None:
    group = Group.objects.create(name="Customers")
    given = {
        "user": "",
        "group": str(group.pk),
        "duration_limit": "00:05:00",
        "idle_timeout": "",
        "minutes_per_month": 60,
    }
    admin_client.post(f"{ALLOWANCES}add/", given)
    allowance = Allowance.objects.get()
    assert (allowance.group, allowance.minutes_per_month) == (group, 60)
    assert "5 min 00 s" in admin_client.get(ALLOWANCES).content.decode()
    assert admin_client.get(f"{ALLOWANCES}{allowance.pk}/change/").status_code == 200


@pytest.mark.parametrize("wrong", [{}, {"user": True, "group": True}, {"user": True, "duration_limit": "0"}])
def test_an_allowance_that_says_nothing_clear_is_refused(admin_client: Client, wrong: dict[str, object]) -> None:
    whose = {"user": UserFactory.create().pk, "group": Group.objects.create(name="Customers").pk}
    given = {name: whose[name] if value is True else value for name, value in wrong.items()}
    response = admin_client.post(f"{ALLOWANCES}add/", given)
    assert response.context["adminform"].form.errors
    assert not Allowance.objects.exists()


def test_staff_see_who_waits_and_take_somebody_out_of_the_line(admin_client: Client) -> None:
    process_id, persona, person = uuid4(), PersonaFactory.create(published=True), UserFactory.create()
    presence.renew(process_id)
    queue.join(person.pk, persona, queue.TabAddress(process_id, "tab"))
    assert person.username in admin_client.get(LINE).content.decode()
    place = QueuePlace.objects.get()
    assert admin_client.get(f"{LINE}{place.pk}/change/").status_code == 200
    admin_client.post(LINE, {"action": "remove", "_selected_action": [place.pk]})
    assert not QueuePlace.objects.exists()
