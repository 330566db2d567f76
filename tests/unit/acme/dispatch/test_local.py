"""The local placement: copies, and nothing that the other placements would not carry."""

from __future__ import annotations

from typing import Any

from acme import current
from acme.contracts.projects.v1 import GetProjectRequest, Project, ProjectsStub
from tests.services import PROJECT, Stage, calling


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
