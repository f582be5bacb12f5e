"""Tries the REST API against its published schema with Schemathesis: all checks, in all phases.

Whatever a run leaves out or changes is in this file, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.schemas import BaseSchema

from heygen_portal.api import openapi
from heygen_portal.rest import idempotency

VALID_KEY = re.compile(r"[ -~]{1,255}")
MAX_FAILURES = 40


def config(secret: str, *, examples: int, is_stateful: bool) -> SchemathesisConfig:
    """Return the settings of a run, with so many random requests for each operation beside the boundary values."""
    return SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": {"Accept-Language": "en"},
            "auth": {"openapi": {openapi.SECURITY_NAME: {"bearer": secret}}},  # a header could not be left out
            "suppress-health-check": ["all"],  # they are about the time that generation takes
            "cache": {"enabled": False},  # each run stands for itself
            "generation": {"max-examples": examples, "database": "none", "deterministic": True},
            "phases": {"stateful": {"enabled": is_stateful}},
        }
    )


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Give each request a key of its own.

    The shortest texts come again and again, and a key that belongs to another request is refused for that, as the
    tests of `idempotency` show. Invalid keys stay.
    """
    if VALID_KEY.fullmatch(str((case.headers or {}).get(idempotency.HEADER, ""))):
        case.headers[idempotency.HEADER] = uuid4().hex


def failures(schema: BaseSchema) -> list[str]:
    """Return what is wrong, once for each operation and kind."""
    found: dict[tuple[str, str], str] = {}
    for event in from_schema(schema).execute():
        for label, kind, words in _failures_of(event):
            found.setdefault((label, kind), f"{label}: {words}")
    return list(found.values())[:MAX_FAILURES]


def _failures_of(event: events.EngineEvent) -> Iterator[tuple[str, str, str]]:
    match event:
        case events.NonFatalError():
            yield event.label, type(event.value).__name__, str(event.value)
        case events.FatalError():
            yield "the run", type(event.exception).__name__, str(event.exception)
        case events.ScenarioFinished():
            for checks in event.recorder.checks.values():
                for check in checks:
                    if check.failure_info:
                        failure = check.failure_info.failure
                        label = event.label or "a sequence"
                        yield label, check.name, f"{failure.title}: {failure.message}\n{check.failure_info.code_sample}"
