"""The Video API: videos are ordered, rendered and downloaded."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import av
import httpx
import numpy as np
import pytest

from tests.emulator.wire import AVATAR, Wire


def video_request(text: str, **more: Any) -> dict[str, Any]:
    scene = {"character": {"type": "avatar", "avatar_id": AVATAR}, "voice": {"type": "text", "input_text": text}}
    return {"video_inputs": [scene], "dimension": {"width": 640, "height": 360}, **more}


class Receiver:
    """A server that receives webhooks. `next` waits for a delivery."""

    def __init__(self) -> None:
        self.deliveries: Queue[tuple[dict[str, str], bytes]] = Queue()
        deliveries = self.deliveries

        class Handler(BaseHTTPRequestHandler):
            def do_OPTIONS(self) -> None:
                self.send_response(204)
                self.end_headers()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                deliveries.put((dict(self.headers), body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Tests are read, not logs."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def next(self) -> tuple[dict[str, str], bytes]:
        return self.deliveries.get(timeout=60)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


def order(wire: Wire, receiver: Receiver, body: dict[str, Any]) -> dict[str, Any]:
    """Wait for the webhook and return the video's status."""
    video_id = wire.data("/v2/video/generate", body | {"callback_url": receiver.url})["video_id"]
    receiver.next()
    status: dict[str, Any] = wire.get(f"/v1/video_status.get?video_id={video_id}")["data"]
    return status


def test_a_video_has_the_chosen_size_and_speech(wire: Wire, receiver: Receiver) -> None:
    status = order(wire, receiver, video_request("Good morning, this is a video."))
    assert status["status"] == "completed"
    with av.open(io.BytesIO(httpx.get(status["video_url"], trust_env=False).content), "r") as video:
        frames = [frame.to_ndarray(format="gray") for frame in video.decode(video=0)]
        video.seek(0)
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in video.decode(audio=0)])
    assert frames[0].shape == (360, 640)
    assert len(frames) / 25 == pytest.approx(status["duration"])
    assert np.abs(sound).mean() > 0.005
    mouth = [frame[215:265, 275:365] for frame in frames]
    assert any(np.abs(one.astype(int) - mouth[0]).mean() > 3 for one in mouth)


def test_a_video_can_be_portrait_and_silent(wire: Wire, receiver: Receiver) -> None:
    body = video_request("")
    body["video_inputs"][0]["voice"] = {"type": "silence", "duration": 1}
    body["dimension"] = {"width": 360, "height": 640}
    status = order(wire, receiver, body)
    with av.open(io.BytesIO(httpx.get(status["video_url"], trust_env=False).content), "r") as video:
        assert (video.streams.video[0].width, video.streams.video[0].height) == (360, 640)
    assert status["duration"] == 1


def test_a_video_that_is_too_long_fails_with_a_reason(wire: Wire, receiver: Receiver) -> None:
    body = video_request("")
    body["video_inputs"] = [{**body["video_inputs"][0], "voice": {"type": "silence", "duration": 100}}] * 4
    status = order(wire, receiver, body)
    assert (status["status"], status["error"]["code"], status["video_url"]) == ("failed", 40119, None)


def test_a_video_url_expires_after_seven_days_and_can_be_renewed(wire: Wire, receiver: Receiver) -> None:
    status = order(wire, receiver, video_request("Short."))
    wire.move_clock(7 * 86400 + 10)
    assert httpx.get(status["video_url"], trust_env=False).status_code == 403
    renewed = wire.get(f"/v1/video_status.get?video_id={status['id']}")["data"]["video_url"]
    assert httpx.get(renewed, trust_env=False).status_code == 200


def test_a_deleted_video_is_gone(wire: Wire, receiver: Receiver) -> None:
    status = order(wire, receiver, video_request("Short."))
    assert wire.call(f"/v1/video.delete?video_id={status['id']}", method="DELETE").status_code == 200
    assert httpx.get(status["video_url"], trust_env=False).status_code == 404


def test_a_webhook_is_signed(wire: Wire, receiver: Receiver) -> None:
    endpoint = wire.data("/v1/webhook/endpoint.add", {"url": receiver.url, "events": ["avatar_video.success"]})
    wire.data("/v2/video/generate", video_request("Short.", callback_id="c-1"))
    headers, body = receiver.next()
    assert headers["Signature"] == hmac.new(endpoint["secret"].encode(), body, hashlib.sha256).hexdigest()
    event = json.loads(body)
    assert event["event_type"] == "avatar_video.success"
    assert event["event_data"]["callback_id"] == "c-1"
    gone = f"/v1/webhook/endpoint.delete?endpoint_id={endpoint['endpoint_id']}"
    assert wire.call(gone, method="DELETE").status_code == 200
    assert wire.get("/v1/webhook/endpoint.list")["data"] == []


def test_an_endpoint_that_does_not_answer_is_refused(wire: Wire) -> None:
    for url in ("http://127.0.0.1:9/hook", "ftp://127.0.0.1/", "nonsense"):
        assert wire.call("/v1/webhook/endpoint.add", {"url": url}).status_code == 400


def test_an_endpoints_events_can_be_changed(wire: Wire, receiver: Receiver) -> None:
    endpoint = wire.data("/v1/webhook/endpoint.add", {"url": receiver.url})
    change = {"endpoint_id": endpoint["endpoint_id"], "events": ["avatar_video.fail"]}
    assert wire.call("/v1/webhook/endpoint.update", change, method="PATCH").status_code == 200
    assert wire.get("/v1/webhook/endpoint.list")["data"][0]["events"] == ["avatar_video.fail"]
    for wrong in ({"events": ["nonsense"]}, {"url": "ftp://x"}, {"endpoint_id": "nobody"}):
        assert wire.call("/v1/webhook/endpoint.update", change | wrong, method="PATCH").status_code == 400
