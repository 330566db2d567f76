"""What happens inside the process: codecs, and a call to a service beside a plain await of its method."""

from __future__ import annotations

import contextvars
import io
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import betterproto2
import fastavro
import uvloop

from acme.authorise import authorise
from acme.codec.avro import Avro
from acme.codec.avro.schema import bare
from acme.codec.json import Json
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import CALL, Call, Kind, Principal
from acme.contract import Method, load
from acme.contracts.projects.v1 import (
    GetProjectRequest,
    ListProjectsReply,
    Project,
    ProjectCreated,
    ProjectsBase,
    ProjectsStub,
)
from acme.dispatch import Directory, Host, Pipeline
from acme.dispatch.calls import caller
from acme.dispatch.drive import Driven
from acme.dispatch.measures import Measures
from acme.dispatch.serve import MESSAGE_LIMIT
from acme.dispatch.status import guarded
from acme.drivers.clock import SystemClock
from acme.telemetry import Metrics

ID: Final = "prj_01h455vb4pex5vsknk084sn02q"
CALLS: Final = 10_000
"""Awaited in a round."""
TIME: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def project() -> Project:
    """A project as they are."""
    return Project(
        id=ID,
        organization_id="org_01h455vb4pex5vsknk084sn02q",
        owner_id="usr_01h455vb4pex5vsknk084sn02q",
        name="Apollo",
        description="To the moon and back, before the decade is out",
        labels={"stage": "draft", "team": "red"},
        region="local",
        created_at=TIME,
        updated_at=TIME,
        version=3,
    )


class Projects(ProjectsBase):
    """One project, and nothing else to do."""

    def __init__(self) -> None:
        self._project = project()

    async def get_project(self, message: GetProjectRequest) -> Project:
        authorise.own("projects.read")
        return self._project


def timed(work: Callable[[], Any], *, seconds: float = 0.1, rounds: int = 7) -> float:
    """Microseconds a call of `work`: the median of rounds."""
    work()
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds / 4:
        work()
        calls += 1
    figures = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            work()
        figures.append((time.perf_counter() - start) / calls * 1e6)
    return statistics.median(figures)


async def awaited(work: Callable[[], Awaitable[Any]], *, calls: int, rounds: int = 7) -> float:
    """Microseconds an await of `work()`: the median of rounds."""
    figures = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            await work()
        figures.append((time.perf_counter() - start) / calls * 1e6)
    return statistics.median(figures)


def lists_of_fifty() -> dict[str, float]:
    """Microseconds for the JSON of a list of 50 projects: ours, and betterproto2's `to_dict` with `json.dumps`."""
    contracts = load("acme.contracts")
    message = ListProjectsReply(projects=[project() for _ in range(50)])
    encode = Json(contracts).encoder(contracts.message_of(ListProjectsReply))

    def generic() -> bytes:
        return json.dumps(message.to_dict(casing=betterproto2.Casing.SNAKE)).encode()

    ours, theirs = json.loads(encode(message)), json.loads(generic())
    if len(ours["projects"]) != len(theirs["projects"]) or ours["projects"][0]["name"] != "Apollo":
        raise AssertionError("the two codecs do not say the same")
    return {
        "compiled codec": timed(lambda: encode(message)),
        "betterproto2 to_dict + json.dumps": timed(generic, rounds=3),
    }


def events() -> dict[str, float]:
    """Microseconds of an event with a project: the outbox's encoder, the consumer's decoder, and fastavro by itself, which
    is given the finished dict and gives one back, without conversion of times or checks of values."""
    contracts = load("acme.contracts")
    avro, message = Avro(contracts), contracts.message_of(ProjectCreated)
    event = ProjectCreated(project_id=ID, project=project())
    encode, schema = avro.encoder(message), fastavro.parse_schema(bare(avro.schema(message)))
    payload, datum = encode(event), avro.datum(message)(event)

    def bare_encode() -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, schema, datum)
        return out.getvalue()

    if avro.decode(payload) != event or bare_encode() != payload[5:]:
        raise AssertionError("the two do not say the same")
    return {
        f"encode ({len(payload)} bytes)": timed(lambda: encode(event)),
        "decode": timed(lambda: avro.decode(payload)),
        "fastavro: finished dict to bytes": timed(bare_encode),
        "fastavro: bytes to dict": timed(lambda: fastavro.schemaless_reader(io.BytesIO(payload[5:]), schema, None)),
    }


async def _nothing(_call: Call, raw: Any) -> Any:
    return raw


async def _call_parts(calls: int) -> dict[str, float]:
    contracts = load("acme.contracts")
    wire, checks, metrics, clock = Wire(contracts), Checks(contracts), Metrics(), SystemClock()
    service = contracts.service_of(ProjectsStub)
    method = next(one for one in service.methods if one.attr == "get_project")
    pipeline = Pipeline(contracts, wire, checks, metrics, clock)
    directory = Directory(pipeline)
    instance = Projects()
    directory.host(Host(service, instance, "projects"))
    client = directory.named("gateway").client(ProjectsStub)
    principal = Principal(Kind.USER, "usr_01h455vb4pex5vsknk084sn02q", scopes=frozenset({"*"}))
    call = Call("", principal, "bench", time.monotonic() + 3600, "gateway")
    CALL.set(call)
    request = GetProjectRequest(id=ID)

    def afresh() -> Coroutine[Any, Any, Project]:
        call.noted = ()  # its decision: of one call for ever they would pile up, and every next one copies them
        return instance.get_project(request)

    awaits = partial(awaited, calls=calls)
    direct = await awaits(afresh)
    through = await awaits(lambda: client.get_project(request))
    parts = _parts(pipeline, method, request)
    empty = contextvars.Context()

    async def in_context() -> Any:
        context = empty.copy()
        context.run(CALL.set, call)
        return await Driven(context, afresh())

    plain = await awaits(lambda: _nothing(call, request))
    sent = caller(method, "gateway", _nothing, clock)
    guard = guarded(method, "local", _nothing, Measures(metrics))
    parts["a context of its own, driven without a task"] = await awaits(in_context) - direct
    parts["the caller's half: principal, deadline, a new Call"] = await awaits(lambda: sent(request)) - plain
    parts["metrics and the table of errors"] = await awaits(lambda: guard(call, request)) - plain
    beyond = through - direct
    if beyond <= 0:
        raise AssertionError(
            f"a call takes {through:.2f} µs, and what it calls {direct:.2f}: one of them is measured wrongly"
        )
    parts["the rest: internal callers, token, decision"] = beyond - sum(parts.values())
    return {"direct await": direct, "beyond it": beyond, **parts}


def _parts(pipeline: Pipeline, method: Method, request: GetProjectRequest) -> dict[str, float]:
    """The parts that need no event loop."""
    wire, check = pipeline.wire, pipeline.checks.check(method.request)
    receive, answer = wire.copier(method.request), wire.copier(method.reply)
    asked, answered = (
        pipeline.sizes.exceeds(message, MESSAGE_LIMIT, wire.encoder(message))
        for message in (method.request, method.reply)
    )
    reply = project()
    found = {
        "copy of the request": timed(lambda: receive(request)),
        "copy of the reply (11 fields)": timed(lambda: answer(reply)),
        "size of both": timed(lambda: asked(request)) + timed(lambda: answered(reply)),
    }
    if check is not None:
        found["rules of the request"] = timed(lambda: check(request))
    return found


def call_parts(calls: int = CALLS) -> dict[str, float]:
    """Microseconds of a call of GetProject through the directory beyond a plain await, whole and by part; from so many
    calls a round."""
    return uvloop.run(_call_parts(calls))
