"""Messages to the team: read by those who answer them, marked as handled, and erased with the conversation."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from heygen_portal.people.access import roles
from sessions.lifecycle import transitions
from sessions.models import EndReason, Erasure, StaffMessage
from sessions.retention import erasure
from tests.support.factories import WHY, StreamingSessionFactory, UserFactory, sync_roles
from tests.support.messages import CONTACT, left_message

pytestmark = pytest.mark.django_db
TEXT = "My key does not open <room> 12.\nCall me."


@pytest.fixture
def operator(client: Client) -> Client:
    sync_roles()
    user = UserFactory.create(is_staff=True, username="olga")
    user.groups.add(Group.objects.get(name=roles.OPERATOR.group))
    client.force_login(user)
    return client


def test_a_message_is_read_handled_and_erased_with_its_conversation(operator: Client) -> None:
    session = StreamingSessionFactory.create()
    message = left_message(session, TEXT)
    english = {"accept-language": "en"}
    shown = reverse("admin:avatar_sessions_staffmessage_change", args=[message.pk])
    page = operator.get(shown, headers=english).content.decode()
    assert CONTACT in page
    assert "My key does not open &lt;room&gt; 12.<br>Call me." in page
    assert str(session.pk) in page
    change = reverse("admin:avatar_sessions_staffmessage_change_state", args=[message.pk])
    for handled_by in ("olga", None):
        operator.post(change, {"_form_submitted": "on"})
        row = StaffMessage.objects.select_related("handled_by").get()
        assert (row.handled_by and row.handled_by.username, bool(row.handled_at)) == (handled_by, bool(handled_by))
    listed = operator.get(reverse("admin:avatar_sessions_staffmessage_changelist"), headers=english).content.decode()
    assert "new" in listed
    assert "My key" not in listed

    transitions.begin_stop(session, EndReason.USER_STOPPED, WHY)
    transitions.end(session)
    assert erasure.erase(session.pk, Erasure.Cause.PERSON)
    page = operator.get(shown, headers=english).content.decode()
    assert CONTACT not in page
    assert "My key" not in page
    assert "erased" in page
