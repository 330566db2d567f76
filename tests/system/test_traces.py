"""One trace from the client's request to the last consumer, in one process and in several; and nothing personal in it, nor
in the log or the metrics."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from acme.contract import Message, Route
from acme.runtime.discovery import contracts_of, discover
from acme.runtime.tracing import find
from tests.collector import Collector, Got, collecting
from tests.system.running import ACME, PASSWORD, PLENTY, Platform, call, platform, wait_for

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MARK = "zzpersonalzz"
"""Is in every value that is personal or secret."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as one:
        yield one


def environ(collector: Collector, **more: str) -> dict[str, str]:
    """Traces of all that is sampled go to the collector."""
    return {**PLENTY, "ACME_TRACES__OTLP": collector.url, "ACME_TRACES__RATIO": "0", **more}


def sign_up(one: Platform, name: str, traceparent: str) -> None:
    """A request that changes something, and that is heard of."""
    body = {"email": f"{name}@example.com", "password": PASSWORD, "display_name": name}
    headers = {"X-Request-Id": f"make-{name}", "traceparent": traceparent, "tracestate": "vendor=1"}
    assert one.call("POST", "/v1/users", body, headers=headers).status == 202


def shown(one: Platform, name: str) -> list[dict[str, Any]]:
    """What `acme trace` tells of a request."""
    command = [ACME, "trace", name, "--json", "--data", str(one.data)]
    ended = subprocess.run(command, cwd=one.folder, env=one.environ, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    traces: list[dict[str, Any]] = json.loads(ended.stdout)["traces"]
    return traces


def way(one: Platform, name: str) -> list[dict[str, Any]]:
    """The same, without a process for every look."""
    traces: list[dict[str, Any]] = msgspec.to_builtins(asyncio.run(find(one.data, name)).traces)
    return traces


def kinds(traces: list[dict[str, Any]]) -> set[str]:
    """Of all steps."""
    return {step["kind"] for each in traces for step in each["steps"]}


def above(span: Got, spans: dict[bytes, Got]) -> list[str]:
    """Names of a span and of those it is in, from the inside out."""
    found = [span.span.name]
    while (parent := spans.get(span.span.parent_span_id)) is not None:
        span = parent
        found.append(span.span.name)
    assert span.span.parent_span_id.hex() == CALLER
    return found


@pytest.mark.parametrize(
    "split", [pytest.param(False, id="one process", marks=pytest.mark.drill), pytest.param(True, id="several")]
)
def test_gateway_service_statement_event_and_consumer_are_one_trace(
    tmp_path: Path, collector: Collector, split: bool
) -> None:
    """Found by the caller's trace id at the collector, and by the request's id without it."""
    trace = TRACE[:-1] + str(int(split))
    options = ("--split", "--port", "0") if split else ()
    with platform(tmp_path, *options, environ=environ(collector)) as one:
        sign_up(one, "ada", f"00-{trace}-{CALLER}-01")

        def heard() -> bool:
            found = collector.of(trace)  # each process sends its own, in its own time
            known = {each.span.span_id for each in found} | {bytes.fromhex(CALLER)}
            names = {each.span.name for each in found}
            wanted = {"process acme.audit.log", "process acme.users.events", "send acme.users.events", "deliver mail"}
            return wanted <= names and all(each.span.parent_span_id in known for each in found)

        wait_for("the consumers' spans", heard, 60)
        got = collector.of(trace)
        by_id = {each.span.span_id: each for each in got}
        assert len(by_id) == len(got)
        by_name = {each.span.name: each for each in got}
        served = "acme.users.v1.Users/CreateUser"
        within = [served] * (2 if split else 1)  # called by the gateway, and served by the worker
        created = next(name for name in by_name if name.startswith("create ") and "acme.users.events" in name)
        assert above(by_name["INSERT users"], by_id) == ["INSERT users", *within, "POST /v1/users"]
        consumer = by_name["process acme.audit.log"]
        assert above(consumer, by_id) == ["process acme.audit.log", created, *within, "POST /v1/users"]
        inbox = next(each for each in got if each.span.parent_span_id == consumer.span.span_id)
        assert inbox.attributes["db.namespace"] == "audit"
        assert above(by_name["send acme.users.events"], by_id)[1] == created
        assert above(by_name["deliver mail"], by_id) == ["deliver mail", *within, "POST /v1/users"]
        processes = {"gateway", "users", "audit"} if split else {"platform"}
        assert {each.process.partition("-")[0] for each in got} == processes
        assert all(each.span.trace_state == "vendor=1" for each in got if each.span.name in (served, "POST /v1/users"))
        told = shown(one, "make-ada")
        assert {"http", "call", "sql", "event", "relay", "process", "delivery"} <= kinds(told)
        assert {each["trace_id"] for each in told} == {trace}
        assert {each["process"].partition("-")[0] for each in told} == processes
        assert kinds(way(one, trace)) == kinds(told)


def test_what_nobody_samples_goes_nowhere_and_is_remembered_all_the_same(tmp_path: Path, collector: Collector) -> None:
    trace = TRACE[:-1] + "9"
    with platform(tmp_path, environ=environ(collector, ACME_TRACES__SLOW="3600")) as one:
        sign_up(one, "bob", f"00-{trace}-{CALLER}-00")
        wait_for("the consumers", lambda: "process" in kinds(way(one, "make-bob")), 60)
        assert not any(each["sampled"] for each in way(one, "make-bob"))
    assert collector.of(trace) == []  # the platform has ended, and sent all that it was to send


# ---- personal data --------------------------------------------------------------------------------------------------


def personal(message: Message, within: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of the fields of a message that the contract marks as personal or secret."""
    for field in message.fields:
        path = (*within, field.name)
        if field.pii or field.secret:
            yield path
        elif field.message is not None and field.message is not message and len(path) < 4 and not field.repeated:
            yield from personal(field.message, path)


def filled(paths: list[tuple[str, ...]]) -> dict[str, Any]:
    """A body with a mark at each of these paths."""
    body: dict[str, Any] = {}
    for number, path in enumerate(paths):
        at = body
        for name in path[:-1]:
            at = at.setdefault(name, {})
        at[path[-1]] = f"{MARK}{number}@example.com"
    return body


def marked(route: Route, message: Message) -> tuple[str, dict[str, Any], int]:
    """The path of a request that has something personal wherever the contract knows such a thing, its body, and how many
    there are."""
    paths = list(personal(message))
    direct = {path[0] for path in paths if len(path) == 1}
    path = re.sub(
        r"\{(\w+)[^}]*\}", lambda found: f"{MARK}@example.com" if found[1] in direct else "x" * 26, route.template
    )
    if not route.body:
        query = "&".join(f"{name}={MARK}@example.com" for name in sorted(direct))
        return (f"{path}?{query}" if query else path), {}, len(paths)
    return path, filled(paths), len(paths)


def test_nothing_that_a_contract_marks_as_personal_is_in_logs_metrics_or_traces(
    tmp_path: Path, collector: Collector
) -> None:
    contracts = contracts_of(discover(()))
    asked = 0
    with platform(tmp_path, environ=environ(collector, ACME_TRACES__SLOW="0.000001")) as one:
        token = one.join("ann@example.com").token
        for service in contracts.services.values():
            for method in service.methods:
                for route in method.routes:
                    path, body, number = marked(route, method.request)
                    if not number:
                        continue
                    asked += 1
                    for bearer in ("", token):
                        call(
                            one.api,
                            route.verb,
                            path,
                            body or None,
                            token=bearer,
                            headers={"X-Request-Id": f"p-{asked}"},
                        )
                    # A verb that the route has not, and a path that leads nowhere, are told without it too.
                    call(one.api, "PUT", f"{path.partition('?')[0]}?email={MARK}@example.com")
        assert asked > 10
        seen = "".join(json.dumps(way(one, f"p-{number}")) for number in range(1, asked + 1))
        assert seen.count('"kind"') > asked
        assert MARK not in seen
        assert MARK not in one.call("GET", "/metrics").body.decode()
    assert '"request_id":"p-1"' in one.log()
    assert MARK not in one.log()
    assert collector.spans
    assert MARK not in repr([each.span for each in collector.spans])
