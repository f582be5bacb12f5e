"""What all operations of the REST API share: keys, limits, errors, pages, ETags, idempotency, and the schema."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import jsonschema
import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from heygen_portal.api import openapi
from heygen_portal.models import ApiKey, IdempotentRequest
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.rest import idempotency
from sessions.api.schemas import TaskOut
from sessions.models import SessionTask, StreamingSession
from tests.sessions.conftest import provider
from tests.support.api import client, client_of, new_secret
from tests.support.factories import PersonaFactory, StreamingSessionFactory

__all__ = ["provider"]
pytestmark = pytest.mark.django_db(transaction=True)

START = (Scope.SESSIONS_START, Scope.SESSIONS_READ)


async def test_a_problem_is_described_in_the_callers_language() -> None:
    titles = {}
    for language in ("en", "es"):
        async with client("hp_live_abcdefgh_no-secret", language) as api:
            refused = await api.get("sessions")
        assert (refused.status_code, refused.headers["Content-Type"]) == (401, "application/problem+json")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        content = refused.json()
        assert (content["status"], content["code"]) == (401, "key_refused")
        assert content["type"] == "urn:heygen-portal:problem:key_refused"
        titles[language] = content["title"]
    assert titles["en"] == "This API key is not valid, or its owner has lost access."
    assert titles["es"].startswith("Esta clave de API no es válida")


async def test_addresses_methods_and_bodies_that_are_wrong_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client_of(roles.END_USER, *START) as (api, _owner):
        json_type = {"Content-Type": "application/json; charset=utf-8"}
        found = [
            await api.get("nothing"),
            await api.patch("sessions"),
            await api.post("sessions", content=b"{", headers=json_type),
            await api.post("sessions", content=b'{"persona": NaN}', headers=json_type),
            await api.post("sessions", content=b'{"persona": 1e999}', headers=json_type),
            await api.post("sessions", content=b"\xff", headers=json_type),
            await api.post("sessions", content=b"[" * 100_000, headers=json_type),
            await api.post("sessions", content=b'"' + b"x" * 1024 * 1024 + b'"', headers=json_type),
            await api.post("sessions", content=b"{}", headers={"Content-Type": "text/plain"}),
            await api.post("sessions", json=[1]),
            await api.post("sessions", json={"persona": "nobody", "wait_seconds": 1.5}),
            await api.post("sessions", content=b'{"persona": "nobody", "wait_seconds": 1.0}', headers=json_type),
            await api.get("sessions", params={"limit": 0}),
            await api.get("sessions", params={"cursor": "bm8"}),
            await api.get("sessions", params={"created_since": "2026-01-01"}),
            await api.get("sessions", params={"created_since": "0.5"}),
            await api.get("sessions", params={"created_since": "0001-01-01T00:00:00+23:59"}),
        ]
        codes = [(answer.status_code, answer.json().get("code", "")) for answer in found]
        invalid = (422, "invalid_request")
        unreadable = (400, "unreadable_body")
        assert codes == [
            (404, "not_found"), (405, "method_not_allowed"), *[unreadable] * 5, (413, "body_too_large"),
            (415, "wrong_content_type"), invalid, invalid, (404, "not_found"), invalid, (404, "invalid_cursor"),
            invalid, invalid, (200, ""),
        ]  # fmt: skip
        assert found[1].headers["Allow"]
        assert [answer.json()["errors"][0]["at"] for answer in (found[10], found[12])] == [
            "body.wait_seconds",
            "query.limit",
        ]
        monkeypatch.setattr("sessions.api.history._sessions", Mock(side_effect=OperationalError("away")))
        assert (await api.get("sessions")).json()["code"] == "storage_away"
        monkeypatch.setattr("sessions.api.history._sessions", Mock(side_effect=RuntimeError("a secret")))
        broken = await api.get("sessions")
        assert (broken.status_code, "a secret" in broken.text) == (500, False)


async def test_a_key_has_its_own_rate_and_each_answer_says_what_is_left() -> None:
    async with client_of(roles.END_USER, *START, per_minute=2) as (api, _owner):
        first = await api.get("quota")
        assert first.headers["RateLimit-Policy"] == '"key";q=2;w=60'
        assert first.headers["RateLimit"].startswith('"key";r=1;t=')
        await api.get("quota")
        refused = await api.get("quota")
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
        assert int(refused.headers["Retry-After"]) == refused.json()["wait_seconds"]


async def test_pages_follow_each_other_without_gaps_while_rows_are_added() -> None:
    async with client_of(roles.END_USER, *START) as (api, owner):
        at = timezone.now()

        def add(count: int) -> list[str]:
            rows = [StreamingSessionFactory.create(user=owner, status="ended", created_at=at) for _ in range(count)]
            return [str(row.pk) for row in rows]

        expected = set(await sync_to_async(add)(5))
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await api.get("sessions", params={"limit": 2, "cursor": cursor})).json()
            seen += [row["id"] for row in page["items"]]
            if not seen[2:]:
                at += timedelta(seconds=1)
                await sync_to_async(add)(1)  # newer: on no later page
            if not (cursor := page["next_cursor"]):
                break
        assert len(seen) == 5
        assert set(seen) == expected


async def test_an_answer_that_the_caller_has_is_not_sent_again() -> None:
    async with client_of(roles.END_USER, *START) as (api, owner):
        first = await api.get("sessions")
        again = await api.get("sessions", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        await sync_to_async(StreamingSessionFactory.create)(user=owner)
        assert (await api.get("sessions", headers={"If-None-Match": first.headers["ETag"]})).status_code == 200


async def test_a_repeated_request_gets_the_same_answer_and_runs_once(provider: Mock) -> None:
    await sync_to_async(PersonaFactory.create)(published=True, slug="lucia")
    async with client_of(roles.END_USER, *START) as (api, _owner):
        send: Any = {"json": {"persona": "lucia"}, "headers": {"Idempotency-Key": "order 1"}}
        first, second = await asyncio.gather(api.post("sessions", **send), api.post("sessions", **send))
        codes = sorted(answer.status_code for answer in (first, second))
        assert codes in ([201, 201], [201, 409])
        created = first if first.status_code == 201 else second
        again = await api.post("sessions", **send)
        assert (again.status_code, again.json()) == (201, created.json())
        assert again.headers["Idempotency-Replayed"] == "true"
        assert provider.new_session.await_count == 1
        stored = await IdempotentRequest.objects.aget()
        assert "room-token" not in stored.answer
        reused = await api.post("sessions", json={"persona": "other"}, headers={"Idempotency-Key": "order 1"})
        assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")

        await api.post(f"sessions/{created.json()['id']}/start")
        for _ in range(2):
            text = {"kind": "repeat", "text": "Hola"}
            await api.post(f"sessions/{created.json()['id']}/tasks", json=text, headers={"Idempotency-Key": "text 1"})
        assert await SessionTask.objects.filter(kind="repeat", sent_by__isnull=False).acount() == 1

        for name in ("", "x" * 256, "ñ".encode()):
            wrong: Any = {"Idempotency-Key": name}
            assert (await api.post("sessions", json={}, headers=wrong)).status_code == 422
    later = timezone.now() + timedelta(days=1, seconds=1)
    await sync_to_async(idempotency.delete_old)(later)
    assert not await IdempotentRequest.objects.aexists()


async def test_a_refused_request_may_be_repeated_and_a_lost_one_is_named(provider: Mock) -> None:
    async with client_of(roles.END_USER, *START) as (api, owner):
        send: Any = {"json": {"persona": "lucia"}, "headers": {"Idempotency-Key": "order 1"}}
        assert (await api.post("sessions", **send)).status_code == 404
        await sync_to_async(PersonaFactory.create)(published=True, slug="lucia")
        assert (await api.post("sessions", **send)).status_code == 201
        # The process died before it stored the answer.
        rows = IdempotentRequest.objects.filter(owner=owner)
        await rows.aupdate(status=None, answer="")
        assert (await api.post("sessions", **send)).json()["code"] == "idempotent_request_in_progress"
        await rows.aupdate(created_at=timezone.now() - timedelta(minutes=3))
        assert (await api.post("sessions", **send)).json()["code"] == "idempotent_request_lost"
        await rows.aupdate(status=201, answer="forged")
        assert (await api.post("sessions", **send)).json()["code"] == "idempotent_request_lost"
        await rows.aupdate(created_at=timezone.now() - timedelta(days=1, minutes=1))
        assert (await api.post("sessions", **send)).json()["code"] == "session_running"  # a day later it runs again
    assert provider.new_session.await_count == 1
    assert await StreamingSession.objects.acount() == 1


async def test_a_text_is_not_sent_again_after_the_database_went_away(
    provider: Mock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did so when the provider had accepted the text already."""
    async with client_of(roles.END_USER, *START) as (api, owner):
        session = await sync_to_async(StreamingSessionFactory.create)(user=owner)
        send: Any = {"json": {"kind": "repeat", "text": "Hola"}, "headers": {"Idempotency-Key": "text 1"}}
        with monkeypatch.context() as away:
            away.setattr(TaskOut, "of", Mock(side_effect=OperationalError("the connection is lost")))
            failed = await api.post(f"sessions/{session.pk}/tasks", **send)
        assert (failed.status_code, failed.json()["code"]) == (503, "storage_away")
        again = await api.post(f"sessions/{session.pk}/tasks", **send)
        assert (again.status_code, again.json()["code"]) == (409, "idempotent_request_in_progress")
        await IdempotentRequest.objects.aupdate(created_at=timezone.now() - timedelta(minutes=3))
        later = await api.post(f"sessions/{session.pk}/tasks", **send)
        assert (later.status_code, later.json()["code"]) == (409, "idempotent_request_lost")
    assert provider.send_task.await_count == 1


async def test_a_test_key_does_not_get_the_answer_that_a_live_key_got(provider: Mock) -> None:
    await sync_to_async(PersonaFactory.create)(published=True, slug="lucia")
    send: Any = {"json": {"persona": "lucia"}, "headers": {"Idempotency-Key": "order 1"}}
    async with client_of(roles.END_USER, *START) as (api, owner):
        assert (await api.post("sessions", **send)).status_code == 201
        async with client(await sync_to_async(new_secret)(owner, START, is_test=True)) as tests:
            refused = await tests.post("sessions", **send)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")


def test_the_schema_is_published_and_readable_without_a_script() -> None:
    client = Client()
    answer = client.get("/api/v1/openapi.json")
    document = json.loads(answer.content)
    assert document["openapi"].startswith("3.1")
    assert document == openapi.schema()
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert name.isalnum(), name
    page = client.get("/api/v1/docs", headers={"accept-language": "en"})
    text = page.content.decode()
    assert "style=" not in text
    assert all(path in text for path in document["paths"])
    assert "default-src 'self'" in page["Content-Security-Policy"]
    assert not ApiKey.objects.exists()
