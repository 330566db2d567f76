"""What processes tell of a request, and how their parts come together."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

from acme.runtime import control, tracing
from acme.runtime.runfolder import RunFolder
from acme.traces import CALL, HTTP, PROCESS, SENT, SQL, Trace, Tracer, TraceSettings


def gateway(tracer: Tracer) -> Trace:
    """A request that called a worker and was answered."""
    trace = Trace("r-1", tracer, let_in=10.001)
    trace.end(1, 0, SENT, "a.B/C", 10.003, 10.008, "OK", "grpc://b:1")
    trace.end(0, -1, HTTP, "GET", 10.0, 10.009, "200", "/v1/b")
    tracer.end(trace, 0.009, failed=False)
    return trace


def worker(tracer: Tracer, caller: str) -> Trace:
    """What it caused there."""
    trace = Trace("r-1", tracer, caller)
    trace.end(trace.begin(), 0, SQL, "SELECT a, b FROM things WHERE id = $1", 10.005, 10.006, "", "things")
    trace.end(0, -1, CALL, "a.B/C", 10.004, 10.007, "OK", "grpc")
    tracer.end(trace, 0.003, failed=False)
    return trace


@asynccontextmanager
async def processes(data: Path, **tracers: Tracer) -> AsyncIterator[None]:
    """Control sockets of several processes."""
    folder = RunFolder(data)
    async with AsyncExitStack() as stack:
        stack.callback(folder.close)
        for name, tracer in tracers.items():
            answers = {"trace": partial(tracing.told, tracer)}
            await stack.enter_async_context(control.serve(folder, f"control-{name}", answers))
        yield


async def test_parts_of_several_processes_are_found_by_request_and_joined_by_ids(tmp_path: Path) -> None:
    front, back = Tracer(), Tracer()
    first = gateway(front)
    second = worker(back, first.traceparent(1))
    async with processes(tmp_path, gateway=front, things=back):
        found = await tracing.find(tmp_path, "r-1")
    assert [each.process for each in found.traces] == ["gateway", "things"]
    assert {each.trace_id for each in found.traces} == {first.id}
    called = next(step for step in found.traces[0].steps if step.kind == SENT)
    served = next(step for step in found.traces[1].steps if step.kind == CALL)
    assert served.parent == called.id == first.span_id(1)
    statement = next(step for step in found.traces[1].steps if step.kind == SQL)
    assert (statement.name, statement.parent) == ("SELECT things", second.span_id(0))
    assert found.silent == ()


async def test_what_an_event_caused_elsewhere_is_found_by_its_trace(tmp_path: Path) -> None:
    """A consumer that heard events of several requests knows each of them."""
    front, back = Tracer(), Tracer()
    first = gateway(front)
    batch = Trace("", back, causes=(("r-1", first.traceparent(1)), ("r-2", "")))
    batch.end(0, -1, PROCESS, "things.events", 11.0, 11.1, "", "search.index")
    back.end(batch, 0.1, failed=False)
    async with processes(tmp_path, gateway=front, search=back):
        for name in ("r-1", first.id):
            found = await tracing.find(tmp_path, name)
            assert [each.process for each in found.traces] == ["gateway", "search"]
            assert found.traces[1].causes == ("r-1", "r-2")


async def test_the_gateway_says_what_it_did_around_the_call(tmp_path: Path) -> None:
    front = Tracer()
    gateway(front)
    async with processes(tmp_path, gateway=front):
        (told,) = (await tracing.find(tmp_path, "r-1")).traces
    took = {step.kind: round(step.seconds * 1000) for step in told.steps}
    assert took == {HTTP: 9, "let in": 1, "decoded": 2, SENT: 5, "answered": 1}
    assert [step.kind for step in told.steps] == [HTTP, "let in", "decoded", SENT, "answered"]


async def test_a_request_under_way_is_told_of_as_far_as_it_came(tmp_path: Path) -> None:
    front = Tracer(TraceSettings(recent=5))
    running = Trace("r-9", front)
    running.end(running.begin(), 1, SQL, "SELECT 1", 10.0, 10.1, "", "things")
    front.running.append(lambda: [running])
    async with processes(tmp_path, gateway=front):
        (told,) = (await tracing.find(tmp_path, "r-9")).traces
    assert (told.ended, len(told.steps)) == (False, 1)


async def test_a_process_that_cannot_answer_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    async with control.serve(folder, "control-old", {"topology": dict}):
        found = await tracing.find(tmp_path, "r-1")
    folder.close()
    assert found.traces == ()
    assert "control-old.sock: there is no command 'trace'" in found.silent[0]
    assert await tracing.find(tmp_path / "nothing", "r-1") == tracing.Found(())


def test_what_is_told_is_json_and_holds_no_text_of_a_statement() -> None:
    back = Tracer()
    worker(back, "")
    told = json.dumps(tracing.told(back, "r-1"))
    assert "WHERE" not in told
