"""Model services in the admin: keys that are never shown, the connection check, the audit log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from avatars.model_services import connection as service_connection
from avatars.models import ModelService
from heygen_portal.providers.openai.client import ModelClient
from heygen_portal.providers.openai.messages import Usage
from heygen_portal.trail.models import AuditEntry
from heygen_portal.trail.statements import ROWS
from tests.emulator.wire import Wire
from tests.support import servers
from tests.support.factories import ModelServiceFactory

pytestmark = pytest.mark.django_db

KEY = "sk-nobody-may-see-this"
PAGES = "/admin/avatars/modelservice/"
NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def wire(fresh_emulator: servers.Emulator) -> Iterator[Wire]:
    with Wire(fresh_emulator.url, fresh_emulator.api_key) as wire:
        yield wire


def form(**changes: str) -> dict[str, str]:
    values = {
        "name": "Ours",
        "base_url": NOWHERE,
        "api_key": "",
        "chat_model": "a-model",
        "input_price": "0",
        "output_price": "0",
        "first_token_timeout": "10",
        "total_timeout": "60",
    }
    return {**values, **changes}


def errors(response: Any) -> dict[str, Any]:
    found: dict[str, Any] = response.context["adminform"].form.errors
    return found


def test_the_key_is_encrypted_and_on_no_page(admin_client: Client) -> None:
    service = ModelServiceFactory.create(api_key=KEY)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM avatars_modelservice")
        assert KEY not in str(cursor.fetchone())
    for page in ("", f"{service.pk}/change/", f"{service.pk}/history/", "add/"):
        response = admin_client.get(f"{PAGES}{page}")
        assert response.status_code == 200
        assert KEY not in response.content.decode()


def test_an_empty_key_keeps_the_old_one_only_at_the_same_address(admin_client: Client) -> None:
    service = ModelServiceFactory.create(api_key=KEY, base_url=NOWHERE)
    page = f"{PAGES}{service.pk}/change/"
    admin_client.post(page, form(name="Renamed"))
    refused = admin_client.post(page, form(base_url="https://thief.test/v1"))
    assert "api_key" in errors(refused)
    service.refresh_from_db()
    assert (service.name, service.api_key, service.base_url) == ("Renamed", KEY, NOWHERE)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("api_key", ""),
        ("api_key", "two words"),
        ("base_url", "http://models.test/v1"),
        ("base_url", "https://user:password@models.test/v1"),
        ("base_url", "https://models.test/v1?key=1"),
        ("base_url", "https://models.test/../v1"),
        ("base_url", "https://models.test//v1"),
        ("base_url", "ftp://models.test"),
        ("chat_model", ""),
        ("input_price", "-1"),
    ],
)
def test_an_invalid_service_is_not_stored(admin_client: Client, field: str, value: str) -> None:
    response = admin_client.post(f"{PAGES}add/", form(**{"api_key": "sk-1", field: value}))
    assert field in errors(response)
    assert not ModelService.objects.exists()


@pytest.mark.parametrize("waits", [{"first_token_timeout": "0"}, {"first_token_timeout": "61"}])
def test_the_waits_must_fit_together(admin_client: Client, waits: dict[str, str]) -> None:
    response = admin_client.post(f"{PAGES}add/", form(api_key="sk-1", **waits))
    assert "__all__" in errors(response)


def test_a_key_that_the_service_refuses_is_not_stored(admin_client: Client, wire: Wire) -> None:
    response = admin_client.post(f"{PAGES}add/", form(base_url=f"{wire.url}/v1", api_key="sk-wrong"))
    assert "api_key" in errors(response)
    assert not ModelService.objects.exists()


def test_a_service_that_does_not_respond_leaves_the_key_unchecked(admin_client: Client) -> None:
    response = admin_client.post(f"{PAGES}add/", form(api_key="sk-1"), follow=True, headers={"accept-language": "en"})
    assert "could not be checked" in " ".join(str(message) for message in response.context["messages"])
    assert ModelService.objects.exists()


def test_a_service_without_a_list_of_models_is_stored(admin_client: Client, wire: Wire) -> None:
    wire.fault("answer", status=404, body={}, on="models")
    admin_client.post(f"{PAGES}add/", form(base_url=f"{wire.url}/v1", api_key="sk-1"))
    assert ModelService.objects.get().base_url == f"{wire.url}/v1"


def test_changes_are_in_the_audit_log_without_the_key(admin_client: Client) -> None:
    service = ModelServiceFactory.create(name="Ours", base_url=NOWHERE)
    page = f"{PAGES}{service.pk}/change/"
    admin_client.post(page, form(api_key=KEY, output_price="2.5"))
    key_set, changed = AuditEntry.objects.order_by("-number")[:2]
    assert (changed.kind, key_set.kind) == (AuditEntry.Kind.MODEL_CHANGED, AuditEntry.Kind.MODEL_KEY_SET)
    assert changed.data["output_price"] == ["0.0000", "2.5000"]
    assert changed.data[ROWS]["model_service"] == {str(service.pk): {"output_price": "2.5000"}}
    assert KEY not in str([vars(entry) for entry in AuditEntry.objects.all()])
    shown = admin_client.get("/admin/heygen_portal/auditentry/", headers={"accept-language": "en"}).content.decode()
    assert "output price: 0.0000 → 2.5000" in shown


def connection_page(client: Client, service: ModelService, language: str = "en") -> list[str]:
    page = client.get(f"{PAGES}{service.pk}/connection/", headers={"accept-language": language}).content.decode()
    calls = re.findall(r'<li class="box (box--\w+)">.*?<b>(.*?)</b>(.*?)</li>', page, re.DOTALL)
    return [f"{state.removeprefix('box--')}: {name}{' ' + _remedy(rest)}".strip() for state, name, rest in calls]


def _remedy(rest: str) -> str:
    match = re.search(r"<p>(.*?)</p>", rest)
    return match[1] if match else ""


@pytest.fixture
def service(wire: Wire) -> ModelService:
    return ModelServiceFactory.create(
        base_url=f"{wire.url}/v1",
        api_key=wire.api_key,
        chat_model="emulated-chat",
        embeddings_model="emulated-embedding",
        moderation_model="emulated-moderation",
    )


def test_the_connection_check_tries_each_call(admin_client: Client, service: ModelService) -> None:
    assert connection_page(admin_client, service) == [
        "ok: List of models",
        "ok: Chat",
        "ok: Tools",
        "ok: Embeddings",
        "ok: Moderation",
    ]


def test_the_connection_check_names_the_call_that_fails_in_the_readers_language(
    admin_client: Client, service: ModelService
) -> None:
    ModelService.objects.update(embeddings_model="none-such", speech_model="none-such", moderation_model="")
    assert connection_page(admin_client, service, "es") == [
        "ok: Lista de modelos",
        "ok: Chat",
        "ok: Herramientas",
        "bad: Embeddings El servicio no tiene esta función o ningún modelo con este nombre. "
        "Compáralo con la lista de modelos.",
        "bad: Síntesis de voz La lista del servicio no contiene ningún modelo con este nombre.",
    ]


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ({"error": "invalid_api_key"}, "does not accept this key"),
        ({"error": "rate_limit_exceeded"}, "limits requests now"),
        ({"error": "context_length_exceeded"}, "refuses this call"),
        ({"status": 200, "body": "nonsense"}, "No usable response"),
    ],
)
def test_the_connection_check_says_what_to_do(
    admin_client: Client, wire: Wire, service: ModelService, fault: dict[str, Any], remedy: str
) -> None:
    wire.fault("answer", on="moderations", **fault)
    *others, moderation = connection_page(admin_client, service)
    assert all(line.startswith("ok") for line in others)
    assert moderation.startswith("bad: Moderation")
    assert remedy in moderation


def test_a_model_that_calls_no_tool_fails_the_check_of_tools(
    admin_client: Client, service: ModelService, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ModelClient.chat

    def without_tools(client: ModelClient, *args: Any, tools: Any = (), **options: Any) -> Any:
        return real(client, *args, **options)

    monkeypatch.setattr(ModelClient, "chat", without_tools)
    assert connection_page(admin_client, service)[2].startswith("bad: Tools The model called no tool.")


def test_a_call_costs_what_it_read_and_wrote() -> None:
    service = ModelService(input_price=Decimal("0.5"), output_price=Decimal("1.5"))
    assert service.cost(Usage(1_000_000, 2_000_000)) == Decimal("3.5")


async def test_the_check_names_a_key_that_can_no_longer_be_decrypted() -> None:
    service = ModelService(base_url="https://models.test/v1", api_key="gAAAAA-of-another-key", chat_model="any")
    (call,) = await service_connection.check(service)
    assert (call.code, call.why) == ("models", "unreadable")
