"""What a collector gets: OpenTelemetry's names and ids, in batches, and nothing that would hold anybody up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from acme.drivers.otlp import BATCH, Exporter
from acme.telemetry import Metrics
from acme.traces import CALL, DELIVERY, EVENT, HTTP, PROCESS, RELAY, SENT, SQL, TOKEN, WAIT, Trace, Tracer
from tests.collector import Collector, Got, collecting

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


def exporter(url: str, metrics: Metrics | None = None, **known: Any) -> Exporter:
    """One for this collector."""
    settings = {"headers": {}, "timeout": 5.0, "queue": 100, **known}
    return Exporter(url, {"service.name": "users"}, metrics or Metrics(), **settings)


def whole() -> Trace:
    """A trace with a step of every kind."""
    trace = Trace("r-1", Tracer(), CALLER, "vendor=1", why="stale")
    trace.end(2, 0, TOKEN, "", 10.0, 10.1, "", "")
    trace.end(3, 1, WAIT, "", 10.2, 10.3, "", "users")
    trace.end(4, 1, SQL, "SELECT id FROM users WHERE email = $1", 10.3, 10.4, "", "users")
    trace.end(5, 1, SQL, "INSERT INTO users VALUES ($1)", 10.4, 10.5, "23505", "users")
    trace.end(6, 1, EVENT, "users.events", 10.5, 10.6, "", "users 1")
    trace.end(7, 1, SENT, "a.B/C", 10.6, 10.7, "UNAVAILABLE", "grpc://b:1")
    trace.end(1, 0, CALL, "u.Users/Get", 10.2, 10.8, "NOT_FOUND", "local")
    trace.end(0, -1, HTTP, "GET", 10.0, 10.9, "500", "/v1/users/{id}")
    return trace


async def sent(collector: Collector, *traces: Trace) -> dict[str, Got]:
    """What comes of traces, by the names of their spans."""
    one = exporter(collector.url)
    for trace in traces:
        one.put(trace)
    assert await one.flush() is None
    await one.close()
    return {got.span.name: got for got in collector.spans}


async def test_ids_parents_and_times_are_those_of_the_trace(collector: Collector) -> None:
    trace = whole()
    got = await sent(collector, trace)
    assert {each.trace for each in got.values()} == {"0af7651916cd43dd8448eb211c80319c"}
    root, call, statement = got["GET /v1/users/{id}"], got["u.Users/Get"], got["SELECT users"]
    assert root.span.parent_span_id.hex() == "b7ad6b7169203331"
    assert root.span.span_id.hex() == trace.span_id(0) == call.span.parent_span_id.hex()
    assert statement.span.parent_span_id == call.span.span_id
    assert root.span.trace_state == "vendor=1"
    assert root.span.flags & 1
    assert root.span.end_time_unix_nano - root.span.start_time_unix_nano == pytest.approx(900_000_000, abs=1000)
    assert root.process == "users"


async def test_names_and_attributes_are_those_of_the_conventions(collector: Collector) -> None:
    got = await sent(collector, whole())
    root = got["GET /v1/users/{id}"]
    assert root.span.kind == Sent.SPAN_KIND_SERVER
    assert root.attributes == {
        "acme.request.id": "r-1",
        "http.request.method": "GET",
        "http.route": "/v1/users/{id}",
        "http.response.status_code": 500,
        "acme.refusal": "stale",
        "error.type": "500",
    }
    assert root.span.status.code == Status.STATUS_CODE_ERROR
    call = got["u.Users/Get"]
    assert call.span.kind == Sent.SPAN_KIND_INTERNAL
    assert call.attributes == {
        "rpc.system.name": "local",
        "rpc.method": "u.Users/Get",
        "rpc.response.status_code": "NOT_FOUND",
    }
    assert call.span.status.code == Status.STATUS_CODE_UNSET  # the caller's fault, not the server's
    far = got["a.B/C"]
    assert far.span.kind == Sent.SPAN_KIND_CLIENT
    assert far.attributes["error.type"] == "UNAVAILABLE"
    statement = got["SELECT users"]
    assert statement.span.kind == Sent.SPAN_KIND_CLIENT
    assert statement.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": "users",
        "db.operation.name": "SELECT",
        "db.query.summary": "SELECT users",
        "db.query.text": "SELECT id FROM users WHERE email = $1",
    }
    assert got["INSERT users"].attributes["db.response.status_code"] == "23505"
    event = got["create users.events"]
    assert event.span.kind == Sent.SPAN_KIND_PRODUCER
    assert event.attributes["messaging.destination.name"] == "users.events"
    assert {"token", "wait for a connection"} <= got.keys()


async def test_events_on_their_way_and_those_who_hear_them_are_linked_to_what_caused_them(collector: Collector) -> None:
    batch = Trace("", Tracer(), causes=(("r-1", CALLER), ("r-2", "nonsense")))
    batch.end(0, -1, PROCESS, "users.events", 10.0, 10.1, "ValueError", "search.index")
    relayed = Trace("r-1", Tracer(), CALLER)
    relayed.end(0, -1, RELAY, "users.events", 10.0, 10.1, "", "users")
    got = await sent(collector, batch, relayed)
    heard = got["process users.events"]
    assert heard.span.kind == Sent.SPAN_KIND_CONSUMER
    assert [link.span_id.hex() for link in heard.span.links] == ["b7ad6b7169203331"]
    assert heard.attributes["messaging.consumer.group.name"] == "search.index"
    assert heard.attributes["error.type"] == "ValueError"
    assert got["send users.events"].span.parent_span_id.hex() == "b7ad6b7169203331"


async def test_a_delivery_says_of_what_kind_it_is_and_how_often_it_was_tried(collector: Collector) -> None:
    trace = Trace("r-1", Tracer(), CALLER)
    trace.end(0, -1, DELIVERY, "mail", 10.0, 10.1, "Refused", "users 2")
    mail = (await sent(collector, trace))["deliver mail"]
    assert mail.attributes == {
        "acme.request.id": "r-1",
        "acme.delivery.kind": "mail",
        "acme.plugin": "users",
        "acme.delivery.attempt": 2,
        "error.type": "Refused",
    }
    assert mail.span.parent_span_id.hex() == "b7ad6b7169203331"


async def test_the_collector_gets_its_headers(collector: Collector) -> None:
    one = exporter(collector.url, headers={"x-api-key": "hunter2"})
    one.put(whole())
    await one.flush()
    await one.close()
    (asked,) = collector.asked
    assert (asked["path"], asked["x-api-key"]) == ("/v1/traces", "hunter2")
    assert (asked["Content-Type"], asked["Content-Encoding"]) == ("application/x-protobuf", "gzip")


def counted(metrics: Metrics, name: str) -> float:
    """The value of a series."""
    lines = [line for line in metrics.render().decode().splitlines() if line.startswith(f"{name} ")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


async def test_a_queue_that_is_full_drops_and_counts(collector: Collector) -> None:
    metrics = Metrics()
    one = exporter(collector.url, metrics, queue=3)
    for _ in range(5):
        one.put(whole())
    assert counted(metrics, 'acme_traces_dropped_total{reason="queue_full"}') == 2
    await one.flush()
    assert counted(metrics, "acme_traces_exported_total") == 3
    await one.close()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_what_a_busy_collector_does_not_take_is_sent_again(collector: Collector, status: int) -> None:
    metrics = Metrics()
    one = exporter(collector.url, metrics)
    one.put(whole())
    collector.status, collector.headers = status, {"Retry-After": "7"}
    assert await one.flush() == 7.0
    collector.status = 200
    assert await one.flush() is None
    assert (len(collector.spans), counted(metrics, "acme_traces_exported_total")) == (8, 1)
    await one.close()


async def test_what_a_collector_refuses_is_dropped(collector: Collector) -> None:
    metrics = Metrics()
    one = exporter(collector.url, metrics)
    one.put(whole())
    collector.status = 400
    assert await one.flush() is None
    assert counted(metrics, 'acme_traces_dropped_total{reason="refused"}') == 1
    await one.close()


async def test_without_a_collector_traces_wait_in_their_order_and_the_end_drops_them() -> None:
    metrics = Metrics()
    one = exporter("http://127.0.0.1:9/v1/traces", metrics, queue=BATCH + 10)
    made = [whole() for _ in range(BATCH + 10)]
    for trace in made:
        one.put(trace)
    assert await one.flush() == 0.0
    assert list(one._queue) == made
    await one.close()
    assert counted(metrics, 'acme_traces_dropped_total{reason="stopped"}') == BATCH + 10


async def test_what_waits_at_the_end_is_sent(collector: Collector) -> None:
    one = exporter(collector.url, queue=1000)
    for _ in range(BATCH + 1):
        one.put(whole())
    await one.close()
    assert len(collector.spans) == 8 * (BATCH + 1)
