"""Searches for projects through their contract: by name and description, forgiving, and never beyond what one may see."""

from __future__ import annotations

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.contracts.projects.v1 import (
    CreateProjectRequest,
    DeleteProjectRequest,
    ListProjectsRequest,
    Project,
    ProjectsStub,
)
from acme.errors import Invalid
from acme.plugin import Plugin
from acme.testing import User
from tests.contract.projects.calls import update
from tests.contract.projects.crews import Crew
from tests.contract.projects.test_listing import listed, names

pytestmark = pytest.mark.every_placement

PROJECTS = {
    "Atlas": "Maps of the northern hemisphere",
    "Kubernetes migration": "Moves the cluster",
    "Website": "Landing page with an atlas of our shops",
    "Café Zürich": "Überblick",
    "Проект Маяк": "Свет",
    "100% done_now": "back\\slash",
}


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


@pytest.fixture
async def found(projects: ProjectsStub) -> ProjectsStub:
    """The service, called by somebody who has these projects."""
    for name, description in PROJECTS.items():
        await projects.create_project(CreateProjectRequest(name=name, description=description))
    return projects


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("atlas", ["Atlas", "Website"]),
        ("ATLAS", ["Atlas", "Website"]),
        ("atl", ["Atlas", "Website"]),
        ("northern hemisphere", ["Atlas"]),
        ("hemisphere  northern", ["Atlas"]),
        ("atlas maps", ["Atlas"]),
        ("kubernetes", ["Kubernetes migration"]),
        ("kuberntes", ["Kubernetes migration"]),
        ("kubernetis", ["Kubernetes migration"]),
        ("atlos", ["Atlas"]),
        ("zürich", ["Café Zürich"]),
        ("überblick", ["Café Zürich"]),
        ("маяк", ["Проект Маяк"]),
        ("100%", ["100% done_now"]),
        ("done_now", ["100% done_now"]),
        ("back\\slash", ["100% done_now"]),
        ("zzzzzz", []),
        ("%%%aaa", []),
    ],
)
async def test_a_search_finds_names_before_descriptions_and_forgives_small_mistakes(
    found: ProjectsStub, query: str, expected: list[str]
) -> None:
    assert names(await listed(found, query=query))[: len(expected)] == expected
    if not expected:
        assert await listed(found, query=query) == []


@pytest.mark.parametrize("query", ["ab", "a b", "  a  ", "---", "%%%", "__", " "])
async def test_a_search_needs_three_letters_or_digits(found: ProjectsStub, query: str) -> None:
    with pytest.raises(Invalid) as caught:
        await listed(found, query=query)
    assert [fault.pointer for fault in caught.value.faults] == ["/query"]


async def test_the_whole_name_comes_before_a_part_of_one(projects: ProjectsStub) -> None:
    for name in ("Apollo landing site", "Apollo", "The second Apollo"):
        await projects.create_project(CreateProjectRequest(name=name))
    assert names(await listed(projects, query="apollo"))[0] == "Apollo"


async def test_a_search_is_read_page_by_page(projects: ProjectsStub) -> None:
    for number in range(7):
        await projects.create_project(CreateProjectRequest(name="Apollo" + " again" * (number % 3)))
    whole = await listed(projects, query="apollo")
    assert len(whole) == 7
    for size in (1, 2, 3, 7):
        assert await listed(projects, size, query="apollo") == whole


async def test_a_search_is_filtered_and_sorted_like_a_list(projects: ProjectsStub) -> None:
    for name, env in (("Apollo b", "prod"), ("Apollo a", "test"), ("Apollo c", "prod"), ("Gemini", "prod")):
        await projects.create_project(CreateProjectRequest(name=name, labels={"env": env}))
    asked = {"query": "apollo", "filter": 'labels.env = "prod"', "order_by": "name desc"}
    for size in (1, 10):
        assert names(await listed(projects, size, **asked)) == ["Apollo c", "Apollo b"]


async def test_what_was_renamed_or_deleted_is_found_as_it_is_now(projects: ProjectsStub) -> None:
    made = await projects.create_project(CreateProjectRequest(name="Apollo"))
    await projects.update_project(update(made, "name", name="Gemini"))
    assert await listed(projects, query="apollo") == []
    assert names(await listed(projects, query="gemini")) == ["Gemini"]
    await projects.delete_project(DeleteProjectRequest(id=made.id))
    assert await listed(projects, query="gemini") == []
    assert names(await listed(projects, query="gemini", show_deleted=True)) == ["Gemini"]


async def test_a_search_finds_what_its_caller_may_see_from_each_source(crew: Crew) -> None:
    direct, teamed = await crew.direct("viewer"), await crew.by_team("viewer")
    owner, stranger, expired = crew.office.owner, await crew.office.stranger(), await crew.expired("admin")
    hidden = await crew.projects().create_project(
        CreateProjectRequest(organization_id=crew.office.id, name="Atlas two")
    )

    async def seen(somebody: User) -> set[str]:
        return ids(await listed(crew.projects(somebody), query="atlas"))

    assert await seen(direct) == await seen(teamed) == {crew.atlas.id}
    assert await seen(owner) == await seen(crew.maker) == {crew.atlas.id, hidden.id}
    assert await seen(stranger) == await seen(expired) == set()


async def test_what_is_hidden_takes_no_place_of_what_is_not(crew: Crew) -> None:
    """No page, and no number of matches, tells that there are others."""
    viewer = await crew.direct("viewer")
    for number in range(5):
        await crew.projects().create_project(
            CreateProjectRequest(organization_id=crew.office.id, name=f"Atlas {number}")
        )
    reply = await crew.projects(viewer).list_projects(ListProjectsRequest(query="atlas", page_size=1))
    assert (ids(reply.projects), reply.next_page_token) == ({crew.atlas.id}, "")


def ids(found: list[Project]) -> set[str]:
    return {project.id for project in found}
