"""Costs, quotas, exports, users, invitations, knowledge bases and videos, as the admin's pages serve them."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from unittest.mock import AsyncMock, Mock

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone

from heygen_portal import providers
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.providers.contract.provider import Provider
from heygen_portal.trail.models import AuditEntry
from sessions import tasks
from sessions.exports import list_export
from sessions.models import Export, Quota, SessionTotal
from tests.support.api import client_of
from tests.support.factories import (
    AvatarFactory,
    KnowledgeBaseFactory,
    StreamingSessionFactory,
    UserFactory,
    VoiceFactory,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def test_costs_of_a_month_and_of_a_session() -> None:
    def book() -> str:
        session = StreamingSessionFactory.create(status="ended")
        account, persona = session.account, session.persona
        day = timezone.now().date()
        SessionTotal.objects.create(
            session=session,
            account=account,
            persona=persona,
            day=day,
            time=timedelta(minutes=1),
            estimated=Decimal("0.5"),
        )
        return str(session.pk)

    session_id = await sync_to_async(book)()
    async with client_of(roles.OPERATOR, Scope.COSTS_READ) as (api, _owner):
        cost = (await api.get(f"sessions/{session_id}/cost")).json()
        assert (cost["seconds"], cost["credits"], cost["provider_credits"]) == (60.0, 0.5, None)
        month = (await api.get("costs/2026-01")).json()
        assert (month["month"], len(month["days"]), month["total"]["sessions"]) == ("2026-01", 31, 0)
        assert (await api.get("costs/2026-13")).status_code == 422


async def test_quotas_are_set_changed_and_deleted_on_record() -> None:
    person = await sync_to_async(UserFactory.create)()
    async with client_of(roles.ADMINISTRATOR, Scope.QUOTAS_READ, Scope.QUOTAS_WRITE) as (api, owner):
        body = {"user": person.pk, "minutes_per_month": 30}
        created = await api.post("quotas", json=body)
        assert created.status_code == 201
        assert (await api.post("quotas", json=body)).json()["code"] == "quota_refused"
        assert (await api.post("quotas", json={"minutes_per_month": 5})).json()["code"] == "quota_refused"
        address = f"quotas/{created.json()['id']}"
        changed = (await api.put(address, json={"duration_limit_seconds": 600})).json()
        assert (changed["duration_limit_seconds"], changed["minutes_per_month"]) == (600, None)
        assert [row["user"] for row in (await api.get("quotas")).json()["items"]] == [person.pk]
        assert (await api.delete(address)).status_code == 204
        assert (await api.delete(address)).status_code == 404
    assert not await Quota.objects.aexists()
    entries = AuditEntry.objects.filter(kind=AuditEntry.Kind.QUOTA_CHANGED)
    assert [entry.by_id async for entry in entries] == [owner.pk] * 3


async def test_an_export_is_written_to_a_file_that_only_its_owner_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.write_export, "delay", Mock())
    session = await sync_to_async(StreamingSessionFactory.create)(status="ended")
    async with client_of(roles.AUDITOR, Scope.RECORDS_EXPORT) as (api, owner):
        assert (await api.post("exports", json={"what": "lines"})).json()["code"] == "reason_needed"
        body = {"what": "sessions", "format": "csv", "status": "ended", "persona": "nobody"}
        assert (await api.post("exports", json=body)).status_code == 404
        body["persona"] = session.persona.slug
        export = (await api.post("exports", json=body)).json()
        assert export["state"] == "waiting"
        assert (await api.get(f"exports/{export['id']}/file")).json()["code"] == "export_not_ready"
        assert not await sync_to_async(list_export.continue_writing)((await Export.objects.aget()).pk, 5)
        assert (await api.get(f"exports/{export['id']}")).json()["state"] == "ready"
        file = await api.get(f"exports/{export['id']}/file")
        assert str(session.pk) in file.text
        async with client_of(roles.AUDITOR, Scope.RECORDS_EXPORT) as (other, _other):
            assert (await other.get(f"exports/{export['id']}/file")).status_code == 404
    entry = await AuditEntry.objects.aget(kind=AuditEntry.Kind.EXPORTED)
    assert entry.by_id == owner.pk


async def test_users_are_listed_and_invited() -> None:
    async with client_of(roles.ADMINISTRATOR, Scope.USERS_READ, Scope.USERS_INVITE) as (api, owner):
        assert (await api.get(f"users/{owner.pk}")).json()["roles"] == ["administrator"]
        assert owner.pk in [row["id"] for row in (await api.get("users", params={"is_active": True})).json()["items"]]
        sent = await api.post("invitations", json={"email": "ines@example.org", "role": "editor"})
        assert sent.status_code == 201
        assert "/accounts/invitation/" in sent.json()["link"]
        assert (await api.get("invitations")).json()["items"][0]["role"] == "editor"
        withdrawn = await api.post(f"invitations/{sent.json()['id']}/withdraw")
        assert withdrawn.json()["revoked_at"]
        await sync_to_async(User.objects.create_user)("taken@example.org")
        refused = await api.post("invitations", json={"email": "taken@example.org", "role": "editor"})
        assert refused.json()["code"] == "invitation_refused"


async def test_a_knowledge_base_is_saved_at_the_provider_and_never_over_another_editors_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = Mock(spec=Provider)
    provider.update_knowledge_base = AsyncMock()
    monkeypatch.setattr(providers, "for_account", lambda account: provider)
    monkeypatch.setattr("avatars.knowledge.versions.store_at_provider", Mock())
    base = await sync_to_async(KnowledgeBaseFactory.create)()
    async with client_of(roles.EDITOR, Scope.KNOWLEDGE_READ, Scope.KNOWLEDGE_WRITE) as (api, owner):
        assert [row["id"] for row in (await api.get("knowledge-bases")).json()["items"]] == [base.pk]
        body = {"name": "Recepción", "opening": "", "prompt": "Sé breve.", "version": 0}
        saved = (await api.put(f"knowledge-bases/{base.pk}", json=body)).json()
        assert (saved["version"], saved["prompt"]) == (1, "Sé breve.")
        conflict = await api.put(f"knowledge-bases/{base.pk}", json=body)
        assert (conflict.status_code, conflict.json()["code"], conflict.json()["version"]) == (
            409,
            "version_conflict",
            1,
        )
    entry = await AuditEntry.objects.aget(kind=AuditEntry.Kind.KNOWLEDGE_SAVED)
    assert entry.by_id == owner.pk


async def test_a_video_is_ordered_once_and_only_if_it_is_possible() -> None:
    avatar = await sync_to_async(AvatarFactory.create)()
    voice = await sync_to_async(VoiceFactory.create)(account=avatar.account)
    foreign = await sync_to_async(VoiceFactory.create)()
    async with client_of(roles.EDITOR, Scope.VIDEOS_READ, Scope.VIDEOS_ORDER) as (api, _owner):
        body = {"title": "Welcome", "text": "Hola", "avatar": avatar.pk, "voice": voice.pk}
        refused = await api.post("videos", json=body | {"voice": foreign.pk})
        assert (refused.status_code, refused.json()["code"]) == (409, "video_refused")
        headers = {"Idempotency-Key": "video 1"}
        ordered = [(await api.post("videos", json=body, headers=headers)).json() for _ in range(2)]
        assert ordered[0] == ordered[1]
        assert [row["status"] for row in (await api.get("videos")).json()["items"]] == ["waiting"]
        assert (await api.get(f"videos/{ordered[0]['id']}/file")).status_code == 404
