"""The loopback placement: everything goes through bytes."""

from __future__ import annotations

from typing import Any

import pytest

from acme import current
from acme.contracts.projects.v1 import GetProjectRequest, Project, ProjectsStub
from acme.dispatch.loopback import carriage
from acme.dispatch.serve import MESSAGE_LIMIT
from acme.errors import TooLarge
from tests.services import CONTRACTS, PROJECT, Stage, calling

METHOD = next(m for m in CONTRACTS.service_of(ProjectsStub).methods if m.attr == "get_project")


def test_requests_and_replies_are_wire_bytes_of_a_limited_size(stage: Stage) -> None:
    carried = carriage(stage.pipeline, METHOD, "loopback")
    request = GetProjectRequest(id=PROJECT)
    assert carried.receive(bytes(request)) == request
    assert Project.parse(carried.answer(Project(id=PROJECT))) == Project(id=PROJECT)
    with pytest.raises(TooLarge, match="request"):
        carried.receive(b"x" * (MESSAGE_LIMIT + 1))
    with pytest.raises(TooLarge, match="reply"):
        carried.answer(Project(description="x" * MESSAGE_LIMIT))


async def test_what_the_wire_does_not_carry_does_not_arrive(stage: Stage) -> None:
    got = []

    async def script(message: Any) -> Any:
        current().decided = True
        got.append(message)
        return Project()

    stage.projects.script = script
    request = GetProjectRequest(id=PROJECT)
    request.note = "set by mistake"  # type: ignore[attr-defined]  # that is the mistake
    with calling():
        await stage.client(ProjectsStub).get_project(request)
    assert not hasattr(got[0], "note")
