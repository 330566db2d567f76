"""Calls by contract, as somebody."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from acme_projects import plugin as projects_plugin

from acme.context import CALL
from acme.contracts.projects.v1 import CreateProjectRequest, GetProjectRequest, ListProjectsRequest, ProjectsStub
from acme.errors import DeadlineExceeded, NotFound
from acme.plugin import Plugin
from acme.testing import Platform


@pytest.fixture(scope="module")
def plugins() -> Sequence[Plugin]:
    return [projects_plugin]


async def test_every_stub_calls_as_its_own_user(platform: Platform) -> None:
    ada, bob = platform.somebody(), platform.somebody()
    of_ada, of_bob = platform.stub(ProjectsStub, as_=ada), platform.stub(ProjectsStub, as_=bob)
    project = await of_ada.create_project(CreateProjectRequest(name="Atlas"))
    assert project.owner_id == ada.id
    with pytest.raises(NotFound):
        await of_bob.get_project(GetProjectRequest(id=project.id))


async def test_a_call_leaves_no_trace_in_the_test(platform: Platform) -> None:
    await platform.stub(ProjectsStub, as_=platform.somebody()).list_projects(ListProjectsRequest())
    with pytest.raises(LookupError):
        CALL.get()


async def test_a_stub_with_a_key_repeats_no_request(platform: Platform) -> None:
    ada = platform.somebody()
    keyed = platform.stub(ProjectsStub, as_=ada, idempotency_key="one")
    assert await keyed.create_project(CreateProjectRequest(name="A")) == await keyed.create_project(
        CreateProjectRequest(name="A")
    )


async def test_a_timeout_of_a_call_is_honoured(platform: Platform) -> None:
    projects = platform.stub(ProjectsStub, as_=platform.somebody())
    with pytest.raises(DeadlineExceeded):
        await projects.list_projects(ListProjectsRequest(), timeout=0.0)
