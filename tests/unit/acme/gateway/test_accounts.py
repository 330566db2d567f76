"""Every request is counted once, under its verb, its route and what it was told."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acme.contract import Method, Route
from acme.gateway.listening import Listening
from acme.traces import CALL, HTTP, TOKEN, Span, Trace, Tracer, TraceSettings
from tests.certificates import Authority
from tests.handshakes import believer
from tests.unit.acme.gateway.rig import CONTRACTS, ID, Rig, running

NAME = "http_server_request_duration_seconds_count"
ROUTE = "/v1/projects/{id}"


@pytest.fixture
async def alone() -> AsyncIterator[Rig]:
    """A rig that nobody else asks."""
    async with running() as rig:
        yield rig


def counted(rig: Rig, method: str, route: str, status: int, scheme: str = "http") -> bool:
    labels = f'http_request_method="{method}",http_response_status_code="{status}"'
    labels += f',http_route="{route}",url_scheme="{scheme}"'
    return f"{NAME}{{{labels}}} 1.0" in rig.metrics.render().decode()


async def test_a_verb_of_a_route_has_a_series_for_each_status(alone: Rig) -> None:
    await alone.ask("GET", f"/v1/projects/{ID}")
    await alone.ask("GET", "/v1/projects/prj_01h455vb4pex5vsknk084sn02r")
    await alone.ask("PATCH", f"/v1/projects/{ID}", {"name": "x"})
    for method, status in (("GET", 200), ("GET", 404), ("PATCH", 200)):
        assert counted(alone, method, ROUTE, status), (method, status)


async def test_head_is_no_get_though_it_is_served_as_one(alone: Rig) -> None:
    await alone.ask("HEAD", f"/v1/projects/{ID}")
    assert counted(alone, "HEAD", ROUTE, 200)
    assert not counted(alone, "GET", ROUTE, 200)


async def test_what_has_no_route_and_verbs_that_nobody_knows_are_counted_together(alone: Rig) -> None:
    await alone.ask("GET", "/nowhere")
    await alone.ask("PROPFIND", f"/v1/projects/{ID}")
    assert counted(alone, "GET", "", 404)
    assert counted(alone, "_OTHER", ROUTE, 405)


async def test_what_came_over_https_is_counted_apart(tmp_path: Path) -> None:
    own, plain = Authority().issue(tmp_path, "localhost"), socket.create_server(("127.0.0.1", 0))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own["certificate"], own["key"])
    port = plain.getsockname()[1]
    async with running(context=context, further=[Listening(plain)]) as rig:
        for to, tls in ((rig.port, believer(own["authority"].read_bytes())), (port, None), (port, None)):
            reader, writer = await asyncio.open_connection("127.0.0.1", to, ssl=tls)
            writer.write(rig.request("GET", "/healthz", bearer=None))
            async with asyncio.timeout(10):
                await reader.readuntil(b"\r\n\r\n")
            writer.transport.abort()
        assert counted(rig, "GET", "/healthz", 200, "https")
        assert not counted(rig, "GET", "/healthz", 200, "http")  # there were two


async def test_requests_in_flight_are_told_by_verb_and_at_nought_once_they_have_ended(alone: Rig) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def wait(_message: Any) -> None:
        inside.set()
        await go.wait()

    shown = 'http_server_active_requests{http_request_method="GET",url_scheme="http"} '
    alone.projects.before = wait
    async with asyncio.TaskGroup() as group:
        group.create_task(alone.ask("GET", f"/v1/projects/{ID}"))
        await inside.wait()
        during = alone.metrics.render().decode()
        go.set()
    assert f"{shown}1.0" in during
    assert f"{shown}0.0" in alone.metrics.render().decode()


async def test_what_never_became_a_request_is_counted_under_no_verb_and_no_route(alone: Rig) -> None:
    await alone.raw(b"nonsense\r\n\r\n")
    assert counted(alone, "_OTHER", "", 400)
    assert [line["refused"] for line in alone.lines()] == ["malformed_request"]


async def test_a_line_is_logged_for_each_with_the_path_and_without_the_query(alone: Rig) -> None:
    await alone.ask("GET", "/v1/projects?page_size=1")
    await alone.ask("GET", "/nowhere?secret=1")
    told = [(line["path"], line["route"], line["status"]) for line in alone.lines()]
    assert told == [("/v1/projects", "/v1/projects", 200), ("/nowhere", "", 404)]


# ---- what is personal -----------------------------------------------------------------------------------------------


def people(*, pii: bool = False, secret: bool = False) -> tuple[Method, Route]:
    """A route with somebody's address in its path."""
    method = next(m for m in CONTRACTS.services["acme.projects.v1.Projects"].methods if m.attr == "get_project")
    (field,) = (field for field in method.request.fields if field.name == "id")
    message = replace(method.request, fields=(replace(field, pii=pii, secret=secret),))
    return replace(method, request=message), replace(method.routes[0], template="/v1/people/{id}/mails")


@pytest.mark.parametrize("marks", [{"pii": True}, {"secret": True}])
async def test_a_path_that_leads_nowhere_is_cut_where_personal_data_begins(alone: Rig, marks: dict[str, bool]) -> None:
    alone.gateway._accounts.hide(*people(**marks), ("id",))
    await alone.ask("GET", "/v1/people/ada@example.com")
    await alone.ask("GET", "/v1/people/ada@example.com/mails/1?to=bob@example.com")
    await alone.ask("GET", "/v1/things/1")
    assert [line["path"] for line in alone.lines()] == ["/v1/people/…", "/v1/people/…", "/v1/things/1"]


