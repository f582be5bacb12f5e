"""Arguments become parts of a request, and change nothing else of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from yarl import URL

from avatars.models import HttpTool
from avatars.tools import requests, schemas
from avatars.tools.requests import BadArguments

SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "string"},
        "count": {"type": "integer"},
        "urgent": {"type": "boolean"},
        "items": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["order"],
}
HOSTILE = [
    "../admin", "..", ".", "", " ", "a/b", "a\\b", "a?b=c", "a#b", "%2e%2e", "a;b", "a\r\nX-Evil: 1", "a\x00", "\ud800",
    "@evil.test", "//evil.test", "http://evil.test", "a b", "á", "a&admin=1", "a=b", "{count}", "[::1]", ":80",
]  # fmt: skip


def tool(**fields: Any) -> HttpTool:
    values = {
        "url": "https://shop.test:8443/v1/orders/{order}?n={count}&fixed=1",
        "headers": "Accept-Language: es",
        "secret_headers": "Authorization: Bearer s3cret",
    }
    return HttpTool(**{**values, **fields})


def test_arguments_are_segments_and_values() -> None:
    made = requests.build(tool(), {"order": "A 1&2=3", "count": 7})
    assert made.url == "https://shop.test:8443/v1/orders/A%201%262%3D3?n=7&fixed=1"
    assert (made.method, made.headers, made.body) == ("GET", {"Accept-Language": "es"}, None)
    assert requests.build(tool(), {"order": "A1"}).url == "https://shop.test:8443/v1/orders/A1?fixed=1"


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_part_of_the_path_stays_one_segment_or_is_refused(value: str) -> None:
    try:
        made = requests.build(tool(), {"order": value})
    except BadArguments:
        return
    read = URL(made.url, encoded=True)
    assert str(read.origin()) == "https://shop.test:8443"
    assert read.raw_path.startswith("/v1/orders/")
    assert read.raw_path.count("/") == 3
    assert (read.raw_query_string, read.raw_fragment) == ("fixed=1", "")
    assert read.name == value


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_of_the_query_stays_one_value_or_is_refused(value: str) -> None:
    try:
        made = requests.build(tool(url="https://shop.test/find?q={order}&fixed=1"), {"order": value})
    except BadArguments:
        return
    read = URL(made.url, encoded=True)
    assert (str(read.origin()), read.raw_path, read.raw_fragment) == ("https://shop.test", "/find", "")
    assert list(read.query.items()) == [("q", value), ("fixed", "1")]


def test_a_body_keeps_types_and_leaves_out_what_is_missing() -> None:
    body = '{"id": "{order}", "n": "{count}", "t": "No. {order}{count}", "l": ["{items}", 1], "x": {"u": "{urgent}"}}'
    made = requests.build(tool(method="POST", body=body), {"order": 'a"}, {"b', "count": 7, "items": ["x"]})
    assert json.loads(made.body or b"") == {
        "id": 'a"}, {"b', "n": 7, "t": 'No. a"}, {"b7', "l": [["x"], 1], "x": {}
    }  # fmt: skip
    assert made.headers["Content-Type"] == "application/json"


def test_a_list_cannot_be_written_into_an_address() -> None:
    with pytest.raises(BadArguments):
        requests.build(tool(url="https://shop.test/{items}"), {"items": ["a"]})


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.test/{order}", "ftp://shop.test", "https://{order}", "https://{order}.shop.test/", "{order}://shop.test",
        "https://shop.test:{count}/", "https://user:pass@shop.test/", "https://shop.test/#{order}", "https://shop.test/?{order}=1",
        "https://shop.test/{order", "https://shop.test/{or der}", "https://shop.test/../{order}", "https://10.0.0.1/", "https://[::1]x/",
        "https://169.254.169.254/latest", "https://2130706433/", "/orders", "", "https://shop.test/a b",
    ],
)  # fmt: skip
def test_an_address_that_is_not_fixed_or_not_public_is_refused(url: str, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["portal.example.org"]  # in production
    with pytest.raises(ValidationError):
        requests.check_url(url)


def test_only_allowed_hosts_can_be_called(settings: Any) -> None:
    settings.TOOL_HOSTS = ["api.shop.test", ".example.org"]
    for url in ("https://api.shop.test/{order}", "https://API.shop.test./", "https://a.b.example.org/"):
        requests.check_url(url)
    for url in ("https://shop.test/", "https://example.org.evil.test/", "https://evilexample.org/"):
        with pytest.raises(ValidationError):
            requests.check_url(url)


@pytest.mark.parametrize(
    "headers",
    [
        "Host: evil.test",
        "Content-Length: 3",
        "X: a\x0bb",
        "X Y: a",
        "X: á",
        "X:",
        "A: 1\na: 2",
        "transfer-encoding: chunked",
    ],
)
def test_headers_that_change_the_request_are_refused(headers: str) -> None:
    with pytest.raises(ValidationError):
        requests.headers_of(headers)


@pytest.mark.parametrize(
    ("url", "body", "field"),
    [
        ("https://shop.test/{none}", "", "url"),
        ("https://shop.test/{items}", "", "url"),
        ("https://shop.test/{count}", "", "url"),  # not required
        ("https://shop.test/{order}?n={count}", '["{items}"]', ""),
        ("https://shop.test/", '{"a": ["{none}"]}', "body"),
    ],
)
def test_placeholders_are_arguments_of_the_schema(url: str, body: str, field: str) -> None:
    assert list(requests.check_arguments(url, body, SCHEMA)) == [field] * bool(field)


@pytest.mark.parametrize(
    "schema",
    [
        "", "[]", '{"type": "array"}', '{"type": "object", "$ref": "https://evil.test/s.json"}',
        '{"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}}',
        '{"type": "object", "properties": {"a": {"anyOf": []}}}', '{"type": "object", "properties": {"a b": {}}}',
        '{"type": "object", "properties": {"a": {"type": "text"}}}', '{"type": "object", "properties": []}', "[" * 5000,
    ],
)  # fmt: skip
def test_a_schema_that_is_none_or_unbounded_is_refused(schema: str) -> None:
    with pytest.raises(ValidationError):
        schemas.read(schema)


def test_arguments_that_the_schema_does_not_name_are_refused() -> None:
    schema = schemas.read(json.dumps(SCHEMA))
    assert schemas.fits({"order": "A1"}, schema)
    assert not schemas.fits({"order": "A1", "url": "https://evil.test"}, schema)
    assert schemas.fits(schemas.sample(schema), schema)
