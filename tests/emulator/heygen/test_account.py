"""Account routes: lists, tokens, knowledge, previews, other origins."""

from __future__ import annotations

import httpx

from tests.emulator.wire import Wire


def test_pages_list_every_session_once(wire: Wire) -> None:
    made = {wire.new() for _ in range(7)}
    seen: list[str] = []
    token: str | None = ""
    while token is not None:
        page = wire.get(f"/v2/streaming.list?page_size=3&token={token}")
        seen += [row["session_id"] for row in page["data"]]
        token = page["next_pagination_token"]
    assert sorted(seen) == sorted(made)
    assert [row["session_id"] for row in wire.get("/v2/streaming.list?page=3&page_size=3")["data"]] == seen[6:]


def test_every_answer_allows_cross_origin_requests(wire: Wire) -> None:
    asked = wire.http.options("/v1/streaming.new", headers={"Origin": "https://app.example"})
    assert asked.status_code == 204
    assert {"authorization", "content-type", "x-api-key"} <= set(
        asked.headers["Access-Control-Allow-Headers"].split(", ")
    )
    for answer in (wire.http.get("/v1/streaming.list"), wire.http.get("/nowhere"), wire.call("streaming.new", {})):
        assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_token_can_be_pasted_into_a_url(wire: Wire) -> None:
    assert wire.token().isalnum()


def test_a_session_token_works_only_for_its_session(wire: Wire) -> None:
    token = wire.token()
    own = wire.data("streaming.new", {"version": "v2"}, token=token)["session_id"]
    assert wire.call("streaming.start", {"session_id": own}, token=token).status_code == 200
    assert wire.call("streaming.stop", {"session_id": wire.new()}, token=token).status_code == 401


def test_the_catalogues_preview_url_serves_a_jpeg(wire: Wire) -> None:
    for avatar in wire.get("/v1/streaming/avatar.list")["data"][:1]:
        picture = httpx.get(avatar["normal_preview"], trust_env=False)
        assert picture.headers["Content-Type"] == "image/jpeg"
        assert picture.content.startswith(b"\xff\xd8")


def test_an_avatar_can_be_listed_twice_with_a_newer_row(wire: Wire) -> None:
    rows = wire.get("/v1/streaming/avatar.list")["data"]
    twice = [row for row in rows if row["avatar_id"] == "Lucia_public_20260101"]
    assert [row["pose_name"] for row in sorted(twice, key=lambda row: row["created_at"])] == ["Lucía (2025)", "Lucía"]


def test_a_knowledge_base_is_created_changed_and_deleted(wire: Wire) -> None:
    made = wire.data(
        "/v1/streaming/knowledge_base/create", {"name": "Hours", "opening": "Hi", "prompt": "Nine to five."}
    )
    path = f"/v1/streaming/knowledge_base/{made['id']}"
    wire.data(path, {"prompt": "Ten to six.", "opening": None})
    (row,) = [row for row in wire.get("/v1/streaming/knowledge_base/list")["data"]["list"] if row["id"] == made["id"]]
    assert (row["name"], row["opening"], row["prompt"]) == ("Hours", "Hi", "Ten to six.")
    wire.new(knowledge_base_id=made["id"])
    assert wire.call(path, method="DELETE").status_code == 200
    assert wire.call("streaming.new", {"knowledge_base_id": made["id"]}).status_code == 400
