"""The placement grpc: the same process, through a socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from acme import current
from acme.contracts.projects.v1 import GetProjectRequest, Project, ProjectsStub
from acme.dispatch import Directory, Host
from acme.dispatch.socketed import socketed
from acme.errors import Unavailable
from tests.services import ANN, PROJECT, Projects
from tests.unit.acme.dispatch.town import PROJECTS, Town, asking

GET = GetProjectRequest(id=PROJECT)


async def test_what_is_hosted_is_called_through_a_socket_until_it_is_withdrawn(town: Town, tmp_path: Path) -> None:
    directory, instance = Directory(town.pipeline), Projects()
    client = directory.named("gateway").client(ProjectsStub)

    async def script(message: GetProjectRequest) -> Project:
        current().decided = True
        assert current().principal == ANN
        return Project(id=message.id)

    instance.script = script
    listen = f"grpc+unix://{tmp_path}/self.sock"
    async with socketed(directory, town.pipeline, town.cipher, town.tokens, town.metrics, town.tasks, listen):
        directory.host(Host(PROJECTS, instance, "projects"), "grpc")
        with asking():
            assert (await client.get_project(GET)).id == PROJECT
            assert town.tokens.verified == 1
            directory.withdraw(PROJECTS)
            with pytest.raises(Unavailable):
                await client.get_project(GET)
            directory.host(Host(PROJECTS, instance, "projects"), "local")
            assert (await client.get_project(GET)).id == PROJECT


async def test_without_a_socket_there_is_no_such_placement(town: Town) -> None:
    with pytest.raises(ValueError, match="socket"):
        Directory(town.pipeline).host(Host(PROJECTS, Projects(), "projects"), "grpc")
