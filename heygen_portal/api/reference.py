"""The schema at a stable address, and a page to read it. The page needs no script, as the strict CSP allows none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from heygen_portal.api import openapi
from heygen_portal.branding.current import current
from heygen_portal.rest.operations import SCOPES_KEY

MAX_AGE_SECONDS = 300


@dataclass(frozen=True)
class Field:
    """A parameter, or a member of a body or of an answer."""

    name: str
    place: str
    type: str
    is_required: bool
    description: str


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str
    summary: str
    description: str
    scopes: list[str]
    fields: list[Field]
    status: str
    answer: str
    answer_fields: list[Field]


@login_not_required
@require_safe
@cache_control(public=True, max_age=MAX_AGE_SECONDS)
def schema(request: HttpRequest) -> HttpResponse:
    """Send the OpenAPI document."""
    return HttpResponse(openapi.content(current().name), content_type="application/json")


@login_not_required
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Show every operation with its scopes, parameters and answers."""
    document = openapi.schema()
    subjects: dict[str, list[Operation]] = {}
    for subject, operation in _operations(document):
        subjects.setdefault(subject, []).append(operation)
    problems = sorted((openapi.COMMON | openapi.OF_BODIES).items())
    context = {
        "subjects": subjects,
        "problems": [(status, with_code(words)) for status, words in problems],
        "description": map(with_code, openapi.DESCRIPTION.split("\n\n")),
    }
    return render(request, "api/reference.html", context)


def with_code(text: str) -> SafeString:
    """Return a description as HTML: what stands between backticks is code."""
    parts = enumerate(text.split("`"))
    return format_html_join(
        "", "{}", ((format_html("<code>{}</code>", part) if odd % 2 else part,) for odd, part in parts)
    )


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            bodies = {
                kind: each["schema"] for kind, each in described.get("requestBody", {}).get("content", {}).items()
            }
            body = bodies.pop("application/json", None)
            status, answer = next((code, each) for code, each in described["responses"].items() if code < "300")
            contents: list[dict[str, Any]] = list(answer.get("content", {}).values())
            answered = contents[0]["schema"] if contents else None
            fields = [_field(each["name"], each["in"], each, each["required"]) for each in described["parameters"]]
            fields += [_field(kind, "body", {"schema": each}, is_required=not body) for kind, each in bodies.items()]
            yield (
                described["tags"][0],
                Operation(
                    name=described["operationId"],
                    method=method.upper(),
                    path=path,
                    summary=described["summary"],
                    description=with_code(described.get("description", "")),
                    scopes=described[SCOPES_KEY],
                    fields=fields + list(_members(document, body, "body")),
                    status=status,
                    answer=_type(answered or {}),
                    answer_fields=list(_members(document, answered, "")),
                ),
            )


def _members(document: dict[str, Any], schema: dict[str, Any] | None, place: str) -> Iterator[Field]:
    """Yield the members of an object; of a list, those of one item."""
    found = _resolved(document, schema or {})
    if items := found.get("properties", {}).get("items"):
        found = _resolved(document, items["items"])
    required = found.get("required", ())
    for name, each in found.get("properties", {}).items():
        yield _field(name, place, {"schema": each, "description": each.get("description", "")}, name in required)


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return resolved


def _field(name: str, place: str, described: dict[str, Any], is_required: bool) -> Field:
    return Field(name, place, _type(described["schema"]), is_required, with_code(described.get("description", "")))


def _type(schema: dict[str, Any]) -> str:
    """Return a type in a few words, such as "string, date-time" or "live | ended"."""
    if name := schema.get("$ref", "").rpartition("/")[2]:
        return str(name)
    if options := schema.get("anyOf"):
        return " | ".join(map(_type, options))
    if values := schema.get("enum"):
        return " | ".join(value or '""' for value in map(str, values))
    if schema.get("type") == "array":
        return f"{_type(schema['items'])}[]"
    return ", ".join(filter(None, (str(schema.get("type", "any")), schema.get("format", ""))))
