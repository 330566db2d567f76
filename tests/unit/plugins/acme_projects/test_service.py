"""What the rules of projects cost: reading asks the database once; a change locks, decides and writes.

What they mean is tested through the contract, in every placement: tests/contract/projects.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from acme_projects import plugin as projects_plugin

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.projects.v1 import (
    ArchiveProjectRequest,
    BatchGetProjectsRequest,
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectsRequest,
    ProjectsStub,
    UnarchiveProjectRequest,
    UpdateProjectRequest,
)
from acme.errors import Refused
from acme.plugin import Plugin, Resources
from acme.ports import Row, Statements
from acme.testing import Platform


class Counting:
    """Statements that are counted on their way."""

    number = 0

    def __init__(self, statements: Statements) -> None:
        self._statements = statements

    async def fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        Counting.number += 1
        return await self._statements.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        Counting.number += 1
        return await self._statements.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: Any) -> Any:
        Counting.number += 1
        return await self._statements.fetchval(sql, *args)

    async def execute(self, sql: str, *args: Any) -> str:
        Counting.number += 1
        return await self._statements.execute(sql, *args)


@asynccontextmanager
async def _counted(resources: Resources[Any]) -> AsyncIterator[Sequence[object]]:
    counted = dataclasses.replace(resources, database=Counting(resources.database))
    async with projects_plugin.service(counted) as instances:
        yield instances


@pytest.fixture(scope="module")
def plugins() -> Sequence[Plugin]:
    return [dataclasses.replace(projects_plugin, service=_counted)]


RENAME = FieldMask(paths=["name"])
CALLS: dict[str, tuple[int, Callable[[ProjectsStub, str], Awaitable[object]]]] = {
    "create": (1, lambda stub, _: stub.create_project(CreateProjectRequest(name="B"))),
    "get": (1, lambda stub, id_: stub.get_project(GetProjectRequest(id=id_))),
    "batch get": (1, lambda stub, id_: stub.batch_get_projects(BatchGetProjectsRequest(ids=[id_, id_[:-1] + "0"]))),
    "list": (1, lambda stub, _: stub.list_projects(ListProjectsRequest())),
    "search": (1, lambda stub, _: stub.list_projects(ListProjectsRequest(query="atlas", show_deleted=True))),
    "update": (3, lambda stub, id_: stub.update_project(UpdateProjectRequest(id=id_, name="B", update_mask=RENAME))),
    "update nothing": (
        2,
        lambda stub, id_: stub.update_project(UpdateProjectRequest(id=id_, update_mask=FieldMask())),
    ),
    "stale update": (
        2,
        lambda stub, id_: stub.update_project(UpdateProjectRequest(id=id_, name="B", update_mask=RENAME, if_match=9)),
    ),
    "archive": (3, lambda stub, id_: stub.archive_project(ArchiveProjectRequest(id=id_))),
    "unarchive": (2, lambda stub, id_: stub.unarchive_project(UnarchiveProjectRequest(id=id_))),
    "get of nobody": (1, lambda stub, id_: stub.get_project(GetProjectRequest(id=id_[:-1] + "0"))),
}
"""A call, and how many statements it takes."""


@pytest.mark.parametrize(("statements", "call"), CALLS.values(), ids=CALLS.keys())
async def test_a_method_takes_no_more_statements_than_it_needs(
    platform: Platform, statements: int, call: Callable[[ProjectsStub, str], Awaitable[object]]
) -> None:
    projects = platform.stub(ProjectsStub, as_=platform.somebody())
    made = await projects.create_project(CreateProjectRequest(name="A"))
    Counting.number = 0
    with suppress(Refused):
        await call(projects, made.id)
    assert Counting.number == statements


async def test_what_the_contract_or_the_mask_refuses_never_reaches_the_database(platform: Platform) -> None:
    projects = platform.stub(ProjectsStub, as_=platform.somebody())
    Counting.number = 0
    for call in (
        projects.create_project(CreateProjectRequest(name="")),
        projects.create_project(CreateProjectRequest(name="A", organization_id=platform.somebody().organization)),
        projects.list_projects(ListProjectsRequest(page_token="x")),
        projects.list_projects(ListProjectsRequest(query="ab")),
        projects.list_projects(ListProjectsRequest(filter="nonsense = 1")),
        projects.list_projects(ListProjectsRequest(order_by="nonsense")),
        projects.update_project(UpdateProjectRequest(id="prj_x")),
    ):
        with pytest.raises(Refused):
            await call
    assert Counting.number == 0
