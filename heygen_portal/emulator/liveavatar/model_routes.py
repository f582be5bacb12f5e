"""LiveAvatar's routes of custom models: secrets and LLM configurations."""

from dataclasses import replace
from typing import Any, Final, TypeVar
from uuid import uuid4

from aiohttp import web
from yarl import URL

from heygen_portal.emulator.heygen.responses import read_object, required_text
from heygen_portal.emulator.liveavatar.custom_models import DEFAULT_BASE_URL, Configuration, Secret
from heygen_portal.emulator.liveavatar.responses import format_time, is_uuid, ok
from heygen_portal.emulator.liveavatar.service import LIVEAVATAR
from heygen_portal.emulator.sessions.states import Refusal

routes = web.RouteTableDef()

T = TypeVar("T")

MAX_NAME_CHARACTERS: Final = 255
# The schema has the first three, guides the last.
SECRET_TYPES: Final = ("OPENAI_API_KEY", "ELEVENLABS_API_KEY", "GEMINI_API_KEY", "LLM_API_KEY")
MODELS: Final = {"openai": ["gpt-4o-mini", "gpt-4o", "gpt-5-nano", "gpt-5.4-nano"]}


@routes.get("/v1/llm-models")
async def models(request: web.Request) -> web.Response:
    return ok(MODELS)


@routes.get("/v1/secrets")
async def secrets(request: web.Request) -> web.Response:
    """List secrets without their values, the newest first, on one page."""
    known = reversed(request.app[LIVEAVATAR].models.secrets.values())
    return ok(
        [
            {
                "id": secret.id,
                "secret_name": secret.name,
                "secret_type": secret.kind,
                "created_at": format_time(secret.created_at),
            }
            for secret in known
        ]
    )


@routes.post("/v1/secrets")
async def add_secret(request: web.Request) -> web.Response:
    live, body = request.app[LIVEAVATAR], await read_object(request)
    kind = required_text(body, "secret_type")
    if kind not in SECRET_TYPES:
        raise Refusal("invalid_value", f"secret_type is one of {', '.join(SECRET_TYPES)}")
    value = required_text(body, "secret_value")
    secret = Secret(str(uuid4()), _name(body, "secret_name"), kind, live.clock.now(), value)
    live.models.secrets[secret.id] = secret
    return ok({"id": secret.id, "secret_name": secret.name})


@routes.delete("/v1/secrets/{id}")
async def delete_secret(request: web.Request) -> web.Response:
    """Delete a secret. Nothing warns of configurations that use it."""
    known = request.app[LIVEAVATAR].models.secrets
    del known[_find(request, known).id]
    return ok()


@routes.get("/v1/llm-configurations")
async def configurations(request: web.Request) -> web.Response:
    brief = ("id", "display_name", "model_name", "secret_id")
    shown = map(_shown, reversed(request.app[LIVEAVATAR].models.configurations.values()))
    return ok([{name: row[name] for name in brief} for row in shown])


@routes.post("/v1/llm-configurations")
async def add_configuration(request: web.Request) -> web.Response:
    live, body = request.app[LIVEAVATAR], await read_object(request)
    now = live.clock.now()
    configuration = Configuration(
        id=str(uuid4()),
        display_name=_name(body, "display_name"),
        model_name=_name(body, "model_name"),
        secret_id=_secret_id(request, body),
        base_url=_base_url(body),
        created_at=now,
        updated_at=now,
    )
    live.models.configurations[configuration.id] = configuration
    return ok(_shown(configuration))


@routes.get("/v1/llm-configurations/{id}")
async def configuration(request: web.Request) -> web.Response:
    return ok(_shown(_find(request, request.app[LIVEAVATAR].models.configurations)))


@routes.patch("/v1/llm-configurations/{id}")
async def change_configuration(request: web.Request) -> web.Response:
    live, body = request.app[LIVEAVATAR], await read_object(request)
    changed = _find(request, live.models.configurations)
    if "display_name" in body:
        changed = replace(changed, display_name=_name(body, "display_name"))
    if "model_name" in body:
        changed = replace(changed, model_name=_name(body, "model_name"))
    if "secret_id" in body:
        changed = replace(changed, secret_id=_secret_id(request, body))
    if "base_url" in body:
        changed = replace(changed, base_url=_base_url(body))
    live.models.configurations[changed.id] = replace(changed, updated_at=live.clock.now())
    return ok(_shown(live.models.configurations[changed.id]))


@routes.delete("/v1/llm-configurations/{id}")
async def delete_configuration(request: web.Request) -> web.Response:
    known = request.app[LIVEAVATAR].models.configurations
    del known[_find(request, known).id]
    return ok()


def _find(request: web.Request, among: dict[str, T]) -> T:
    wanted = request.match_info["id"]
    if not is_uuid(wanted):
        raise Refusal("not_a_uuid", "id")
    if wanted not in among:
        raise Refusal("not_found")
    return among[wanted]


def _name(body: dict[str, Any], field: str) -> str:
    name = required_text(body, field)
    if len(name) > MAX_NAME_CHARACTERS:
        raise Refusal("invalid_value", f"{field} has more than {MAX_NAME_CHARACTERS} characters")
    return name


def _secret_id(request: web.Request, body: dict[str, Any]) -> str:
    secret_id = required_text(body, "secret_id")
    if not is_uuid(secret_id):
        raise Refusal("not_a_uuid", "secret_id")
    if secret_id not in request.app[LIVEAVATAR].models.secrets:
        raise Refusal("invalid_secret")
    return secret_id


def _base_url(body: dict[str, Any]) -> str:
    given = body.get("base_url") or DEFAULT_BASE_URL
    try:
        url = URL(given)
    except (TypeError, ValueError) as exc:
        raise Refusal("invalid_value", "base_url is no web address") from exc
    if url.scheme not in ("http", "https") or not url.host:
        raise Refusal("invalid_value", "base_url is no web address")
    return str(given)


def _shown(configuration: Configuration) -> dict[str, Any]:
    return {
        "id": configuration.id,
        "display_name": configuration.display_name,
        "model_name": configuration.model_name,
        "secret_id": configuration.secret_id,
        "base_url": configuration.base_url,
        "created_at": format_time(configuration.created_at),
        "updated_at": format_time(configuration.updated_at),
    }
