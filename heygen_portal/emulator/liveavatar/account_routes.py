"""LiveAvatar's catalogue routes: avatars, voices, contexts, languages, credits."""

import asyncio
from base64 import b64encode
from dataclasses import replace
from typing import Any, Final, TypeVar

from aiohttp import web

from heygen_portal.emulator.heygen.account_routes import picture_url
from heygen_portal.emulator.heygen.catalogue import CatalogueVoice
from heygen_portal.emulator.heygen.preview_routes import wav
from heygen_portal.emulator.heygen.responses import read_object, required_text
from heygen_portal.emulator.liveavatar.catalogue import Avatar, Context
from heygen_portal.emulator.liveavatar.responses import format_time, is_uuid, ok, page
from heygen_portal.emulator.liveavatar.service import LIVEAVATAR
from heygen_portal.emulator.liveavatar.states import LANGUAGES
from heygen_portal.emulator.sessions.states import Refusal

routes = web.RouteTableDef()

T = TypeVar("T")

MAX_NAME_CHARACTERS: Final = 255
MAX_PROMPT_CHARACTERS: Final = 50_000
CREATED_AT: Final = 1767225600.0  # creation time of the voices


@routes.get("/v1/avatars/public")
async def public_avatars(request: web.Request) -> web.Response:
    return page(request, [_avatar(request, avatar) for avatar in _avatars(request) if avatar.is_public])


@routes.get("/v1/avatars")
async def own_avatars(request: web.Request) -> web.Response:
    return page(request, [_avatar(request, avatar) for avatar in _avatars(request) if not avatar.is_public])


@routes.get("/v1/avatars/{id}")
async def avatar(request: web.Request) -> web.Response:
    return ok(_avatar(request, _find(request, request.app[LIVEAVATAR].catalogue.avatars)))


@routes.patch("/v1/avatars/{id}")
async def change_avatar(request: web.Request) -> web.Response:
    own, body = _own_avatar(request), await read_object(request)
    name = _text(body, "name", MAX_NAME_CHARACTERS) or own.name
    voice = _text(body, "default_voice_id", MAX_NAME_CHARACTERS) or own.default_voice
    if voice and voice not in request.app[LIVEAVATAR].catalogue.voices:
        raise Refusal("unknown_reference", "voice")
    updated = replace(own, name=name, default_voice=voice)
    request.app[LIVEAVATAR].catalogue.avatars[own.avatar_id] = updated
    return ok(_avatar(request, updated))


@routes.delete("/v1/avatars/{id}")
async def delete_avatar(request: web.Request) -> web.Response:
    del request.app[LIVEAVATAR].catalogue.avatars[_own_avatar(request).avatar_id]
    return ok()


@routes.get("/v1/voices")
async def voices(request: web.Request) -> web.Response:
    kind = request.query.get("voice_type") or "public"
    if kind not in ("public", "private"):
        raise Refusal("invalid_value", "voice_type is public or private")
    known = request.app[LIVEAVATAR].catalogue.voices.values() if kind == "public" else ()
    return page(request, [_voice(voice) for voice in known])


@routes.get("/v1/voices/{id}")
async def voice(request: web.Request) -> web.Response:
    return ok(_voice(_find(request, request.app[LIVEAVATAR].catalogue.voices)))


@routes.get("/v1/voices/{id}/preview")
async def voice_preview(request: web.Request) -> web.Response:
    voice = _find(request, request.app[LIVEAVATAR].catalogue.voices)
    sound = await asyncio.to_thread(wav, voice.speech_voice)
    return ok({"audio_base64": b64encode(sound).decode()})


@routes.get("/v1/languages")
async def languages(request: web.Request) -> web.Response:
    return ok([{"language": name, "code": code} for code, name in LANGUAGES.items()])


@routes.get("/v1/users/credits")
async def credits_left(request: web.Request) -> web.Response:
    return ok({"credits_left": f"{request.app[LIVEAVATAR].store.remaining_quota() / 60:.2f}"})


@routes.get("/v1/contexts")
async def contexts(request: web.Request) -> web.Response:
    """List contexts without their texts, as the real service does."""
    brief = ("id", "name", "created_at", "updated_at")
    shown = [_context(context) for context in request.app[LIVEAVATAR].catalogue.contexts.values()]
    return page(request, [{name: context[name] for name in brief} for context in shown])


