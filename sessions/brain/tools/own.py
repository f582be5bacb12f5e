"""Staff's own tools: bound to the versions that a session began with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError

from avatars.models import HttpToolVersion, PersonaVersion
from avatars.models.accounts import is_readable
from avatars.models.persona_settings import PersonaSettings
from avatars.tools import requests, schemas, sending
from avatars.tools.requests import BadArguments
from avatars.tools.sending import RequestFailed
from heygen_portal.providers.openai.messages import ToolSpec
from sessions.brain.tools.calls import ARGUMENTS, Result, Run, Tool, ToolFailed

# Codes of calls that failed before a request.
SWITCHED_OFF, NO_SECRET = "switched_off", "no_secret"
# What the model reads in a test of a persona, which calls nothing.
NOT_CALLED = "This is a test: the tool was not called."
EMPTY = "Done."


def of_session(version: PersonaVersion, settings: PersonaSettings) -> list[Tool]:
    """Return the tools that a session can call: those that the persona switches on, as they were when it began."""
    if not (wanted := [pk for pk in settings.tools.values() if isinstance(pk, int)]):
        return []
    rows = HttpToolVersion.objects.filter(pk__in=wanted, tool__name__in=version.own_tool_names)
    return _bound(rows.select_related("tool").order_by("tool__name"), _calling)


def stand_ins(version: PersonaVersion) -> list[Tool]:
    """Return the tools of a persona for a test: with them the model can be tested, but nothing is called."""
    if not (names := version.own_tool_names):
        return []
    return _bound(HttpToolVersion.objects.current(names).select_related("tool"), _calling_nothing)


def _bound(rows: Iterable[HttpToolVersion], run_of: Callable[[HttpToolVersion], Run]) -> list[Tool]:
    found = []
    for row in rows:
        try:
            schema = schemas.read(row.arguments)
        except ValidationError:  # changed by SQL
            continue
        spec = ToolSpec(row.tool.name, row.description, schema)
        timeout_s = row.timeout.total_seconds()
        found.append(Tool(spec, run_of(row), timeout_s, has_effects=not row.is_read_only, is_external=True))
    return found


def _calling_nothing(_row: HttpToolVersion) -> Run:
    async def run(_arguments: Mapping[str, Any]) -> Result:
        return Result(NOT_CALLED)

    return run


def _calling(row: HttpToolVersion) -> Run:
    async def run(arguments: Mapping[str, Any]) -> Result:
        if not row.tool.is_active:
            raise ToolFailed(SWITCHED_OFF)
        if not is_readable(row.secrets):
            raise ToolFailed(NO_SECRET)
        try:
            text = await sending.send(row, requests.build(row, arguments))
        except (BadArguments, ValidationError, ValueError, RecursionError):
            raise ToolFailed(ARGUMENTS) from None
        except RequestFailed as exc:
            raise ToolFailed(exc.code) from None
        return Result(text or EMPTY)

    return run
