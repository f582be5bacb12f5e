"""A transcript search needs permission and a recorded reason."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from heygen_portal.people.access import roles
from heygen_portal.trail.models import AuditEntry
from sessions.exports import list_export
from sessions.models import Export, StreamingSession
from tests.support.factories import EndUserFactory, StreamingSessionFactory

pytestmark = pytest.mark.django_db

LIST, SEARCH = "/admin/avatar_sessions/streamingsession/", "/admin/avatar_sessions/streamingsession/search/"
WHY = "Reclamación 2026-118"
SECRET = "Su Número de póliza es 4711"


def sign_in(role: roles.Role, name: str = "") -> tuple[Client, User]:
    roles.sync()
    client, user = Client(), User.objects.create_user(name or role.group, is_staff=role.is_staff)
    user.groups.add(Group.objects.get(name=role.group))
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client, user


@pytest.fixture
def wanted() -> StreamingSession:
    made: StreamingSession = StreamingSessionFactory.create()
    made.utterances.create(who="avatar", by="voice", text=SECRET, source="provider")
    StreamingSessionFactory.create().utterances.create(who="user", by="text", text="Hola", source="portal")
    return made


def listed(client: Client, **parameters: Any) -> set[StreamingSession]:
    return set(client.get(LIST, parameters).context["cl"].queryset)


@pytest.mark.parametrize("role", [roles.OPERATOR, roles.AUDITOR, roles.ADMINISTRATOR], ids=lambda role: role.group)
def test_the_lists_search_covers_names_but_not_transcripts(wanted: StreamingSession, role: roles.Role) -> None:
    client, _ = sign_in(role)
    assert listed(client, q="poliza") == set()
    assert listed(client, q=wanted.owner_name) == {wanted}
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("role", [roles.AUDITOR, roles.ADMINISTRATOR], ids=lambda role: role.group)
def test_a_transcript_search_needs_a_reason_and_is_recorded(wanted: StreamingSession, role: roles.Role) -> None:
    """Complaint 17: whole words and prefixes match regardless of accents and case."""
    client, user = sign_in(role)
    assert "Reason for the search" in client.get(SEARCH, headers={"accept-language": "en"}).content.decode()
    for reason in ("", "x"):
        assert client.post(SEARCH, {"words": "poliza", "reason": reason}).status_code == 200
    assert not AuditEntry.objects.exists()
    for words, finds in (("numero", True), ("POLI num", True), ("poliza hola", False), ("invoice", False)):
        answer = client.post(SEARCH, {"words": words, "reason": WHY}, REMOTE_ADDR="192.0.2.18", follow=True)
        assert set(answer.context["cl"].queryset) == ({wanted} if finds else set()), words
        assert SECRET not in answer.content.decode()
        entry = AuditEntry.objects.latest("number")
        assert (entry.kind, entry.by, entry.address) == ("searched", user, "192.0.2.18")
        assert entry.data == {"words": words, "reason": WHY}


@pytest.mark.parametrize("role", [roles.END_USER, roles.EDITOR, roles.OPERATOR], ids=lambda role: role.group)
def test_a_transcript_search_needs_permission(wanted: StreamingSession, role: roles.Role) -> None:
    auditor, _ = sign_in(roles.AUDITOR)
    auditor.post(SEARCH, {"words": "poliza", "reason": WHY})
    (search,) = AuditEntry.objects.all()
    client, _ = sign_in(role)
    assert client.post(SEARCH, {"words": "poliza", "reason": WHY}).status_code in (302, 403, 404)
    assert AuditEntry.objects.count() == 1
    if role is roles.OPERATOR:
        assert listed(client, said=search.number) == set()


def test_an_auditor_cannot_use_another_auditors_search(wanted: StreamingSession) -> None:
    first, _ = sign_in(roles.AUDITOR)
    other, _ = sign_in(roles.AUDITOR, "another")
    first.post(SEARCH, {"words": "poliza", "reason": WHY})
    (search,) = AuditEntry.objects.all()
    assert listed(first, said=search.number) == {wanted}
    for number in (search.number, search.number + 1, "x"):
        assert listed(other, said=number) == set()
    new = f"/admin/avatar_sessions/export/new/?said={search.number}"
    taken = {"what": "sessions", "format": "csv"}
    assert other.post(new, taken).status_code == 302
    assert not Export.objects.exists()
    assert first.post(new, taken).status_code == 200
    assert set(list_export._rows(Export.objects.get())) == {wanted}


def test_a_person_searches_only_their_own_conversations(wanted: StreamingSession) -> None:
    client, person = Client(), EndUserFactory.create()
    own = StreamingSessionFactory.create(user=person)
    own.utterances.create(who="user", by="text", text="Mi póliza", source="portal")
    client.force_login(person)
    found = client.get("/conversations/", {"q": "poliza"}).content.decode()
    assert str(own.pk) in found
    assert str(wanted.pk) not in found
