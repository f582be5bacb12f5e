"""Responses that the server sends itself, before Django sees the request."""

from __future__ import annotations

import json
from http import HTTPStatus

from django.utils import translation
from django.utils.html import escape
from django.utils.translation import gettext as _

from heygen_portal.branding.current import known
from heygen_portal.branding.languages import preferred
from heygen_portal.runtime import refusals
from heygen_portal.runtime.text import catalogues
from heygen_portal.server.limits import KIB, MIB

PAGE = """<!doctype html>
<html lang="{language}"><meta charset="utf-8"><title>{title} · {portal}</title>
<h1>{title}</h1><p>{words}</p></html>
"""


class TooManyUploads(Exception):
    """No slot for another large body, from this address if `is_own`, else from all."""

    def __init__(self, *, is_own: bool) -> None:
        super().__init__()
        self.is_own = is_own

    def answer(self, accept_language: str) -> bytes:
        """Return the complete HTTP response."""
        with translation.override(_language(accept_language)):
            if self.is_own:
                words = _("Other large files are still being uploaded from your address. Try again when they are done.")
                return _answer(HTTPStatus.TOO_MANY_REQUESTS, _("Busy"), words)
            words = _("Other users are uploading large files. Try again in a minute.")
            return _answer(HTTPStatus.SERVICE_UNAVAILABLE, _("Busy"), words)


def too_large(limit: int, accept_language: str) -> bytes:
    """Return the complete HTTP response for a body of more than `limit` bytes."""
    with translation.override(_language(accept_language)):
        size = f"{limit // MIB} MB" if limit >= MIB else f"{limit // KIB} KB"
        words = _("Your upload exceeds the limit for this address (%(size)s). Send smaller files.") % {"size": size}
        return _answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _("Too large"), words)


def headers_too_large() -> bytes:
    """Return the response to oversized headers, in the default language."""
    with translation.override(known().default_language):
        words = _("The address or cookies of this request are too long. Delete the cookies of this site and try again.")
        return _answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _("Too large"), words)


def too_slow(accept_language: str) -> bytes:
    """Return the response for a request that did not arrive in time."""
    with translation.override(_language(accept_language)):
        words = _("The request took too long to arrive. Check your connection and try again.")
        return _answer(HTTPStatus.REQUEST_TIMEOUT, _("Too slow"), words)


def too_many_frames(wait_seconds: int, query: bytes) -> bytes:
    """Return the last message of a socket whose page sent too many control frames."""
    with translation.override(catalogues.socket_language(query)):
        words = refusals.full_message(wait_seconds)
        return _error("too_many_requests", words, wait_seconds=wait_seconds, about="frames")


def message_too_large(query: bytes) -> bytes:
    """Return the last message of a socket whose page sent a message that the server does not read."""
    with translation.override(catalogues.socket_language(query)):
        return _error("too_large", _("This message is too large."))


def _error(code: str, words: str, **details: str | int) -> bytes:
    return json.dumps({"type": "error", "code": code, "words": words, **details}).encode()


def _answer(status: HTTPStatus, title: str, words: str) -> bytes:
    language = translation.get_language() or known().default_language
    body = PAGE.format(
        language=language, title=escape(title), words=escape(words), portal=escape(known().name)
    ).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n"
    )
    return head.encode() + body


def _language(accepted: str) -> str:
    return preferred(known(), accepted)
