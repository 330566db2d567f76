"""The callee's half: who reaches a handler, with what, and what leaves it. The same in both placements."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest
import structlog

from acme import authorise, current
from acme.codec.avro import Avro
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import ANONYMOUS, Kind, Principal
from acme.contract import Contracts
from acme.contracts.authority.v1 import AuthorityStub, ChangesReply, ChangesRequest
from acme.contracts.projects.v1 import (
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectsReply,
    ListProjectsRequest,
    Project,
    ProjectsStub,
    ProjectTransfer,
    TransferProjectRequest,
    UpdateProjectRequest,
)
from acme.contracts.users.v1 import RefreshSessionRequest, SessionsStub, SessionTokens
from acme.dispatch import Directory, Host, Pipeline
from acme.dispatch.serve import MESSAGE_LIMIT, check_hostable
from acme.drivers.clock import SystemClock
from acme.errors import Code, Conflict, Denied, Fault, Invalid, Refused, TooLarge, Unauthenticated
from acme.telemetry import Metrics
from acme.work import UnitFactory, work
from tests import blobs
from tests.services import ANN, CONTRACTS, PROJECT, Projects, Stage, calling, refusal
from tests.unit.acme.dispatch.town import asking

GET = GetProjectRequest(id=PROJECT)
USER = "usr_01h455vb4pex5vsknk084sn02q"
SERVICE = Principal(Kind.SERVICE, "billing")
NARROW = Principal(Kind.USER, "usr_bob", scopes=frozenset({"projects.create"}))
LEAK: ContextVar[str] = ContextVar("leak")
both = pytest.mark.parametrize("placement", ["local", "loopback"])


def replies(stage: Stage, reply: Any = None) -> list[Any]:
    """Lets the services decide and reply; returns the messages they get."""
    got: list[Any] = []

    async def script(message: Any) -> Any:
        got.append(message)
        current().decided = True
        return reply or Project(id=PROJECT)

    stage.projects.script = stage.authority.script = stage.sessions.script = script
    return got


async def get(stage: Stage, placement: str, principal: Principal = ANN) -> Project:
    with calling(principal):
        return await stage.client(ProjectsStub, placement).get_project(GET)


@both
@pytest.mark.parametrize(("principal", "error"), [(ANONYMOUS, Unauthenticated), (NARROW, Denied)])
async def test_who_lacks_the_permission_never_reaches_the_handler(
    stage: Stage, placement: str, principal: Principal, error: type[Refused]
) -> None:
    got = replies(stage)
    with pytest.raises(error):
        await get(stage, placement, principal)
    assert got == []


@both
async def test_a_method_that_wants_a_recent_log_in_is_refused_wherever_it_is_served(
    stage: Stage, placement: str
) -> None:
    got = replies(stage, ProjectTransfer(user_id=USER))
    client = stage.client(ProjectsStub, placement)
    now = stage.clock.time()
    for authenticated_at, error in ((0.0, Denied), (now - 601, Unauthenticated)):
        with calling(replace(ANN, authenticated_at=authenticated_at)), pytest.raises(error):
            await client.transfer_project(TransferProjectRequest(id=PROJECT, user_id=USER))
    assert got == []
    with calling(replace(ANN, authenticated_at=now)):
        await client.transfer_project(TransferProjectRequest(id=PROJECT, user_id=USER))
    assert len(got) == 1


@both
async def test_a_service_is_let_through_to_the_handlers_own_decision(stage: Stage, placement: str) -> None:
    replies(stage)
    assert (await get(stage, placement, SERVICE)).id == PROJECT

    async def script(message: Any) -> Any:
        authorise.own("projects.read")

    stage.projects.script = script
    with pytest.raises(Denied):
        await get(stage, placement, SERVICE)


@both
async def test_a_public_method_takes_anybody_and_needs_no_decision(stage: Stage, placement: str) -> None:
    async def script(message: Any) -> Any:
        return SessionTokens(access_token="a")

    stage.sessions.script = script
    with calling(ANONYMOUS):
        client = stage.client(SessionsStub, placement)
        assert (await client.refresh_session(RefreshSessionRequest(refresh_token="r"))).access_token == "a"


@both
async def test_an_internal_method_takes_only_the_callers_it_names(stage: Stage, placement: str) -> None:
    got = replies(stage, ChangesReply(latest=7))
    assert (await stage.client(AuthorityStub, placement, caller="tokens").changes(ChangesRequest())).latest == 7
    for caller in ("gateway", "projects", ""):
        with pytest.raises(Denied) as caught:
            await stage.client(AuthorityStub, placement, caller=caller).changes(ChangesRequest())
        assert caught.value.reason == "internal_method"
    assert len(got) == 1


@both
@pytest.mark.parametrize("method", ["get_project", "create_project"])
async def test_a_reply_of_a_method_that_asked_nobody_is_withheld(stage: Stage, placement: str, method: str) -> None:
    async def script(message: Any) -> Any:
        if method == "create_project":
            await stage.units.database.execute("INSERT INTO things (id) VALUES ('one')")
        return Project(name="somebody else's")

    stage.projects.script = script
    request = GET if method == "get_project" else CreateProjectRequest(name="a")
    with structlog.testing.capture_logs() as logs, calling(), pytest.raises(Refused) as caught:
        await getattr(stage.client(ProjectsStub, placement), method)(request)
    assert (caught.value.code, caught.value.message) == (Code.INTERNAL, "internal error")
    assert "authorise" in logs[0]["event"]
    assert (await stage.counts())[0] == 0


@both
async def test_broken_rules_are_refused_with_a_pointer_each(stage: Stage, placement: str) -> None:
    got = replies(stage)
    with calling(), pytest.raises(Invalid) as caught:
        await stage.client(ProjectsStub, placement).create_project(
            CreateProjectRequest(name="", description="x" * 2001)
        )
    assert [fault.pointer for fault in caught.value.faults] == ["/name", "/description"]
    assert got == []


@both
@pytest.mark.parametrize(
    "request_",
    [UpdateProjectRequest(id=PROJECT, if_match=2**64), UpdateProjectRequest(id=PROJECT, name="\ud800")],
    ids=["a number out of range", "half of a surrogate pair"],
)
async def test_what_the_wire_cannot_carry_is_refused_on_the_way_in(stage: Stage, placement: str, request_: Any) -> None:
    with calling(), pytest.raises(Invalid) as caught:
        await stage.client(ProjectsStub, placement).update_project(request_)
    assert (caught.value.reason, caught.value.__context__) == ("not_carried", None)


@both
@pytest.mark.parametrize("method", ["get_project", "create_project"])
async def test_a_reply_that_the_wire_cannot_carry_is_a_fault_of_ours_and_commits_nothing(
    stage: Stage, placement: str, method: str
) -> None:
    async def script(message: Any) -> Any:
        current().decided = True
        if method == "create_project":
            await stage.units.database.execute("INSERT INTO things (id) VALUES ('one')")
        return Project(version=2**70)

    stage.projects.script = script
    request = GET if method == "get_project" else CreateProjectRequest(name="a")
    with calling(), pytest.raises(Refused) as caught:
        await getattr(stage.client(ProjectsStub, placement), method)(request)
    assert caught.value.code is Code.INTERNAL
    assert (await stage.counts())[0] == 0


@both
async def test_a_handler_that_forgets_its_reply_is_a_fault_of_ours(stage: Stage, placement: str) -> None:
    async def script(message: Any) -> Any:
        current().decided = True

    stage.projects.script = script
    with pytest.raises(Refused) as caught:
        await get(stage, placement)
    assert caught.value.code is Code.INTERNAL


@both
async def test_messages_above_the_limit_are_refused_either_way(stage: Stage, placement: str) -> None:
    almost = ListProjectsReply(projects=[Project(description="x" * 1024)] * 4000)
    too_much = ListProjectsReply(projects=[Project(description="x" * 1024)] * 4096)
    client = stage.client(ProjectsStub, placement)
    with calling():
        replies(stage, almost)
        assert len((await client.list_projects(ListProjectsRequest())).projects) == 4000
        replies(stage, too_much)
        with pytest.raises(TooLarge) as reply:
            await client.list_projects(ListProjectsRequest())
        with pytest.raises(TooLarge) as request:
            await client.create_project(CreateProjectRequest(name="a", description="x" * MESSAGE_LIMIT))
    assert (reply.value.reason, request.value.reason) == ("reply_too_large", "request_too_large")


@both
async def test_neither_side_sees_the_others_context(stage: Stage, placement: str) -> None:
    seen = []

    async def script(message: Any) -> Any:
        current().decided = True
        seen.append(LEAK.get("nothing"))
        LEAK.set("of the callee")
        return Project()

    stage.projects.script = script
    token = LEAK.set("of the caller")
    try:
        await get(stage, placement)
        with calling():
            await stage.client(ProjectsStub, placement).create_project(CreateProjectRequest(name="a"))
        assert (seen, LEAK.get()) == (["nothing", "nothing"], "of the caller")
    finally:
        LEAK.reset(token)


@both
async def test_neither_side_can_change_the_others_messages(stage: Stage, placement: str) -> None:
    kept = Project(id=PROJECT, labels={"a": "b"})
    got = replies(stage, kept)
    request = CreateProjectRequest(name="a", labels={"x": "y"})
    client = stage.client(ProjectsStub, placement)
    with calling():
        reply = await client.create_project(request)
        got[0].labels["x"] = "changed"
        reply.labels["a"] = "changed"
        assert (request.labels, kept.labels) == ({"x": "y"}, {"a": "b"})


OUTCOMES = [
    Conflict("Archived.", reason="archived", faults=[Fault("/a", "b", "ü")], retry_after=1.2345),
    Refused("Odd.", code=Code.STALE),
    ValueError("internal"),
    Project(name="ü", labels={"a": ""}, version=2**63 - 1),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
async def test_both_placements_give_the_same_outcome(stage: Stage, outcome: Any) -> None:
    async def script(message: Any) -> Any:
        current().decided = True
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    stage.projects.script = script

    async def outcome_in(placement: str) -> Any:
        try:
            return await get(stage, placement)
        except Refused as error:
            return (*refusal(error), error.__cause__, error.__context__)

    assert await outcome_in("local") == await outcome_in("loopback")


async def test_without_a_database_every_method_can_be_hosted(stage: Stage) -> None:
    replies(stage)
    directory: Directory = stage.directory("local", None)
    with calling():
        client = directory.named("gateway").client(ProjectsStub)
        assert (await client.create_project(CreateProjectRequest(name="a"))).id == PROJECT


def test_only_what_keeps_the_contract_is_hosted() -> None:
    service = CONTRACTS.service_of(ProjectsStub)

    class Plain(Projects):
        def get_project(self, message: Any) -> Any:
            return Project()

    check_hostable(Host(service, Projects(), "things"))
    with pytest.raises(TypeError, match="object of plugin things is no ProjectsBase"):
        check_hostable(Host(service, object(), "things"))
    with pytest.raises(TypeError, match=r"Plain\.get_project is no `async def`"):
        check_hostable(Host(service, Plain(), "things"))


def test_only_generators_are_hosted_for_streams(trial: Contracts) -> None:
    declared, service = trial.services["blobs.v1.Blobs"], blobs.make()
    check_hostable(Host(declared, service, "blobs"))
    service.count = service.sum
    with pytest.raises(TypeError, match=r"Blobs\.count is no `async def` with `yield`"):
        check_hostable(Host(declared, service, "blobs"))
    service.count, service.sum = type(service).count.__get__(service), service.count
    replaced = replace(declared, methods=tuple(m for m in declared.methods if m.name == "Count"))
    check_hostable(Host(replaced, service, "blobs"))


async def test_a_stream_writes_in_short_units_and_says_nothing_before_it_is_kept(
    trial: Contracts, stage: Stage
) -> None:
    pipeline = Pipeline(trial, Wire(trial), Checks(trial), Metrics(), SystemClock())
    units = UnitFactory(
        "things",
        stage.pool,
        contracts=trial,
        avro=Avro(trial),
        cipher=stage.cipher,
        clock=stage.clock,
        metrics=Metrics(),
    )
    service, directory = blobs.make(), Directory(pipeline)
    declared = trial.services["blobs.v1.Blobs"]
    directory.host(Host(declared, service, "blobs", units))
    client: Any = directory.named("gateway").client(declared.stub)

    async def write(value: Any) -> None:
        async with work(last=value is None):
            await units.database.execute("INSERT INTO things (id) VALUES ($1)", str(value))

    service.hook = write
    with asking():
        await _writes(stage, service, client)


async def _writes(stage: Stage, service: Any, client: Any) -> None:
    m = blobs.module()
    assert (await client.sum([m.Number(value=1), m.Number(value=2)])).value == 3
    assert await stage.value("SELECT count(*) FROM things") == 2
    async for _ in client.guarded(m.CountRequest(count=2)):
        assert await stage.value("SELECT count(*) FROM things") == 3
    with pytest.raises(Refused):  # it reads only
        async for _ in client.count(m.CountRequest(count=1)):
            pass
    service.decides = False
    async with stage.pool.connection() as connection:
        await connection.execute("TRUNCATE things")
    with pytest.raises(Refused):
        await anext(client.guarded(m.CountRequest(count=1)))
    assert await stage.value("SELECT count(*) FROM things") == 0
