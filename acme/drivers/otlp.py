"""Traces for a collector: OTLP 1 over HTTP with protobuf, by opentelemetry-proto and aiohttp's client.

    exporter = open_traces("http://127.0.0.1:4318/v1/traces", …)
    tracer.export = exporter.put

Spans are put into OpenTelemetry's names here, and nowhere before: a trace that nobody samples costs none of it. They wait
in a bounded queue and leave in batches, at most a second later. While the collector is away they wait, and the latest are
dropped once the queue is full; what it refuses for good is dropped at once. Nobody ever waits for it.

Sources: OTLP specification 1.7 (retryable statuses; `Retry-After` is kept to), semantic conventions 1.43 for HTTP, RPC,
database and messaging spans.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

from acme.drivers.postgres.measures import SYSTEM, operation, summary
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger
from acme.traces import CALL, DELIVERY, EVENT, HTTP, PROCESS, RELAY, SENT, SQL, TRACEPARENT, WAIT, Span, Trace

log: Final = logger(__name__)

BATCH: Final = 256
"""Traces in one request."""
EVERY: Final = 1.0
"""Seconds between two batches, and the first pause after a failure; pauses double, up to `LONGEST`."""
LONGEST: Final = 30.0
GOODBYE: Final = 2.0
"""Seconds that the last batch has."""
_AGAIN: Final = frozenset({429, 502, 503, 504})
"""Statuses after which a batch is sent again (OTLP, "Failures")."""
_FAULTS: Final = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class Exporter:
    """Sends traces to one collector, until it is closed."""

    def __init__(
        self,
        url: str,
        resource: Mapping[str, str],
        metrics: Metrics,
        *,
        headers: Mapping[str, str],
        timeout: float,
        queue: int,
    ) -> None:
        """`resource` says what this process is, by OpenTelemetry's conventions for resources."""
        self._url, self._timeout, self._most = url, timeout, queue
        self._headers = {**headers, "Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        self._resource = [_text(name, value) for name, value in resource.items()]
        self._queue: deque[Trace] = deque()
        self._session: ClientSession | None = None
        self._away = False
        self._exported = metrics.counter("acme_traces_exported_total", "Traces that a collector took.").bind()
        self._dropped = metrics.counter("acme_traces_dropped_total", "Traces that no collector got.", ("reason",))

    def put(self, trace: Trace) -> None:
        """Takes a trace that has ended. Never waits."""
        if len(self._queue) >= self._most:
            self._dropped.bind("queue_full").add()
        else:
            self._queue.append(trace)

    async def run(self) -> None:
        """Sends what there is, for ever."""
        pause = EVERY
        while True:
            await asyncio.sleep(pause)
            while self._queue:
                wait = await self.flush()
                if wait is not None:
                    pause = max(wait, min(pause * 2, LONGEST))
                    break
                pause = EVERY

    async def flush(self) -> float | None:
        """Sends one batch. None: it is taken, or never will be; else it waits, for so many seconds at least."""
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        if not batch:
            return None
        body = gzip.compress(encode(batch, self._resource), 1)
        session = self._session = self._session or ClientSession(cookie_jar=DummyCookieJar(), trust_env=False)
        wait, why = 0.0, ""
        try:
            limit = ClientTimeout(total=self._timeout)
            async with session.post(
                self._url, data=body, headers=self._headers, timeout=limit, allow_redirects=False
            ) as answer:
                if 200 <= answer.status < 300:
                    self._exported.add(len(batch))
                    if self._away:
                        self._away = False
                        log.info("the collector of traces is back")
                    return None
                if answer.status not in _AGAIN:
                    self._dropped.bind("refused").add(len(batch))
                    log.warning("the collector of traces refuses them", status=answer.status, traces=len(batch))
                    return None
                why = f"it answers {answer.status}"
                asked = answer.headers.get("Retry-After", "")
                wait = min(float(asked), LONGEST) if asked.isdecimal() else 0.0
        except (TimeoutError, ClientError, OSError) as error:
            why = type(error).__name__
        if not self._away:
            self._away = True
            log.warning("the collector of traces is away: they wait", why=why)
        room = max(0, self._most - len(self._queue))
        if len(batch) > room:
            self._dropped.bind("queue_full").add(len(batch) - room)
        self._queue.extendleft(reversed(batch[:room]))
        return wait

    async def close(self) -> None:
        """Sends what there is once more, for as long as that may take, and ends."""
        try:
            async with asyncio.timeout(GOODBYE):
                while self._queue and await self.flush() is None:
                    pass
        except TimeoutError:
            pass
        if self._queue:
            self._dropped.bind("stopped").add(len(self._queue))
            self._queue.clear()
        if self._session is not None:
            await self._session.close()


def open_traces(
    url: str,
    *,
    tasks: Tasks,
    metrics: Metrics,
    resource: Mapping[str, str],
    headers: Mapping[str, str],
    timeout: float,
    queue: int,
) -> Exporter:
    """An exporter that sends as long as `tasks` run."""
    exporter = Exporter(url, resource, metrics, headers=headers, timeout=timeout, queue=queue)
    tasks.spawn("traces.export", exporter.run())
    return exporter


def encode(traces: Sequence[Trace], resource: Sequence[KeyValue]) -> bytes:
    """A request of OTLP with the spans of these traces."""
    request = ExportTraceServiceRequest()
    spans: ResourceSpans = request.resource_spans.add()
    spans.resource.attributes.extend(resource)
    scope = spans.scope_spans.add()
    scope.scope.name = "acme"
    epoch = time.time_ns() - time.monotonic_ns()
    for trace in traces:
        trace.identify()
        for span in trace.spans:
            _write(scope.spans.add(), trace, Span(*span), epoch)
    return request.SerializeToString()


def _write(to: Sent, trace: Trace, span: Span, epoch: int) -> None:
    to.trace_id = bytes.fromhex(trace.id)
    to.span_id = bytes.fromhex(trace.span_id(span.number))
    to.flags = 1 if trace.sampled else 0
    to.trace_state = trace.state
    if span.parent >= 0:
        to.parent_span_id = bytes.fromhex(trace.span_id(span.parent))
    elif (caller := TRACEPARENT.fullmatch(trace.caller)) is not None:
        to.parent_span_id = bytes.fromhex(caller[2])
        to.flags |= 0x300  # known to be another process's: SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE and IS_REMOTE
    to.start_time_unix_nano = epoch + int(span.started * 1e9)
    to.end_time_unix_nano = epoch + int(span.ended * 1e9)
    if not span.number:
        to.attributes.append(_text("acme.request.id", trace.request_id))
        for _, caused in trace.causes:
            if (cause := TRACEPARENT.fullmatch(caused)) is not None:
                link = to.links.add()
                link.trace_id, link.span_id = bytes.fromhex(cause[1]), bytes.fromhex(cause[2])
    error = _KINDS[span.kind](to, trace, span) if span.kind in _KINDS else _plain(to, trace, span)
    if error:
        to.status.code = Status.STATUS_CODE_ERROR
        to.attributes.append(_text("error.type", error))


def _http(to: Sent, trace: Trace, span: Span) -> str:
    to.kind, to.name = Sent.SPAN_KIND_SERVER, f"{span.name} {span.detail}".strip()
    status = int(span.outcome)
    to.attributes.extend(
        (
            _text("http.request.method", span.name),
            _text("http.route", span.detail),
            KeyValue(key="http.response.status_code", value=AnyValue(int_value=status)),
        )
    )
    if trace.why:
        to.attributes.append(_text("acme.refusal", trace.why))
    return str(status) if status >= 500 else ""


def _call(to: Sent, trace: Trace, span: Span) -> str:
    sent = span.kind == SENT
    far = Sent.SPAN_KIND_CLIENT if sent else Sent.SPAN_KIND_SERVER
    to.kind, to.name = far if sent or span.detail == "grpc" else Sent.SPAN_KIND_INTERNAL, span.name
    system = "grpc" if sent else span.detail
    to.attributes.extend(
        (
            _text("rpc.system.name", system),
            _text("rpc.method", span.name),
            _text("rpc.response.status_code", span.outcome),
        )
    )
    if sent:
        to.attributes.append(_text("server.address", span.detail))
        return span.outcome if span.outcome != "OK" else ""
    return span.outcome if span.outcome in _FAULTS else ""


def _sql(to: Sent, trace: Trace, span: Span) -> str:
    to.kind, to.name = Sent.SPAN_KIND_CLIENT, summary(span.name)
    to.attributes.extend(
        (
            _text("db.system.name", SYSTEM),
            _text("db.namespace", span.detail),
            _text("db.operation.name", operation(span.name)),
            _text("db.query.summary", to.name),
            _text("db.query.text", span.name),
        )
    )
    if span.outcome and span.outcome != "cancelled":
        to.attributes.append(_text("db.response.status_code", span.outcome))
    return span.outcome


def _wait(to: Sent, trace: Trace, span: Span) -> str:
    to.kind, to.name = Sent.SPAN_KIND_INTERNAL, "wait for a connection"
    to.attributes.append(_text("db.client.connection.pool.name", span.detail))
    return ""


def _messaging(to: Sent, trace: Trace, span: Span) -> str:
    kinds = {
        EVENT: ("create", "create", Sent.SPAN_KIND_PRODUCER),
        RELAY: ("send", "send", Sent.SPAN_KIND_CLIENT),
        PROCESS: ("process", "process", Sent.SPAN_KIND_CONSUMER),
    }
    name, kind, to.kind = kinds[span.kind]
    to.name = f"{name} {span.name}"
    to.attributes.extend(
        (
            _text("messaging.operation.name", name),
            _text("messaging.operation.type", kind),
            _text("messaging.destination.name", span.name),
        )
    )
    if span.kind == PROCESS:
        to.attributes.append(_text("messaging.consumer.group.name", span.detail))
    return span.outcome


def _delivery(to: Sent, trace: Trace, span: Span) -> str:
    to.kind, to.name = Sent.SPAN_KIND_INTERNAL, f"deliver {span.name}"
    plugin, _, number = span.detail.partition(" ")
    to.attributes.extend(
        (
            _text("acme.delivery.kind", span.name),
            _text("acme.plugin", plugin),
            KeyValue(key="acme.delivery.attempt", value=AnyValue(int_value=int(number))),
        )
    )
    return span.outcome


def _plain(to: Sent, trace: Trace, span: Span) -> str:
    to.kind, to.name = Sent.SPAN_KIND_INTERNAL, span.kind
    return span.outcome


_KINDS: Final = {
    HTTP: _http,
    CALL: _call,
    SENT: _call,
    SQL: _sql,
    WAIT: _wait,
    EVENT: _messaging,
    RELAY: _messaging,
    PROCESS: _messaging,
    DELIVERY: _delivery,
}


def _text(name: str, value: str) -> KeyValue:
    return KeyValue(key=name, value=AnyValue(string_value=value))
