"""A receiver of OpenTelemetry traces by HTTP, as a collector is one."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.timeouts import WAIT_TIMEOUT_S


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    trace: str
    parent: str
    attributes: dict[str, str]
    nanoseconds: int


@dataclass
class Receiver:
    url: str
    spans: list[Span] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)

    def take(self, request: ExportTraceServiceRequest) -> None:
        with self._arrived:
            for group in request.resource_spans:
                service = {item.key: item.value.string_value for item in group.resource.attributes}["service.name"]
                for span in (span for scope in group.scope_spans for span in scope.spans):
                    values = {item.key: item.value.string_value for item in span.attributes}
                    duration = span.end_time_unix_nano - span.start_time_unix_nano
                    ids = span.trace_id.hex(), span.parent_span_id.hex()
                    self.spans.append(Span(service, span.name, *ids, values, duration))
            self._arrived.notify_all()

    def wait_for(self, is_found: Callable[[list[Span]], bool]) -> list[Span]:
        """Return all spans once `is_found` is true for them."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: is_found(self.spans), WAIT_TIMEOUT_S), self.spans
            return list(self.spans)


@contextmanager
def run() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            receiver.take(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield receiver
        finally:
            server.shutdown()
