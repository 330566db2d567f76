"""The local placement: copies, and nothing that the other placements would not carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from acme import current
from acme.codec.json import Json
from acme.context import CALL
from acme.contract import Method
from acme.contracts.projects.v1 import CreateProjectRequest, GetProjectRequest, Project, ProjectsStub
from acme.dispatch.serve import MESSAGE_LIMIT
from acme.errors import Code, Refused, TooLarge
from tests.services import CONTRACTS, PROJECT, Stage, calling


async def test_the_callee_gets_a_copy_and_so_does_the_caller(stage: Stage) -> None:
    request, kept = GetProjectRequest(id=PROJECT), Project(id=PROJECT, labels={"a": "b"})
    got = []

    async def script(message: Any) -> Any:
        current().decided = True
        got.append(message)
        return kept

    stage.projects.script = script
    with calling():
        reply = await stage.client(ProjectsStub, "local").get_project(request)
    assert (got[0], reply) == (request, kept)
    assert got[0] is not request
    assert reply is not kept
    assert reply.labels is not kept.labels


async def test_its_calls_are_measured_as_local(stage: Stage) -> None:
    name, labels = "rpc_server_call_duration_seconds_count", {"rpc_system_name": "local"}
    before = stage.count(name, **labels)

    async def script(message: Any) -> Any:
        current().decided = True
        return Project()

    stage.projects.script = script
    with calling():
        await stage.client(ProjectsStub, "local").get_project(GetProjectRequest(id=PROJECT))
    assert stage.count(name, **labels) == before + 1


GET = next(method for method in CONTRACTS.service_of(ProjectsStub).methods if method.attr == "get_project")
CREATE = next(method for method in CONTRACTS.service_of(ProjectsStub).methods if method.attr == "create_project")


def answer(stage: Stage, reply: Project) -> None:
    """Lets every method of the service return that."""

    async def script(message: Any) -> Any:
        current().decided = True
        return reply

    stage.projects.script = script


async def let_in(stage: Stage, method: Method, request: Any, fresh: Callable[[Any], Any]) -> Any:
    entry = stage.directories["local"].named("gateway").entry(method, lambda reply: (b"a copy", reply), fresh)
    return await entry.send(replace(CALL.get(), method=method.path[1:]), request)


async def test_who_makes_something_else_of_a_reply_gets_that_of_the_handler(stage: Stage) -> None:
    kept = Project(id=PROJECT)
    answer(stage, kept)
    with calling():
        assert (await let_in(stage, GET, GetProjectRequest(id=PROJECT), lambda reply: (b"", reply)))[1] is kept


async def test_a_reply_that_a_unit_of_work_may_remember_is_copied_first(stage: Stage) -> None:
    kept = Project(id=PROJECT)
    answer(stage, kept)
    with calling():
        what, reply = await let_in(stage, CREATE, CreateProjectRequest(name="x"), lambda reply: (b"", reply))
    assert what == b"a copy"
    assert reply == kept
    assert reply is not kept


@pytest.mark.parametrize("character", ["x", "é"])
async def test_a_reply_is_no_larger_there_than_a_wire_carries(stage: Stage, character: str) -> None:
    text = Json(CONTRACTS).renderer(CONTRACTS.messages["acme.projects.v1.Project"])
    reply = Project(id=PROJECT, description=character * (MESSAGE_LIMIT // len(character.encode()) - 100))
    answer(stage, reply)
    with calling():
        said, _ = await let_in(stage, GET, GetProjectRequest(id=PROJECT), lambda reply: (text(reply), b""))
        assert len(said) > MESSAGE_LIMIT - 100
        reply.name = character * 100
        with pytest.raises(TooLarge) as refused:
            await let_in(stage, GET, GetProjectRequest(id=PROJECT), lambda reply: (text(reply), b""))
    assert refused.value.reason == "reply_too_large"


async def test_a_reply_that_no_wire_carries_is_a_fault_of_the_service_and_says_nothing(stage: Stage) -> None:
    answer(stage, Project(name="hunter2\ud800"))
    text = Json(CONTRACTS).renderer(CONTRACTS.messages["acme.projects.v1.Project"])
    with calling(), pytest.raises(Refused, match=r"^internal error$") as refused:
        await let_in(stage, GET, GetProjectRequest(id=PROJECT), lambda reply: (text(reply), b""))
    assert refused.value.code is Code.INTERNAL
