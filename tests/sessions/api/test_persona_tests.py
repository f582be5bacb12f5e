"""Tests of personas, their runs, and publishing over the REST API."""

from __future__ import annotations

from datetime import date
from unittest.mock import AsyncMock, patch

import pytest
from asgiref.sync import sync_to_async
from httpx import AsyncClient

from avatars.models import ModelService, Persona
from avatars.personas import versions
from heygen_portal.people.access import roles
from heygen_portal.people.api_keys.scopes import Scope
from heygen_portal.trail.models import AuditEntry
from sessions.persona_tests import runs
from tests.emulator.wire import Wire
from tests.support import servers
from tests.support.api import client, client_of, new_secret
from tests.support.factories import ModelServiceFactory, PersonaFactory

pytestmark = pytest.mark.django_db(transaction=True)

TESTS = (Scope.TESTS_READ, Scope.TESTS_WRITE, Scope.PERSONAS_PUBLISH)
FAILING = {"tests": [{"name": "Greeting", "turns": [{"say": "Hello", "expect": [{"contains": "Goodbye"}]}]}]}
YAML = """\
tests:
- name: Greeting
  turns:
  - say: Hello
    expect:
    - does_not_contain: Goodbye
"""


@pytest.fixture(autouse=True)
def catalogue(monkeypatch: pytest.MonkeyPatch) -> AsyncMock:
    """Stand in for the provider's catalogue, which is read before publishing."""
    refresh = AsyncMock()
    monkeypatch.setattr("avatars.personas.publishing.refresh_catalogue", refresh)
    return refresh


@pytest.fixture
def persona(fresh_emulator: servers.Emulator) -> Persona:
    with Wire(fresh_emulator.url, fresh_emulator.api_key) as wire:
        service: ModelService = ModelServiceFactory.create(
            base_url=f"{wire.url}/v1", api_key=wire.api_key, chat_model="emulated-chat"
        )
    made: Persona = PersonaFactory.create(slug="lucia", brain="own", model_service=service, instructions="You help.")
    versions.save_version(made)
    return made


async def run_tests(api: AsyncClient) -> str:
    """Start a run, and carry it out as the worker does. Return its address."""
    with patch.object(runs.run_tests, "delay") as send:
        started = await api.post("personas/lucia/test-runs", headers={"Idempotency-Key": str(send.mock_calls)})
    assert (started.status_code, started.json()["state"]) == (201, "waiting")
    await runs.run(send.call_args.args[0], date(2026, 12, 1))
    return f"personas/lucia/test-runs/{started.json()['id']}"


@pytest.mark.usefixtures("persona")
async def test_tests_are_replaced_by_json_or_yaml_and_read_as_either() -> None:
    async with client_of(roles.EDITOR, *TESTS) as (api, owner):
        address = "personas/lucia/tests"
        assert (await api.put(address, json=FAILING)).json() == FAILING
        as_yaml = {"Content-Type": "application/yaml"}
        assert (await api.put(address, content=YAML, headers=as_yaml)).status_code == 200
        assert (await api.get(address)).json()["tests"][0]["turns"][0]["expect"] == [{"does_not_contain": "Goodbye"}]
        read = await api.get(address, headers={"Accept": "application/yaml"})
        assert (read.text, read.headers["Content-Type"]) == (YAML, "application/yaml; charset=utf-8")
        refused = [
            await api.put(address, json={"tests": [{"name": "A"}]}),
            await api.put(address, content="tests: [", headers=as_yaml),
            await api.put(address, content=b"\xff", headers=as_yaml),
            await api.put(address, content=b"{", headers={"Content-Type": "application/json"}),
            await api.put(address, content=YAML, headers={"Content-Type": "text/plain"}),
            await api.put(address, content=" " * 100_001, headers=as_yaml),
            await api.put("personas/nobody/tests", json=FAILING),
        ]
        assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [
            (422, "tests_refused"), (422, "tests_refused"), (400, "unreadable_body"), (400, "unreadable_body"),
            (415, "wrong_content_type"), (413, "body_too_large"), (404, "not_found"),
        ]  # fmt: skip
        assert refused[0].json()["detail"].startswith("tests[1]: ")
        assert (await api.get(address, headers={"Accept": "application/yaml"})).text == YAML
    entries = AuditEntry.objects.filter(kind=AuditEntry.Kind.TESTS_CHANGED, by=owner)
    assert await entries.acount() == 2


async def test_a_persona_whose_tests_fail_is_published_only_with_a_reason(
    persona: Persona, catalogue: AsyncMock
) -> None:
    async with client_of(roles.EDITOR, *TESTS) as (api, owner):
        assert (await api.post("personas/lucia/test-runs")).json()["code"] == "nothing_to_test"
        await api.put("personas/lucia/tests", json=FAILING)
        report = (await api.get(await run_tests(api))).json()
        assert (report["state"], report["version"], report["tests_failed"]) == ("failed", 1, 1)
        [expectation] = report["tests"][0]["turns"][0]["expectations"]
        assert expectation == {"expectation": "contains: Goodbye", "is_met": False, "problem": "Not met."}
        [listed] = (await api.get("personas/lucia/test-runs")).json()["items"]
        assert (listed["id"], listed["requested_by"]) == (report["id"], owner.pk)

        refused = await api.post("personas/lucia/publish", json={})
        assert (refused.status_code, refused.json()["code"]) == (409, "persona_refused")
        assert refused.json()["fields"] == {
            "tests": ["The tests have not passed with this version. See the page “Tests”."]
        }
        short = await api.post("personas/lucia/publish", json={"despite_tests": "so"})
        assert short.json()["code"] == "reason_needed"
        assert (await api.post("personas/lucia/publish", json={"version": 7})).status_code == 404
        reason = {"despite_tests": "The fair opens today."}
        published = (await api.post("personas/lucia/publish", json=reason)).json()
        assert (published["is_published"], published["version"]) == (True, 1)
        entry = await AuditEntry.objects.aget(kind=AuditEntry.Kind.PUBLISHED)
        assert (entry.by_id, entry.data["published_despite_tests"]) == (owner.pk, [None, "The fair opens today."])
        assert catalogue.await_count == 2  # before each decision
        unpublished = [(await api.post("personas/lucia/unpublish")).json() for _ in range(2)]
        assert [each["is_published"] for each in unpublished] == [False, False]


async def test_a_repeated_request_starts_one_run(persona: Persona) -> None:
    async with client_of(roles.EDITOR, *TESTS) as (api, _owner):
        await api.put("personas/lucia/tests", json=FAILING)
        with patch.object(runs.run_tests, "delay") as send:
            headers = {"Idempotency-Key": "run 1"}
            started = [(await api.post("personas/lucia/test-runs", headers=headers)).json() for _ in range(2)]
            started.append((await api.post("personas/lucia/test-runs")).json())
        assert send.call_count == 1
        assert len({each["id"] for each in started}) == 1


async def test_a_test_key_neither_runs_nor_publishes_what_costs_money(persona: Persona) -> None:
    async with client_of(roles.EDITOR, *TESTS) as (api, owner):
        await api.put("personas/lucia/tests", json=FAILING)
        secret = await sync_to_async(new_secret)(owner, TESTS, is_test=True)
        async with client(secret) as tests:
            refused = [
                await tests.post("personas/lucia/test-runs"),
                await tests.post("personas/lucia/publish", json={"despite_tests": "Because."}),
                await tests.put("personas/lucia/tests", json=FAILING),
            ]
        assert [answer.json()["code"] for answer in refused] == ["test_key"] * 3
