"""The Video API: films are ordered, rendered one after the other, and fetched."""

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
from heygen_portal.emulator.heygen.service import STUDIO
from heygen_portal.emulator.heygen.webhooks import WEBHOOKS
from heygen_portal.emulator.sessions.interfaces import Voice
from heygen_portal.emulator.sessions.states import Refusal

log = logging.getLogger(__name__)
routes = web.RouteTableDef()

MOST_FILMS: Final = 100  # kept; the oldest gives way
MOST_SCENES: Final = 50
MOST_WAITING: Final = 50
LONGEST_TEXT: Final = 5000
LONGEST_S: Final = 300
SIDES: Final = (128, 1920)
URL_LIFE_S: Final = 7 * 86400
TOO_LONG: Final = {"code": 40119, "detail": "Video is too long", "message": "Video is too long"}
BROKEN: Final = {"code": 40056, "detail": "Rendering failed", "message": "Rendering failed"}


@dataclass(frozen=True)
class Take:
    """One entry of `video_inputs`, read."""

    look: str
    voice: Voice
    text: str
    silence_s: float


@dataclass
class Film:
    id: str
    title: str
    callback_id: str | None
    callback_url: str | None
    base: str  # of the addresses it is told by: the host its client asked
    takes: list[Take]
    size: tuple[int, int]
    created_at: float
    status: str = "pending"
    duration: float | None = None
    error: dict[str, Any] | None = None
    path: Path | None = None


@dataclass
class Films:
    """Every film, and the queue of those to be rendered."""

    folder: Path | None = None  # while the application runs
    known: dict[str, Film] = field(default_factory=dict)
    waiting: "asyncio.Queue[Film]" = field(default_factory=asyncio.Queue)

    def add(self, film: Film) -> None:
        if self.waiting.qsize() >= MOST_WAITING:
            raise Refusal("rate_limit", "too many videos are waiting")
        self.known[film.id] = film
        self.waiting.put_nowait(film)
        while len(self.known) > MOST_FILMS:
            self.forget(next(iter(self.known)))

    def find(self, film_id: str) -> Film:
        if film := self.known.get(film_id):
            return film
        raise Refusal("invalid_value", "video not found")

    def clear(self) -> None:
        for film_id in list(self.known):
            self.forget(film_id)

    def forget(self, film_id: str) -> None:
        if path := self.known.pop(film_id).path:
            path.unlink(missing_ok=True)


FILMS: Final = web.AppKey("films", Films)


@routes.post("/v2/video/generate")
async def generate(request: web.Request) -> web.Response:
    studio = request.app[STUDIO]
    body = await read_object(request)
    fields = Fields(body)
    film = Film(
        id=uuid4().hex,
        title=fields.text("title")[:200],
        callback_id=fields.text("callback_id") or None,
        callback_url=fields.text("callback_url") or None,
        base=f"{request.scheme}://{request.host}/_static",
        takes=_takes(body.get("video_inputs"), studio.catalogue),
        size=_size(Fields(fields.mapping("dimension"))),
        created_at=studio.clock.now(),
    )
    request.app[FILMS].add(film)
    return ok_v2({"video_id": film.id})


@routes.get("/v1/video_status.get")
async def status(request: web.Request) -> web.Response:
    film = request.app[FILMS].find(request.query.get("video_id", ""))
    return ok(_summary(film) | _urls(film, request.app[STUDIO].clock.now()))


@routes.get("/v1/video.list")
async def list_all(request: web.Request) -> web.Response:
    films = reversed(request.app[FILMS].known.values())
    return ok({"videos": [_summary(film) for film in films], "total": len(request.app[FILMS].known), "token": None})


@routes.delete("/v1/video.delete")
async def delete(request: web.Request) -> web.Response:
    films = request.app[FILMS]
    films.forget(films.find(request.query.get("video_id", "")).id)
    return ok()


@routes.get("/_static/video/{id:[0-9a-f]+}.mp4")
async def download(request: web.Request) -> web.StreamResponse:
    """Whoever has the address may fetch the film, until the address expires."""
    film = request.app[FILMS].known.get(request.match_info["id"])
    if film is None or film.path is None:
        raise web.HTTPNotFound
    expires = request.query.get("expires", "")
    if not expires.isdigit() or len(expires) > 12 or int(expires) < request.app[STUDIO].clock.now():
        raise web.HTTPForbidden
    return web.FileResponse(film.path)


