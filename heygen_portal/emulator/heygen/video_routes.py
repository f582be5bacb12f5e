"""Video API: videos are ordered, rendered one after another, and downloaded."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from aiohttp import web

from heygen_portal.emulator.heygen.catalogue import Catalogue
from heygen_portal.emulator.heygen.requests import EMOTIONS, RATE_RANGE, Fields
from heygen_portal.emulator.heygen.responses import clean, ok, ok_v2, read_object, required_text
from heygen_portal.emulator.heygen.service import HEYGEN
from heygen_portal.emulator.heygen.webhooks import WEBHOOKS
from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.sessions.states import Refusal

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

MAX_VIDEOS: Final = 100  # the oldest is deleted beyond this
MAX_SCENES: Final = 50
MAX_WAITING_VIDEOS: Final = 50
MAX_TEXT_CHARACTERS: Final = 5000
MAX_VIDEO_SECONDS: Final = 300
SIDE_RANGE: Final = (128, 1920)
URL_LIFETIME_SECONDS: Final = 7 * 86400
TOO_LONG_ERROR: Final = {"code": 40119, "detail": "Video is too long", "message": "Video is too long"}
RENDERING_ERROR: Final = {"code": 40056, "detail": "Rendering failed", "message": "Rendering failed"}


@dataclass(frozen=True)
class Scene:
    """An entry of `video_inputs`."""

    look: str
    voice: Voice
    text: str
    silence_s: float


@dataclass
class Video:
    id: str
    title: str
    callback_id: str | None
    callback_url: str | None
    base: str  # base URL of its links, on the host that the client used
    scenes: list[Scene]
    size: tuple[int, int]
    created_at: float
    status: str = "pending"
    duration: float | None = None
    error: dict[str, Any] | None = None
    path: Path | None = None


@dataclass
class Videos:
    """All videos, and the rendering queue."""

    folder: Path | None = None  # None while the application is not running
    known: dict[str, Video] = field(default_factory=dict)
    waiting: "asyncio.Queue[Video]" = field(default_factory=asyncio.Queue)

    def add(self, video: Video) -> None:
        if self.waiting.qsize() >= MAX_WAITING_VIDEOS:
            raise Refusal("rate_limit", "too many videos are waiting")
        self.known[video.id] = video
        self.waiting.put_nowait(video)
        while len(self.known) > MAX_VIDEOS:
            self.forget(next(iter(self.known)))

    def find(self, video_id: str) -> Video:
        if video := self.known.get(video_id):
            return video
        raise Refusal("invalid_value", "video not found")

    def clear(self) -> None:
        for video_id in list(self.known):
            self.forget(video_id)

    def forget(self, video_id: str) -> None:
        if path := self.known.pop(video_id).path:
            path.unlink(missing_ok=True)


VIDEOS: Final = web.AppKey("videos", Videos)


@routes.post("/v2/video/generate")
async def generate(request: web.Request) -> web.Response:
    service = request.app[HEYGEN]
    body = await read_object(request)
    fields = Fields(body)
    video = Video(
        id=uuid4().hex,
        title=fields.text("title")[:200],
        callback_id=fields.text("callback_id") or None,
        callback_url=fields.text("callback_url") or None,
        base=f"{request.scheme}://{request.host}/_static",
        scenes=_scenes(body.get("video_inputs"), service.catalogue),
        size=_size(Fields(fields.mapping("dimension"))),
        created_at=service.clock.now(),
    )
    request.app[VIDEOS].add(video)
    return ok_v2({"video_id": video.id})


@routes.get("/v1/video_status.get")
async def status(request: web.Request) -> web.Response:
    video = request.app[VIDEOS].find(request.query.get("video_id", ""))
    return ok(_summary(video) | _urls(video, request.app[HEYGEN].clock.now()))


@routes.get("/v1/video.list")
async def list_all(request: web.Request) -> web.Response:
    videos = reversed(request.app[VIDEOS].known.values())
    return ok({"videos": [_summary(video) for video in videos], "total": len(request.app[VIDEOS].known), "token": None})


@routes.delete("/v1/video.delete")
async def delete(request: web.Request) -> web.Response:
    videos = request.app[VIDEOS]
    videos.forget(videos.find(request.query.get("video_id", "")).id)
    return ok()


@routes.get("/_static/video/{id:[0-9a-f]+}.mp4")
async def download(request: web.Request) -> web.StreamResponse:
    """Serve a video to anyone with the URL until it expires."""
    video = request.app[VIDEOS].known.get(request.match_info["id"])
    if video is None or video.path is None:
        raise web.HTTPNotFound
    expires = request.query.get("expires", "")
    if not expires.isdigit() or len(expires) > 12 or int(expires) < request.app[HEYGEN].clock.now():
        raise web.HTTPForbidden
    return web.FileResponse(video.path)


async def run_rendering(app: web.Application) -> AsyncIterator[None]:
    """Render videos while the application runs. They are deleted at its end."""
    with tempfile.TemporaryDirectory(prefix="emulator-films-") as folder:
        app[VIDEOS].folder = Path(folder)
        rendering = asyncio.create_task(_render_all(app))
        yield
        rendering.cancel()
        with suppress(asyncio.CancelledError):
            await rendering


async def _render_all(app: web.Application) -> None:
    while True:
        video = await app[VIDEOS].waiting.get()
        if video.id in app[VIDEOS].known:
            await _render(app, video)


async def _render(app: web.Application, video: Video) -> None:
    from heygen_portal.emulator.avatar import recording  # the encoder is large and rarely needed

    video.status = "processing"
    folder = app[VIDEOS].folder
    assert folder is not None
    path = folder / f"{video.id}.mp4"
    scenes = [recording.Scene(scene.look, scene.voice, scene.text, scene.silence_s) for scene in video.scenes]
    try:
        video.duration = await asyncio.to_thread(recording.render, scenes, video.size, path, MAX_VIDEO_SECONDS)
    except recording.VideoTooLong:
        video.status, video.error = "failed", TOO_LONG_ERROR
    except Exception:
        log.exception("video %s", video.id)
        video.status, video.error = "failed", RENDERING_ERROR
    else:
        video.status, video.path = "completed", path
        if video.id not in app[VIDEOS].known:  # deleted while rendering
            path.unlink(missing_ok=True)
            return
    event = {"video_id": video.id, "callback_id": video.callback_id}
    if video.status == "completed":
        url = _urls(video, app[HEYGEN].clock.now())["video_url"]
        await app[WEBHOOKS].send("avatar_video.success", event | {"url": url}, callback_url=video.callback_url)
    else:
        await app[WEBHOOKS].send(
            "avatar_video.fail", event | {"msg": "Rendering failed"}, callback_url=video.callback_url
        )


def _summary(video: Video) -> dict[str, Any]:
    return {
        "id": video.id,
        "video_id": video.id,
        "video_title": video.title,
        "status": video.status,
        "duration": video.duration,
        "created_at": int(video.created_at),
        "callback_id": video.callback_id,
        "error": video.error,
    }


def _urls(video: Video, now: float) -> dict[str, str | None]:
    """Return URLs valid for seven days. A new status request renews them."""
    expires = int(now) + URL_LIFETIME_SECONDS
    is_done = video.status == "completed"
    return {
        "video_url": f"{video.base}/video/{video.id}.mp4?expires={expires}" if is_done else None,
        "video_url_caption": None,
        "thumbnail_url": f"{video.base}/{video.scenes[0].look}.jpg" if is_done else None,
        "gif_url": None,
        "caption_url": None,
    }


def _scenes(inputs: Any, catalogue: Catalogue) -> list[Scene]:
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= MAX_SCENES:
        raise Refusal("missing_parameter", f"video_inputs: a list of 1 to {MAX_SCENES}")
    scenes = []
    for given in inputs:
        if not isinstance(given, dict):
            raise Refusal("invalid_parameter", "video_inputs")
        scenes.append(_scene(Fields(given), catalogue))
    return scenes


def _scene(fields: Fields, catalogue: Catalogue) -> Scene:
    character, voice = fields.mapping("character"), fields.mapping("voice")
    avatar = catalogue.avatars.get(required_text(character, "avatar_id"))
    if avatar is None:
        raise Refusal("avatar_not_found")
    wanted = Fields(voice)
    kind = wanted.one_of("type", ("text", "silence", "audio"), "text")
    if kind == "audio":
        raise Refusal("invalid_value", "audio input is not supported here")
    if kind == "silence":
        return Scene(avatar.look, Voice(), "", wanted.number("duration", 1.0, (1.0, 100.0)))
    text = clean(required_text(voice, "input_text"))
    if not text or len(text) > MAX_TEXT_CHARACTERS:
        raise Refusal("invalid_text", f"1 to {MAX_TEXT_CHARACTERS} characters")
    chosen = catalogue.voices.get(wanted.text("voice_id") or avatar.default_voice)
    if chosen is None:
        raise Refusal("invalid_value", "voice not found")
    speech_voice = Voice(
        chosen.speech_voice.language,
        chosen.speech_voice.pitch,
        chosen.speech_voice.variant,
        wanted.number("speed", 1.0, RATE_RANGE),
        wanted.one_of("emotion", EMOTIONS, "friendly"),
    )
    return Scene(avatar.look, speech_voice, text, 0.0)


def _size(fields: Fields) -> tuple[int, int]:
    """Return even integers, as the encoder requires."""
    width = int(fields.number("width", 1280, SIDE_RANGE)) // 2 * 2
    height = int(fields.number("height", 720, SIDE_RANGE)) // 2 * 2
    return width, height
