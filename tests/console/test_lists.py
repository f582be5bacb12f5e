"""The number of queries of admin lists does not grow with the rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from avatars.models import (
    Avatar,
    HttpTool,
    KnowledgeBase,
    Library,
    ModelService,
    Persona,
    ProviderAccount,
    Video,
    Voice,
)
from heygen_portal.models import ApiKey, Invitation, Organisation, Webhook, WebhookDelivery
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys import keys
from heygen_portal.trail import audit_log
from heygen_portal.trail.change_log import SERVER
from heygen_portal.trail.models import AuditEntry
from heygen_portal.webhooks import changes
from sessions.costs import ledger
from sessions.models import (
    Erasure,
    Export,
    HistoryCheck,
    Incident,
    LegalHold,
    QueueEntry,
    Quota,
    ServerProcess,
    SessionTotal,
    StaffMessage,
    Status,
    StreamingSession,
)
from tests.support import factories
from tests.support.messages import left_message

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def ended_session() -> StreamingSession:
    session: StreamingSession = factories.StreamingSessionFactory.create(status=Status.ENDED)
    return session


def person() -> User:
    user: User = factories.EndUserFactory.create()
    return user


def queue_entry() -> QueueEntry:
    process = ServerProcess.objects.create(lease_ends_at=NOW)
    persona = factories.PersonaFactory.create(published=True)
    whose = {"user": person(), "account": persona.avatar.account}
    return QueueEntry.objects.create(**whose, persona=persona, process=process, channel=uuid4().hex)


def invitation() -> Invitation:
    group, until = Group.objects.get(name=roles.OPERATOR.group), NOW + timedelta(days=1)
    return Invitation.objects.create(email=f"{uuid4()}@example.org", group=group, invited_by=person(), expires_at=until)


def incident() -> Incident:
    times = ("first_failed_at", "last_failed_at", "opened_at", "over_at")
    return Incident.objects.create(check_name="worker", cause="never", **dict.fromkeys(times, NOW))


def webhook() -> Webhook:
    made = Webhook(name=uuid4().hex, url="https://crm.example.com/", events=["session.ended"])
    changes.create(SERVER, made)
    return made


def total() -> None:
    ended_session()
    ledger.book_all()


FACTORIES: dict[type[Model], Callable[[], Any]] = {
    User: person,
    Group: lambda: Group.objects.create(name=uuid4().hex),
    AuditEntry: lambda: audit_log.record_by(person().pk, None, AuditEntry.Kind.PASSWORD_SET, "somebody"),
    Invitation: invitation,
    ApiKey: lambda: keys.create(factories.ApiKeyFactory.build(owner=(owner := person()), created_by=owner), SERVER),
    Organisation: lambda: Organisation.objects.create(name=uuid4().hex),
    Avatar: factories.AvatarFactory.create,
    Voice: factories.VoiceFactory.create,
    KnowledgeBase: factories.KnowledgeBaseFactory.create,
    Persona: lambda: factories.PersonaFactory.create(published=True),
    Video: factories.VideoFactory.create,
    ProviderAccount: factories.ProviderAccountFactory.create,
    ModelService: factories.ModelServiceFactory.create,
    HttpTool: factories.HttpToolFactory.create,
    Library: lambda: Library.objects.create(name=uuid4().hex),
    StreamingSession: factories.StreamingSessionFactory.create,
    SessionTotal: total,
    QueueEntry: queue_entry,
    Quota: lambda: Quota.objects.create(user=person()),
    Export: lambda: Export.objects.create(
        asked_by=person(), what="record", format="json", state="sent", session=ended_session()
    ),
    HistoryCheck: HistoryCheck.objects.create,
    Incident: incident,
    StaffMessage: lambda: left_message(factories.StreamingSessionFactory.create()),
    Webhook: webhook,
    WebhookDelivery: lambda: changes.send_test(webhook()),
    LegalHold: lambda: LegalHold.objects.create(session=ended_session(), reason="A claim", by=person()),
    Erasure: lambda: Erasure.objects.create(session=ended_session(), cause="staff", by=person(), lines=1, hash="-"),
}
"""Factories of one more row for each list. A list without one fails the test below."""


@pytest.fixture(autouse=True)
def groups() -> None:
    roles.sync()


def test_every_admin_list_has_a_test_row() -> None:
    assert set(FACTORIES) == set(admin.site._registry)


@pytest.mark.daily(8)
@pytest.mark.parametrize("model", FACTORIES, ids=lambda model: model.__name__)
def test_a_lists_query_count_does_not_grow_with_its_rows(admin_client: Client, model: type[Model]) -> None:
    page = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    asked = []
    FACTORIES[model]()
    admin_client.get(page)  # fill caches, such as that of content types
    for more in (2, 10):
        for _ in range(more):
            FACTORIES[model]()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            answer: Any = admin_client.get(page)
        assert answer.context["cl"].result_count >= more
        asked.append(len(queries))
    assert asked[0] == asked[1], "\n".join(query["sql"] for query in queries.captured_queries)
