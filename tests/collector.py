"""A collector of OpenTelemetry's, as far as traces go: OTLP over HTTP on a port of this machine, in a thread of its own."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Got:
    """A span that came, and what its process calls itself."""

    process: str
    span: Span

    @property
    def attributes(self) -> dict[str, str | int]:
        """By name."""
        return {
            each.key: each.value.int_value if each.value.WhichOneof("value") == "int_value" else each.value.string_value
            for each in self.span.attributes
        }

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()


@dataclass
class Collector:
    """What came so far. `status` is what it answers, with `headers`."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    spans: list[Got] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    """Headers of each request."""

    def of(self, trace: str) -> list[Got]:
        """Spans of one trace."""
        return [got for got in list(self.spans) if got.trace == trace]

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """A request came."""
        self.asked.append(headers)
        if self.status != 200:
            return
        for each in ExportTraceServiceRequest.FromString(gzip.decompress(body)).resource_spans:
            names = {known.key: known.value.string_value for known in each.resource.attributes}
            self.spans += [Got(names["service.name"], span) for scope in each.scope_spans for span in scope.spans]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector, as long as the block lasts."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(body, {"path": self.path, **dict(self.headers)})
            self.send_response(collector.status)
            for name, value in collector.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_address[1]}/v1/traces"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
