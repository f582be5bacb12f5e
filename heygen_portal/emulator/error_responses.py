"""Error responses in the form of the service that serves a path."""

from collections.abc import Mapping

from aiohttp import web

from heygen_portal.emulator.heygen import responses as heygen_responses
from heygen_portal.emulator.liveavatar import responses as live
from heygen_portal.emulator.liveavatar.states import LIVEAVATAR_ERRORS, is_liveavatar
from heygen_portal.emulator.openai import errors as openai
from heygen_portal.emulator.openai.errors import OPENAI_ERRORS, is_openai
from heygen_portal.emulator.sessions.states import ERRORS, Error, Refusal


def errors_of(path: str) -> Mapping[str, Error]:
    """Return the table of errors of the service that serves a path."""
    if is_openai(path):
        return OPENAI_ERRORS
    return LIVEAVATAR_ERRORS if is_liveavatar(path) else ERRORS


def refused(path: str, refusal: Refusal) -> web.Response:
    if is_openai(path):
        return openai.refused(refusal)
    return live.refused(refusal) if is_liveavatar(path) else heygen_responses.refused(path, refusal)


def failure(path: str, status: int, code: int, message: str) -> web.Response:
    if is_openai(path):
        return openai.failure(status, message)
    return (
        live.failure(status, message) if is_liveavatar(path) else heygen_responses.failure(path, status, code, message)
    )
