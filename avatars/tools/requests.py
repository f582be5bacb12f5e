"""Requests of tools: made of staff's template and the model's arguments.

Arguments become segments of the path, values of the query, and values in the body. Nothing else of a request can be
changed by them: not its scheme, host, port, headers, nor which segments and values it has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from avatars.models import HttpTool
from avatars.models.model_services import ToolContent
from avatars.tools import schemas
from heygen_portal.webhooks import addresses
from heygen_portal.webhooks.addresses import AddressForbidden

_PLACEHOLDER = re.compile(r"\{(\w+)\}", re.ASCII)
_HEADER = re.compile(r"(?P<name>[A-Za-z0-9-]{1,60}):[ \t]*(?P<value>[!-~](?:[ -~]{0,3998}[!-~])?)")
# What the client sets itself, or what would change to whom a server belongs.
_OWN_HEADERS = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "forwarded",
        "host", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade", "x-forwarded-for", "x-forwarded-host",
    }
)  # fmt: skip
MAX_HEADERS, MAX_BODY_DEPTH = 20, 10
WITH_BODY = frozenset({HttpTool.Method.POST, HttpTool.Method.PUT, HttpTool.Method.PATCH})
HIDDEN = "•••"


class BadArguments(Exception):
    """The arguments cannot be written into the request."""


@dataclass(frozen=True)
class Request:
    """A request as it is sent. `secrets` are header values that nobody sees."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


def build(tool: ToolContent, arguments: Mapping[str, Any]) -> Request:
    """Write arguments that fit the schema into a tool's request. Raises BadArguments."""
    headers = headers_of(tool.headers)
    body = None
    if tool.body:
        body = json.dumps(_filled(json.loads(tool.body), arguments)).encode()
        headers["Content-Type"] = "application/json"
    return Request(tool.method, _url(tool.url, arguments), headers, headers_of(tool.secrets), body)


def _url(template: str, arguments: Mapping[str, Any]) -> str:
    origin, path, query = _parts(template)
    segments = [_PLACEHOLDER.sub(lambda match: _segment(arguments.get(match[1])), each) for each in path.split("/")]
    if any(each in (".", "..") for each in segments):
        raise BadArguments
    pairs = [
        _PLACEHOLDER.sub(lambda match: _quoted(arguments[match[1]]), pair)
        for pair in (query.split("&") if query else ())
        # A value of an argument that is left out is left out.
        if all(arguments.get(name) is not None for name in _PLACEHOLDER.findall(pair))
    ]
    return f"{origin}{'/'.join(segments)}{'?' if pairs else ''}{'&'.join(pairs)}"


def _segment(value: Any) -> str:
    """Return a value as a whole segment or a part of one, for servers that decode a path before they read it, too."""
    text = _text(value)
    if not text.strip(". ") or not text.isprintable() or any(sign in "/\\?#%;" for sign in text):
        raise BadArguments
    return quote(text, safe="")


def _quoted(value: Any) -> str:
    try:
        return quote(_text(value), safe="")
    except UnicodeEncodeError as exc:  # half a character
        raise BadArguments from exc


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise BadArguments


_LEFT_OUT = object()


def _filled(template: Any, arguments: Mapping[str, Any]) -> Any:
    """Return a body with its placeholders filled. One that is a whole text becomes the argument with its type."""
    if isinstance(template, dict):
        filled = {key: _filled(value, arguments) for key, value in template.items()}
        return {key: value for key, value in filled.items() if value is not _LEFT_OUT}
    if isinstance(template, list):
        return [each for each in (_filled(value, arguments) for value in template) if each is not _LEFT_OUT]
    if not isinstance(template, str):
        return template
    if whole := _PLACEHOLDER.fullmatch(template):
        return arguments.get(whole[1], _LEFT_OUT)
    return _PLACEHOLDER.sub(lambda match: _text(arguments.get(match[1], "")), template)


