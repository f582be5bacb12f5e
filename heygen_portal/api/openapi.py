"""The published schema of the REST API: what ninja generates, completed with what all operations share."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any

from heygen_portal.api import assembly
from heygen_portal.rest import idempotency, problems
from heygen_portal.rest.operations import COSTS_MONEY_KEY, SCOPES_KEY

SECURITY_NAME = "apiKey"
DESCRIPTION = """\
Programs start conversations with personas, send texts, and read records.

Every request needs an API key: `Authorization: Bearer hp_…`. A key can never do more than its owner. Errors are problem
details (RFC 9457) in the language of `Accept-Language`; `code` is stable. Lists have pages: pass `next_cursor` as
`cursor`. Answers to GET have an `ETag` for `If-None-Match`. A POST that costs money takes an `Idempotency-Key`: for a
day, the same key gives the same answer.
"""
# Problems that each operation may answer with.
COMMON = {
    401: "No valid API key",
    403: "The key lacks a scope, or a limit forbids it",
    404: "Nothing there, or the key's owner may not see it",
    409: "The state of the session, or of an earlier request, does not allow it",
    422: "The request does not match the schema, or its `Idempotency-Key` belongs to another request",
    429: "Too many requests",
    500: "An error of the portal",
    502: "An error of the provider",
    503: "No free slot, or the portal is not available",
}
# Problems of operations that take a body.
OF_BODIES = {
    400: "The body cannot be read as what it is declared",
    413: "The body is too large",
    415: "The body is not declared as a type that the operation takes, mostly `application/json`",
}
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457). Some codes have further members.",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "description": "`urn:heygen-portal:problem:` and the code."},
        "title": {"type": "string", "description": "For people, in their language."},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "For programs."},
        "detail": {"type": "string"},
        "wait_seconds": {"type": "integer", "description": "When to try again."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"at": {"type": "string"}, "message": {"type": "string"}},
                "required": ["at", "message"],
            },
        },
    },
}
RATE_LIMIT_HEADERS = {
    "RateLimit-Policy": {"description": "Requests (q) in a window of w seconds.", "schema": {"type": "string"}},
    "RateLimit": {"description": "Requests left (r) for t seconds.", "schema": {"type": "string"}},
}
NAME_CHANGES = ((re.compile(r"\bPage_(\w+?)Out_"), r"\1Page"), (re.compile(r'\b([A-Z]\w+)Out"'), r'\1"'))


@cache
def schema() -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    generated = assembly.api.get_openapi_schema(path_prefix=assembly.PREFIX)
    document: dict[str, Any] = json.loads(_renamed(json.dumps(generated)))
    document["info"]["description"] = DESCRIPTION
    components = document["components"]
    for name in [name for name in components["schemas"] if name.endswith("Query")]:
        del components["schemas"][name]  # a list's parameters are listed with it
    components["schemas"]["Problem"] = PROBLEM_SCHEMA
    components["securitySchemes"] = {SECURITY_NAME: {"type": "http", "scheme": "bearer", "bearerFormat": "hp_…"}}
    for methods in document["paths"].values():
        for method, operation in methods.items():
            _complete(method, operation)
    return document


def content(title: str) -> bytes:
    """Return the document as JSON, under the portal's name."""
    document = schema()
    named = document | {"info": document["info"] | {"title": title}}
    return json.dumps(named, ensure_ascii=False, indent=1).encode()


def _renamed(text: str) -> str:
    for pattern, replacement in NAME_CHANGES:
        text = pattern.sub(replacement, text)
    return text


def _complete(method: str, operation: dict[str, Any]) -> None:
    """Add security, shared headers and problems to an operation."""
    operation["security"] = [{SECURITY_NAME: [scope]} for scope in operation[SCOPES_KEY]]
    for parameter in operation["parameters"]:
        parameter["schema"] = _without_null(parameter["schema"])
    if operation.pop(COSTS_MONEY_KEY):
        operation["parameters"].append(_idempotency_key())
    for answer in operation["responses"].values():
        headers = dict(RATE_LIMIT_HEADERS)
        if method == "get":
            headers["ETag"] = {"description": "For `If-None-Match`.", "schema": {"type": "string"}}
        answer["headers"] = headers
    if method == "get":
        operation["responses"]["304"] = {"description": "Not changed since the ETag of `If-None-Match`"}
    expected = COMMON | (OF_BODIES if "requestBody" in operation else {})
    for status, words in sorted(expected.items()):
        described = {problems.CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        operation["responses"].setdefault(str(status), {"description": words, "content": described})


def _without_null(parameter: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a parameter, which a caller leaves out instead of sending null."""
    parameter = copy.copy(parameter)
    match parameter.get("anyOf"):
        case [dict() as only, {"type": "null"}]:
            del parameter["anyOf"]
            parameter |= only
    return parameter


def _idempotency_key() -> dict[str, Any]:
    return {
        "in": "header",
        "name": idempotency.HEADER,
        "required": False,
        "description": "A new random text for each intended request. Repeat it with the same body to be safe.",
        "schema": {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_NAME_LENGTH, "pattern": "^[ -~]+$"},
    }
