"""Account routes: avatars, voices, quota, knowledge bases."""

from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from heygen_portal.emulator.heygen.catalogue import KnowledgeBase, as_json
from heygen_portal.emulator.heygen.responses import ok, ok_v2, read_object, required_text
from heygen_portal.emulator.heygen.service import HEYGEN
from heygen_portal.emulator.sessions.options import CatalogueAvatar
from heygen_portal.emulator.sessions.states import Refusal

routes = web.RouteTableDef()

YEAR_SECONDS: Final = 365 * 86400
MAX_NAME_CHARACTERS: Final = 200
MAX_PROMPT_CHARACTERS: Final = 50_000


@routes.get("/v1/streaming/avatar.list")
async def streaming_avatars(request: web.Request) -> web.Response:
    """List the avatars, one of them twice, as the real service may.

    The newest row counts.
    """
    listed = [avatar for avatar in _avatars(request) if avatar.streams and not avatar.deprecated]
    earlier = replace(listed[0], name=f"{listed[0].name} (2025)", created_at=listed[0].created_at - YEAR_SECONDS)
    return ok([_streaming(request, avatar) for avatar in (earlier, *listed)])


@routes.get("/v2/avatars")
async def avatars(request: web.Request) -> web.Response:
    """List all avatars. As in the real service, not all of them can stream."""
    return ok_v2({"avatars": [_video(request, avatar) for avatar in _avatars(request)], "talking_photos": []})


@routes.get("/v2/avatar/{avatar_id}/details")
async def avatar_details(request: web.Request) -> web.Response:
    avatar = request.app[HEYGEN].catalogue.avatars.get(request.match_info["avatar_id"])
    if avatar is None:
        raise Refusal("avatar_not_found")
    return ok_v2(
        {
            "type": "avatar",
            "id": avatar.avatar_id,
            "name": avatar.name,
            "gender": avatar.gender,
            "preview_image_url": picture_url(request, avatar.look),
            "preview_video_url": None,
            "premium": False,
            "is_public": True,
            "default_voice_id": avatar.default_voice,
            "tags": [],
        }
    )


@routes.get("/v2/voices")
async def voices(request: web.Request) -> web.Response:
    found = [
        {
            "voice_id": voice.voice_id,
            "language": voice.language,
            "gender": voice.gender,
            "name": voice.name,
            "preview_audio": f"{request.scheme}://{request.host}/_static/voices/{voice.voice_id}.wav",
            "support_pause": False,
            "emotion_support": True,
            "support_locale": False,
        }
        for voice in request.app[HEYGEN].catalogue.voices.values()
    ]
    return ok_v2({"voices": found})


@routes.get("/v2/user/remaining_quota")
async def quota(request: web.Request) -> web.Response:
    left = request.app[HEYGEN].store.remaining_quota()
    return ok_v2({"remaining_quota": left, "details": {"api": left}})


@routes.get("/v1/streaming/knowledge_base/list")
async def knowledge_list(request: web.Request) -> web.Response:
    return ok({"list": [as_json(base) for base in request.app[HEYGEN].catalogue.knowledge.values()]})


@routes.post("/v1/streaming/knowledge_base/create")
async def knowledge_create(request: web.Request) -> web.Response:
    body = await read_object(request)
    base = request.app[HEYGEN].catalogue.add_knowledge(
        _text(body, "name", MAX_NAME_CHARACTERS, required=True),
        _text(body, "opening", MAX_PROMPT_CHARACTERS),
        _text(body, "prompt", MAX_PROMPT_CHARACTERS),
    )
    return ok(as_json(base))


@routes.post("/v1/streaming/knowledge_base/{id}")
async def knowledge_change(request: web.Request) -> web.Response:
    """Change the given fields. Missing and null fields stay."""
    base = _knowledge_base(request)
    body = await read_object(request)
    changes = {
        name: _text(
            body, name, MAX_NAME_CHARACTERS if name == "name" else MAX_PROMPT_CHARACTERS, required=name == "name"
        )
        for name in ("name", "opening", "prompt")
        if body.get(name) is not None
    }
    for name, value in changes.items():
        setattr(base, name, value)
    return ok(as_json(base))


@routes.delete("/v1/streaming/knowledge_base/{id}")
async def knowledge_delete(request: web.Request) -> web.Response:
    del request.app[HEYGEN].catalogue.knowledge[_knowledge_base(request).id]
    return ok()


def picture_url(request: web.Request, look: str) -> str:
    """Return the absolute URL of a preview on the host that the client used."""
    return f"{request.scheme}://{request.host}/_static/{look}.jpg"


def _avatars(request: web.Request) -> list[CatalogueAvatar]:
    return list(request.app[HEYGEN].catalogue.avatars.values())


def _streaming(request: web.Request, avatar: CatalogueAvatar) -> dict[str, Any]:
    return {
        "avatar_id": avatar.avatar_id,
        "created_at": avatar.created_at,
        "default_voice": avatar.default_voice,
        "is_public": True,
        "normal_preview": picture_url(request, avatar.look),
        "pose_name": avatar.name,
        "status": avatar.status,
    }


def _video(request: web.Request, avatar: CatalogueAvatar) -> dict[str, Any]:
    return {
        "avatar_id": avatar.avatar_id,
        "avatar_name": avatar.name,
        "gender": avatar.gender,
        "preview_image_url": picture_url(request, avatar.look),
        "preview_video_url": None,
        "premium": False,
    }


def _knowledge_base(request: web.Request) -> KnowledgeBase:
    base = request.app[HEYGEN].catalogue.knowledge.get(request.match_info["id"])
    if base is None:
        raise Refusal("invalid_value", "knowledge base not found")
    return base


def _text(body: dict[str, Any], name: str, maximum: int, *, required: bool = False) -> str:
    value = required_text(body, name) if required else body.get(name) or ""
    if not isinstance(value, str):
        raise Refusal("invalid_parameter", f"{name} must be a string")
    if len(value) > maximum:
        raise Refusal("invalid_value", f"{name} has more than {maximum} characters")
    return value.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be spoken