def headers_of(text: str) -> dict[str, str]:
    """Read headers, one per line. Raises ValidationError."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise ValidationError(_("One header per line, a name and a value in ASCII: “Accept-Language: es”."))
        if match["name"].lower() in _OWN_HEADERS or match["name"].lower() in map(str.lower, found):
            raise ValidationError(_("The header %(name)s cannot be set here.") % {"name": match["name"]})
        found[match["name"]] = match["value"]
    if len(found) > MAX_HEADERS:
        raise ValidationError(_("At most %(count)s headers.") % {"count": MAX_HEADERS})
    return found


def check_url(url: str) -> None:
    """Refuse an address that the portal does not call, whatever the arguments. Raises ValidationError."""
    if _PLACEHOLDER.search(url.partition("://")[2].partition("/")[0].partition("?")[0]):
        raise ValidationError(_("Only the path and the values of the query can have arguments."))
    plain = _PLACEHOLDER.sub("x", url)
    try:
        addresses.check_url(plain)
    except AddressForbidden as exc:
        raise ValidationError(str(exc.why)) from exc
    if "{" in plain or "}" in plain:
        raise ValidationError(_("Braces only around the name of an argument."))
    _origin, path, query = _parts(url)
    if any(each in (".", "..") for each in path.split("/")):
        raise ValidationError(_("A path without “.” and “..”."))
    if any(_PLACEHOLDER.search(pair.partition("=")[0]) for pair in query.split("&")):
        raise ValidationError(_("Only the path and the values of the query can have arguments."))
    check_host(url)


def check_host(url: str) -> None:
    """Refuse a host that TOOL_HOSTS does not list, if it lists any. Raises ValidationError."""
    host = (urlsplit(_PLACEHOLDER.sub("x", url)).hostname or "").rstrip(".")
    allowed = [name.lower() for name in settings.TOOL_HOSTS]
    if allowed and not any(host == name or (name.startswith(".") and host.endswith(name)) for name in allowed):
        raise ValidationError(_("The server’s settings do not allow this host: TOOL_HOSTS."))


def check_arguments(url: str, body: str, schema: Mapping[str, Any]) -> dict[str, ValidationError]:
    """Return what is wrong with the placeholders of a template, by field."""
    found: dict[str, ValidationError] = {}
    named, required = schemas.properties(schema), schema.get("required", [])
    _origin, path, query = _parts(url)
    for name in _PLACEHOLDER.findall(path + query):
        if not schemas.is_scalar(named.get(name)):
            words = _("%(name)s must be an argument whose type is a string, a number or a boolean.")
            found["url"] = ValidationError(words % {"name": name})
    if missing := [name for name in _PLACEHOLDER.findall(path) if name not in required]:
        words = _("A part of the path must be a required argument: %(names)s.")
        found.setdefault("url", ValidationError(words % {"names": ", ".join(missing)}))
    if unknown := sorted(name for name in set(_names_in(_body(body))) if name not in named):
        found["body"] = ValidationError(_("There is no such argument: %(names)s.") % {"names": ", ".join(unknown)})
    return found


def check_body(body: str, method: str) -> None:
    """Refuse a body that is no JSON object or array, or that its method does not send. Raises ValidationError."""
    if not body:
        return
    if method not in WITH_BODY:
        raise ValidationError(_("Only POST, PUT and PATCH send a body."))
    if _depth(_body(body)) > MAX_BODY_DEPTH:
        raise ValidationError(_("It is nested too deep."))


def _body(body: str) -> Any:
    if not body:
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise ValidationError(_("This is no JSON.")) from exc
    if not isinstance(found, dict | list):
        raise ValidationError(_("A JSON object or array."))
    return found


def _depth(value: Any, at: int = 0) -> int:
    if at > MAX_BODY_DEPTH or not isinstance(value, dict | list):
        return at
    inner = value.values() if isinstance(value, dict) else value
    return max((_depth(each, at + 1) for each in inner), default=at)


def _names_in(value: Any) -> Iterator[str]:
    """Yield the names of a body's placeholders."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _names_in(each)
    elif isinstance(value, str):
        yield from _PLACEHOLDER.findall(value)


def _parts(url: str) -> tuple[str, str, str]:
    """Return scheme with host and port, path, and query of a template."""
    scheme, _separator, rest = url.partition("://")
    rest, _mark, query = rest.partition("?")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host}", f"{slash}{path}", query
