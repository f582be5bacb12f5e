"""Error responses in the form of the service that a path belongs to."""

from aiohttp import web

from heygen_portal.emulator import answers
from heygen_portal.emulator.liveavatar import answers as live
from heygen_portal.emulator.liveavatar.tables import is_liveavatar
from heygen_portal.emulator.tables import Refusal


def refused(path: str, refusal: Refusal) -> web.Response:
    return live.refused(refusal) if is_liveavatar(path) else answers.refused(path, refusal)


def failure(path: str, status: int, code: int, message: str) -> web.Response:
    return live.failure(status, message) if is_liveavatar(path) else answers.failure(path, status, code, message)
