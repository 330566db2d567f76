"""The caller's half: what the callee's Call says, deadlines, and no calls inside a unit of work."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any

import pytest
from grpclib.metadata import Deadline

from acme import authorise, current, work
from acme.context import CALL, Call, Decision, IdempotencyKey, Kind
from acme.contracts.authority.v1 import AuthorityStub, ChangesReply, ChangesRequest
from acme.contracts.projects.v1 import CreateProjectRequest, GetProjectRequest, Project, ProjectsStub
from acme.contracts.users.v1 import CreateUserReply, UsersStub
from acme.dispatch.calls import LIMIT, within
from acme.errors import Code, DeadlineExceeded, Refused
from tests.services import ANN, PROJECT, SIGN_UP, Stage, calling

GET = GetProjectRequest(id=PROJECT)
pytestmark = pytest.mark.parametrize("placement", ["local", "loopback"])


def listens(stage: Stage) -> list[Call]:
    """Lets the services note their calls."""
    calls: list[Call] = []

    async def script(message: Any) -> Any:
        calls.append(current())
        if isinstance(message, ChangesRequest):
            return ChangesReply()
        authorise.own("projects.read")
        return Project()

    stage.projects.script = stage.authority.script = script
    return calls


async def test_the_callee_learns_who_calls_for_whom_and_until_when(stage: Stage, placement: str) -> None:
    calls = listens(stage)
    with calling() as source:
        await stage.client(ProjectsStub, placement).get_project(GET)
    (call,) = calls
    assert call is not source
    assert call == Call(
        method="acme.projects.v1.Projects/GetProject",
        principal=ANN,
        request_id="req_1",
        deadline=source.deadline,
        service="gateway",
        address="192.0.2.1",
        traceparent="00-trace",
        idempotency=None,
        permission="projects.read",
        decided=True,
        roles=stage.pipeline.roles,
        noted=(Decision("projects.read", "", "own", True),),
    )
    assert source.decided is False


async def test_without_a_call_a_service_calls_as_itself_with_a_deadline(stage: Stage, placement: str) -> None:
    calls = listens(stage)
    started = time.monotonic()
    await stage.client(AuthorityStub, placement, caller="tokens").changes(ChangesRequest())
    (call,) = calls
    assert (call.principal.kind, call.principal.id, call.service) == (Kind.SERVICE, "tokens", "tokens")
    assert started + LIMIT <= call.deadline <= time.monotonic() + LIMIT
    assert call.request_id.startswith("req_")


async def test_an_idempotency_key_passes_from_the_gateway_alone(stage: Stage, placement: str) -> None:
    calls = listens(stage)
    client = stage.client(ProjectsStub, placement)
    with calling(key="k1"):
        await client.get_project(GET)
    with calling(key="k1", method="a.B/C", service="gateway"):
        await client.get_project(GET)
    with calling(key="k1", service="users"):
        await client.get_project(GET)
    assert [call.idempotency for call in calls] == [IdempotencyKey("k1", b"a"), None, None]


async def test_a_deadline_that_has_passed_is_refused_without_a_call(stage: Stage, placement: str) -> None:
    calls = listens(stage)
    with calling(seconds=-0.1), pytest.raises(DeadlineExceeded):
        await stage.client(ProjectsStub, placement).get_project(GET)
    with calling(), pytest.raises(DeadlineExceeded):
        await stage.client(ProjectsStub, placement).get_project(GET, timeout=0)
    assert calls == []


async def test_deadlines_shrink_and_never_grow(stage: Stage, placement: str) -> None:
    calls = listens(stage)
    client = stage.client(ProjectsStub, placement)
    with calling(seconds=5) as source:
        await client.get_project(GET, timeout=1)
        await client.get_project(GET, timeout=60)
        await client.get_project(GET, deadline=Deadline.from_timeout(2))
        await client.get_project(GET, deadline=Deadline.from_timeout(2), timeout=1)
    with calling(seconds=math.inf):
        await client.get_project(GET)
    left = [call.deadline - source.deadline for call in calls]
    assert left == pytest.approx([-4, 0, -3, -4, LIMIT - 5], abs=0.5)


async def test_time_that_runs_out_cancels_the_callee(stage: Stage, placement: str) -> None:
    ended = []

    async def script(message: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    stage.projects.script = script
    with calling(), pytest.raises(DeadlineExceeded) as caught:
        await stage.client(ProjectsStub, placement).get_project(GET, timeout=0.02)
    assert ended == [True]
    assert (caught.value.code, caught.value.__context__) == (Code.DEADLINE, None)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_without_a_tighter_timeout_no_timer_is_armed(stage: Stage, placement: str) -> None:
    """The edge has one; what it cancels passes through as a cancellation."""

    async def script(message: Any) -> Any:
        await asyncio.Event().wait()

    stage.projects.script = script
    with calling(seconds=0.01), pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await stage.client(ProjectsStub, placement).get_project(GET)


async def test_no_service_is_called_inside_a_unit_of_work(stage: Stage, placement: str) -> None:
    other = stage.client(AuthorityStub, placement, caller="tokens")
    calls = listens(stage)
    raised: list[str] = []

    async def script(message: Any) -> Any:
        authorise.own("projects.create")
        try:
            await other.changes(ChangesRequest())
        except RuntimeError as error:
            raised.append(str(error))
        return Project()

    stage.projects.script = script
    with calling():
        await stage.client(ProjectsStub, placement).create_project(CreateProjectRequest(name="a"))
    (text,) = raised
    assert text.startswith("acme.projects.v1.Projects/CreateProject calls acme.authority.v1.Authority/Changes inside")
    assert calls == []


async def test_a_manual_method_calls_between_its_units(stage: Stage, placement: str) -> None:
    other = stage.client(AuthorityStub, placement, caller="tokens")
    calls = listens(stage)

    async def script(message: Any) -> Any:
        async with work():
            await stage.units.database.fetchval("SELECT 1")
        await other.changes(ChangesRequest())
        async with work(last=True):
            await stage.units.database.fetchval("SELECT 1")
        await other.changes(ChangesRequest())

    stage.users.script = script
    with calling(), pytest.raises(Refused, match="internal error"):
        await stage.client(UsersStub, placement).create_user(SIGN_UP)
    assert len(calls) == 1


async def test_a_job_calls_between_its_units_too(stage: Stage, placement: str) -> None:
    other = stage.client(AuthorityStub, placement, caller="tokens")
    calls = listens(stage)
    with stage.units.outside():
        await other.changes(ChangesRequest())
        async with work():
            with pytest.raises(RuntimeError, match="a job calls"):
                await other.changes(ChangesRequest())
    assert len(calls) == 1


async def test_a_cancellation_from_outside_stays_one_though_time_runs_out_too(placement: str) -> None:
    async def hangs() -> None:
        await asyncio.Event().wait()

    gathered = asyncio.gather(within(time.monotonic() + 0.01, hangs()))
    await asyncio.sleep(0)
    gathered.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathered


async def test_a_reply_that_comes_although_time_ran_out_is_given(placement: str) -> None:
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "late"
        raise AssertionError

    assert await within(time.monotonic() + 0.01, stubborn()) == "late"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_after_a_call_the_caller_is_where_it_was(stage: Stage, placement: str) -> None:
    listens(stage)
    with calling() as source:
        await stage.client(ProjectsStub, placement).get_project(GET)
        assert CALL.get() is source


async def test_a_caller_in_a_manual_method_keeps_its_reply(stage: Stage, placement: str) -> None:
    async def script(message: Any) -> Any:
        return CreateUserReply()

    stage.users.script = script
    with calling():
        assert await stage.client(UsersStub, placement).create_user(SIGN_UP) == CreateUserReply()