@routes.post("/v1/contexts")
async def add_context(request: web.Request) -> web.Response:
    live = request.app[LIVEAVATAR]
    now = live.clock.now()
    context = Context(**await _texts(request), created_at=now, updated_at=now)
    live.catalogue.add_context(context)
    return ok(_context(context))


@routes.get("/v1/contexts/{id}")
async def context(request: web.Request) -> web.Response:
    return ok(_context(_find(request, request.app[LIVEAVATAR].catalogue.contexts)))


@routes.patch("/v1/contexts/{id}")
async def change_context(request: web.Request) -> web.Response:
    """Change a context. All three texts are required."""
    found = _find(request, request.app[LIVEAVATAR].catalogue.contexts)
    for name, value in (await _texts(request)).items():
        setattr(found, name, value)
    found.updated_at = request.app[LIVEAVATAR].clock.now()
    return ok(_context(found))


@routes.delete("/v1/contexts/{id}")
async def delete_context(request: web.Request) -> web.Response:
    del request.app[LIVEAVATAR].catalogue.contexts[_find(request, request.app[LIVEAVATAR].catalogue.contexts).id]
    return ok()


def _find(request: web.Request, among: dict[str, T]) -> T:
    wanted = request.match_info["id"]
    if not is_uuid(wanted):
        raise Refusal("not_a_uuid", "id")
    if wanted not in among:
        raise Refusal("not_found")
    return among[wanted]


def _avatars(request: web.Request) -> list[Avatar]:
    return list(request.app[LIVEAVATAR].catalogue.avatars.values())


def _own_avatar(request: web.Request) -> Avatar:
    found = _find(request, request.app[LIVEAVATAR].catalogue.avatars)
    if found.is_public:
        raise Refusal("not_yours")
    return found


async def _texts(request: web.Request) -> dict[str, Any]:
    body = await read_object(request)
    links = body.get("links") or []
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        raise Refusal("invalid_parameter", "links must be a list of objects")
    name = required_text(body, "name")
    if len(name) > MAX_NAME_CHARACTERS:
        raise Refusal("invalid_value", f"name has more than {MAX_NAME_CHARACTERS} characters")
    for field in ("prompt", "opening_text"):
        if field not in body:
            raise Refusal("missing_parameter", field)
    texts = {field: _text(body, field, MAX_PROMPT_CHARACTERS) for field in ("prompt", "opening_text")}
    return {"name": _sound(name), "links": links, **texts}


def _text(body: dict[str, Any], name: str, maximum: int) -> str:
    value = body.get(name) or ""
    if not isinstance(value, str):
        raise Refusal("invalid_parameter", f"{name} must be a string")
    if len(value) > maximum:
        raise Refusal("invalid_value", f"{name} has more than {maximum} characters")
    return _sound(value)


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be spoken


def _avatar(request: web.Request, avatar: Avatar) -> dict[str, Any]:
    voice = request.app[LIVEAVATAR].catalogue.voices.get(avatar.default_voice)
    return {
        "id": avatar.avatar_id,
        "name": avatar.name,
        "type": "IMAGE" if avatar.is_image else "VIDEO",
        "status": avatar.status,
        "space_id": None,
        "preview_url": picture_url(request, avatar.look),
        "is_expired": False,
        "is_1080p": False,
        "default_voice": {"id": voice.voice_id, "name": voice.name} if voice else None,
        "error_message": None,
        "created_at": format_time(avatar.created_at),
        "updated_at": format_time(avatar.created_at),
    }


def _voice(voice: CatalogueVoice) -> dict[str, Any]:
    return {
        "id": voice.voice_id,
        "name": voice.name,
        "description": None,
        "language": voice.speech_voice.language,
        "gender": voice.gender,
        "tags": [],
        "created_at": format_time(CREATED_AT),
        "updated_at": format_time(CREATED_AT),
    }


def _context(context: Context) -> dict[str, Any]:
    return {
        "id": context.id,
        "name": context.name,
        "prompt": context.prompt,
        "opening_text": context.opening_text,
        "links": context.links,
        "created_at": format_time(context.created_at),
        "updated_at": format_time(context.updated_at),
        "required_dynamic_variables": context.variables,
    }
