"""Preview images of avatars and samples of voices, at the catalogue's URLs."""

import asyncio
import io
import wave

from aiohttp import web

from heygen_portal.emulator.heygen.service import HEYGEN
from heygen_portal.emulator.sessions.interfaces import Voice

SAMPLES = {"es": "Hola. Así suena mi voz.", "en": "Hello. This is how I sound."}

routes = web.RouteTableDef()


@routes.get("/_static/{look:[a-z]+}.jpg")
async def picture(request: web.Request) -> web.Response:
    return await _jpeg(request.match_info["look"], is_face=False)


@routes.get("/_static/{look:[a-z]+}-face.jpg")
async def face(request: web.Request) -> web.Response:
    return await _jpeg(request.match_info["look"], is_face=True)


@routes.get("/_static/voices/{id:[0-9a-f]+}.wav")
async def sample(request: web.Request) -> web.Response:
    voice = request.app[HEYGEN].catalogue.voices.get(request.match_info["id"])
    if voice is None:
        raise web.HTTPNotFound
    return web.Response(body=await asyncio.to_thread(wav, voice.speech_voice), content_type="audio/wav")


def wav(voice: Voice) -> bytes:
    """Return a sample of a voice. Takes a tenth of a second."""
    from heygen_portal.emulator.speech import synthesis as voices  # rarely needed without media

    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(voices.SAMPLE_RATE)
        file.writeframes(voices.speak(SAMPLES[voice.language], voice).pcm)
    return sound.getvalue()


async def _jpeg(look: str, *, is_face: bool) -> web.Response:
    from heygen_portal.emulator.face import stills  # rarely needed without media

    if look not in stills.LOOKS:
        raise web.HTTPNotFound
    body = await asyncio.to_thread(stills.jpeg, look, is_face=is_face)
    return web.Response(body=body, content_type="image/jpeg", headers={"Cache-Control": "max-age=86400"})
