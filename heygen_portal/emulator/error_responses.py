"""Error responses in the form of the service that serves a path."""

from aiohttp import web

from heygen_portal.emulator.heygen import responses as heygen_responses
from heygen_portal.emulator.liveavatar import responses as live
from heygen_portal.emulator.liveavatar.states import is_liveavatar
from heygen_portal.emulator.sessions.states import Refusal


def refused(path: str, refusal: Refusal) -> web.Response:
    return live.refused(refusal) if is_liveavatar(path) else heygen_responses.refused(path, refusal)


def failure(path: str, status: int, code: int, message: str) -> web.Response:
    return (
        live.failure(status, message) if is_liveavatar(path) else heygen_responses.failure(path, status, code, message)
    )