async def test_nothing_is_cut_for_routes_without_personal_data(alone: Rig) -> None:
    alone.gateway._accounts.hide(*people(), ("id",))
    await alone.ask("GET", "/v1/people/42")
    assert [line["path"] for line in alone.lines()] == ["/v1/people/42"]


async def test_the_template_stands_for_a_path_with_personal_data_and_for_one_without_that_verb(alone: Rig) -> None:
    await alone.ask("PUT", f"/v1/projects/{ID}")
    target: Any = alone.gateway._routes.find(f"/v1/projects/{ID}")[0].targets["GET"]  # type: ignore[index]  # it is there
    await alone.ask("GET", f"/v1/projects/{ID}")
    target.bound.private = True
    await alone.ask("GET", f"/v1/projects/{ID}")
    assert [line["path"] for line in alone.lines()] == [ROUTE, f"/v1/projects/{ID}", ROUTE]


# ---- what is recorded -----------------------------------------------------------------------------------------------

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def traced() -> AsyncIterator[tuple[Rig, Tracer]]:
    """A rig that records."""
    tracer = Tracer(TraceSettings(ratio=0.0))
    async with running("local", tracer=tracer) as rig:
        yield rig, tracer


def spans(trace: Trace) -> list[Span]:
    """By the order in which they began."""
    return sorted((Span(*each) for each in trace.spans), key=lambda span: (span.started, span.number))


async def test_a_request_is_recorded_with_its_token_its_call_and_its_answer(traced: tuple[Rig, Tracer]) -> None:
    rig, tracer = traced
    await rig.ask("GET", f"/v1/projects/{ID}", X_Request_Id="r-1", traceparent=CALLER, tracestate="a=1, b=2")
    (trace,) = tracer.find("r-1")
    found = spans(trace)
    assert [(span.kind, span.name, span.parent, str(span.outcome), span.detail) for span in found] == [
        (HTTP, "GET", -1, "200", ROUTE),
        (TOKEN, "", 0, "", ""),
        (CALL, "acme.projects.v1.Projects/GetProject", 0, "OK", "local"),
    ]
    assert (trace.caller, trace.state, trace.why) == (CALLER, "a=1, b=2", "")
    assert found[0].started <= trace.let_in <= found[2].started
    (call,) = rig.projects.calls
    assert call.caused == trace.traceparent(1)
    assert call.caused.startswith("00-0af7651916cd43dd8448eb211c80319c-")


async def test_a_refusal_is_recorded_with_its_reason(traced: tuple[Rig, Tracer]) -> None:
    rig, tracer = traced
    await rig.ask("GET", f"/v1/projects/{ID}", bearer=None, X_Request_Id="r-1")
    await rig.ask("GET", "/v1/projects/prj_01h455vb4pex5vsknk084sn02r", X_Request_Id="r-2")
    (early,), (late,) = tracer.find("r-1"), tracer.find("r-2")
    assert (early.why, early.called, [str(span.outcome) for span in spans(early)]) == ("token_missing", False, ["401"])
    assert (late.why, late.called) == ("not_found", True)


async def test_what_is_a_fault_of_ours_is_kept(traced: tuple[Rig, Tracer]) -> None:
    rig, tracer = traced
    kept: list[Trace] = []
    tracer.export = kept.append

    async def fail(_message: Any) -> None:
        raise RuntimeError

    rig.projects.before = fail
    await rig.ask("GET", f"/v1/projects/{ID}", X_Request_Id="r-1")
    rig.projects.before = None
    await rig.ask("GET", f"/v1/projects/{ID}", X_Request_Id="r-2")
    await rig.ask("GET", "/nowhere", X_Request_Id="r-3")
    assert [trace.request_id for trace in kept] == ["r-1"]
    assert tracer.find("r-3") == []  # nothing but its line in the log


async def test_a_request_is_there_while_it_lasts(traced: tuple[Rig, Tracer]) -> None:
    rig, tracer = traced
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_message: Any) -> None:
        inside.set()
        await go_on.wait()

    rig.projects.before = wait

    async def look() -> list[Trace]:
        await inside.wait()
        found = tracer.find("r-1")
        go_on.set()
        return found

    _, found = await asyncio.gather(rig.ask("GET", f"/v1/projects/{ID}", X_Request_Id="r-1"), look())
    assert [trace.request_id for trace in found] == ["r-1"]


@pytest.mark.parametrize(
    "given", ["00-trace", CALLER.upper(), "ff" + CALLER[2:], "00-" + "0" * 32 + "-b7ad6b7169203331-01"]
)
async def test_a_trace_context_that_is_none_begins_a_new_trace(traced: tuple[Rig, Tracer], given: str) -> None:
    rig, tracer = traced
    await rig.ask("GET", f"/v1/projects/{ID}", X_Request_Id="r-1", traceparent=given)
    (trace,) = tracer.find("r-1")
    assert (trace.caller, trace.state) == ("", "")


async def test_without_a_tracer_nothing_is_recorded_and_the_context_goes_on_as_it_came(alone: Rig) -> None:
    await alone.ask("GET", f"/v1/projects/{ID}", traceparent=CALLER)
    (call,) = alone.projects.calls
    assert (call.trace, call.caused) == (None, CALLER)