async def run_films(app: web.Application) -> AsyncIterator[None]:
    """The rendering, for as long as the application lives; films are gone with it."""
    with tempfile.TemporaryDirectory(prefix="emulator-films-") as folder:
        app[FILMS].folder = Path(folder)
        rendering = asyncio.create_task(_render_all(app))
        yield
        rendering.cancel()
        with suppress(asyncio.CancelledError):
            await rendering


async def _render_all(app: web.Application) -> None:
    while True:
        film = await app[FILMS].waiting.get()
        if film.id in app[FILMS].known:
            await _render(app, film)


async def _render(app: web.Application, film: Film) -> None:
    from heygen_portal.emulator.avatar import recording  # the encoder is large, and films are seldom ordered

    film.status = "processing"
    folder = app[FILMS].folder
    assert folder is not None
    path = folder / f"{film.id}.mp4"
    scenes = [recording.Scene(take.look, take.voice, take.text, take.silence_s) for take in film.takes]
    try:
        film.duration = await asyncio.to_thread(recording.shoot, scenes, film.size, path, LONGEST_S)
    except recording.FilmTooLong:
        film.status, film.error = "failed", TOO_LONG
    except Exception:
        log.exception("video %s", film.id)
        film.status, film.error = "failed", BROKEN
    else:
        film.status, film.path = "completed", path
        if film.id not in app[FILMS].known:  # deleted meanwhile
            path.unlink(missing_ok=True)
            return
    event = {"video_id": film.id, "callback_id": film.callback_id}
    if film.status == "completed":
        url = _urls(film, app[STUDIO].clock.now())["video_url"]
        await app[WEBHOOKS].tell("avatar_video.success", event | {"url": url}, also=film.callback_url)
    else:
        await app[WEBHOOKS].tell("avatar_video.fail", event | {"msg": "Rendering failed"}, also=film.callback_url)


def _summary(film: Film) -> dict[str, Any]:
    return {
        "id": film.id,
        "video_id": film.id,
        "video_title": film.title,
        "status": film.status,
        "duration": film.duration,
        "created_at": int(film.created_at),
        "callback_id": film.callback_id,
        "error": film.error,
    }


def _urls(film: Film, now: float) -> dict[str, str | None]:
    """Addresses good for seven days from now: asking again renews them."""
    expires = int(now) + URL_LIFE_S
    is_done = film.status == "completed"
    return {
        "video_url": f"{film.base}/video/{film.id}.mp4?expires={expires}" if is_done else None,
        "video_url_caption": None,
        "thumbnail_url": f"{film.base}/{film.takes[0].look}.jpg" if is_done else None,
        "gif_url": None,
        "caption_url": None,
    }


def _takes(inputs: Any, catalogue: Catalogue) -> list[Take]:
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= MOST_SCENES:
        raise Refusal("missing_parameter", f"video_inputs: a list of 1 to {MOST_SCENES}")
    takes = []
    for given in inputs:
        if not isinstance(given, dict):
            raise Refusal("invalid_parameter", "video_inputs")
        takes.append(_take(Fields(given), catalogue))
    return takes


def _take(fields: Fields, catalogue: Catalogue) -> Take:
    character, voice = fields.mapping("character"), fields.mapping("voice")
    avatar = catalogue.avatars.get(required_text(character, "avatar_id"))
    if avatar is None:
        raise Refusal("avatar_not_found")
    wanted = Fields(voice)
    kind = wanted.one_of("type", ("text", "silence", "audio"), "text")
    if kind == "audio":
        raise Refusal("invalid_value", "audio input is not supported here")
    if kind == "silence":
        return Take(avatar.look, Voice(), "", wanted.number("duration", 1.0, (1.0, 100.0)))
    text = clean(required_text(voice, "input_text"))
    if not text or len(text) > LONGEST_TEXT:
        raise Refusal("invalid_text", f"1 to {LONGEST_TEXT} characters")
    chosen = catalogue.voices.get(wanted.text("voice_id") or avatar.default_voice)
    if chosen is None:
        raise Refusal("invalid_value", "voice not found")
    sounds = Voice(
        chosen.sounds.language,
        chosen.sounds.pitch,
        chosen.sounds.variant,
        wanted.number("speed", 1.0, RATE_RANGE),
        wanted.one_of("emotion", EMOTIONS, "friendly"),
    )
    return Take(avatar.look, sounds, text, 0.0)


def _size(fields: Fields) -> tuple[int, int]:
    """Whole and even, as the encoder wants them."""
    width = int(fields.number("width", 1280, SIDES)) // 2 * 2
    height = int(fields.number("height", 720, SIDES)) // 2 * 2
    return width, height
