"""Lists of projects through their contract: filters, orders, and who sees what in them."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from acme_projects import plugin as projects_plugin

from acme.contracts.projects.v1 import (
    ArchiveProjectRequest,
    BatchGetProjectsRequest,
    CreateProjectRequest,
    DeleteProjectRequest,
    ListProjectsRequest,
    Project,
    ProjectsStub,
)
from acme.errors import Invalid, Malformed
from acme.plugin import Plugin
from acme.testing import Platform, User
from tests.contract.projects.calls import make, update

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [projects_plugin]


async def listed(projects: ProjectsStub, size: int = 1000, **asked: Any) -> list[Project]:
    """All pages of a list."""
    found: list[Project] = []
    token = ""
    while True:
        reply = await projects.list_projects(ListProjectsRequest(page_size=size, page_token=token, **asked))
        assert len(reply.projects) <= size
        found += reply.projects
        if not (token := reply.next_page_token):
            return found


def names(found: list[Project]) -> list[str]:
    return [project.name for project in found]


@pytest.fixture
async def four(platform: Platform, projects: ProjectsStub) -> list[Project]:
    """Four projects, an hour apart, the second archived."""
    made = []
    for name, labels in (
        ("beta", {"env": "prod"}),
        ("Alpha", {"env": "test"}),
        ("alpha", {"team": "north"}),
        ("beta", {"env": "prod", "team": "north"}),
    ):
        made.append(await projects.create_project(CreateProjectRequest(name=name, labels=labels)))
        platform.clock.advance(timedelta(hours=1))
    made[1] = await projects.archive_project(ArchiveProjectRequest(id=made[1].id))
    return made


@pytest.mark.parametrize(
    ("filter_", "chosen"),
    [
        ('labels.env = "prod"', [0, 3]),
        ('labels.env != "prod"', [1, 2]),
        ('NOT labels.env = "prod"', [1, 2]),
        ("labels:team", [2, 3]),
        ("labels.team:*", [2, 3]),
        ("NOT labels:env", [2]),
        ("archived = true", [1]),
        ('labels.env = "prod" AND archived = false', [0, 3]),
        ('labels.env = "prod" OR labels.env = "test"', [0, 1, 3]),
        ('name = "beta" AND (labels:team OR archived = true)', [3]),
        ('name = "beta"', [0, 3]),
        ('name != "beta"', [1, 2]),
        ('name = "\'; DROP TABLE projects --"', []),
        ('labels.env = "%"', []),
        ("", [0, 1, 2, 3]),
    ],
)
async def test_a_filter_chooses(projects: ProjectsStub, four: list[Project], filter_: str, chosen: list[int]) -> None:
    expected = [four[index].id for index in reversed(chosen)]
    assert [project.id for project in await listed(projects, filter=filter_)] == expected


async def test_times_and_ids_are_compared(projects: ProjectsStub, four: list[Project], ada: User) -> None:
    assert four[2].created_at is not None
    at = four[2].created_at.isoformat()
    for filter_, chosen in (
        (f'created_at > "{at}"', [3]),
        (f'created_at >= "{at}"', [2, 3]),
        (f'created_at < "{at}"', [0, 1]),
        (f'updated_at > "{at}" AND created_at < "{at}"', [1]),
        (f'id = "{four[1].id}"', [1]),
        (f'owner_id = "{ada.id}"', [0, 1, 2, 3]),
        (f'organization_id != "{ada.organization}"', []),
    ):
        found = await listed(projects, filter=filter_)
        assert [project.id for project in found] == [four[index].id for index in reversed(chosen)], filter_


@pytest.mark.parametrize(
    "filter_",
    ["description = x", "region = local", "version > 1", "labels = x", 'created_at > "yesterday"', "archived", "name"],
)
async def test_only_some_fields_can_be_filtered_by(projects: ProjectsStub, filter_: str) -> None:
    with pytest.raises(Invalid) as caught:
        await listed(projects, filter=filter_)
    assert [fault.pointer for fault in caught.value.faults] == ["/filter"]


ORDERS: dict[str, list[int]] = {
    "": [3, 2, 1, 0],
    "name": [1, 2, 0, 3],
    "name desc": [3, 0, 2, 1],
    "created_at": [0, 1, 2, 3],
    "created_at desc": [3, 2, 1, 0],
    "updated_at": [0, 2, 3, 1],
    "updated_at desc": [1, 3, 2, 0],
    "name, created_at desc": [1, 2, 3, 0],
    "name desc, updated_at": [0, 3, 2, 1],
}


@pytest.mark.parametrize(("order_by", "expected"), ORDERS.items())
async def test_an_order_holds_over_pages_of_any_size(
    projects: ProjectsStub, four: list[Project], order_by: str, expected: list[int]
) -> None:
    for size in (1, 2, 3, 10):
        found = await listed(projects, size, order_by=order_by)
        assert [project.id for project in found] == [four[index].id for index in expected]


@pytest.mark.parametrize("order_by", ["owner_id", "name sideways", "name, name", "name;", "id"])
async def test_only_some_fields_can_be_sorted_by(projects: ProjectsStub, order_by: str) -> None:
    with pytest.raises(Invalid) as caught:
        await listed(projects, order_by=order_by)
    assert [fault.pointer for fault in caught.value.faults] == ["/order_by"]


async def test_a_page_token_belongs_to_its_list(projects: ProjectsStub, four: list[Project]) -> None:
    lists: tuple[dict[str, Any], ...] = (
        {},
        {"order_by": "name"},
        {"filter": "archived = false"},
        {"query": "beta"},
        {"show_deleted": True},
    )
    tokens = [
        (await projects.list_projects(ListProjectsRequest(page_size=1, **asked))).next_page_token for asked in lists
    ]
    for (asked, _), (_, token) in itertools.permutations(zip(lists, tokens, strict=True), 2):
        assert token
        with pytest.raises(Malformed):
            await projects.list_projects(ListProjectsRequest(page_token=token, **asked))


async def test_deleted_projects_are_listed_where_they_stand_when_asked_for(
    projects: ProjectsStub, four: list[Project]
) -> None:
    await projects.delete_project(DeleteProjectRequest(id=four[2].id))
    for size in (1, 2, 10):
        shown = await listed(projects, size, show_deleted=True)
        assert [project.id for project in shown] == [four[index].id for index in (3, 2, 1, 0)]
        hidden = await listed(projects, size)
        assert [project.id for project in hidden] == [four[index].id for index in (3, 1, 0)]
    assert [project.id for project in await listed(projects, show_deleted=True, filter='name = "alpha"')] == [
        four[2].id
    ]


async def test_a_project_renamed_between_two_pages_is_where_its_name_puts_it(
    projects: ProjectsStub, four: list[Project]
) -> None:
    first = await projects.list_projects(ListProjectsRequest(page_size=2, order_by="name"))
    assert names(first.projects) == ["Alpha", "alpha"]
    await projects.update_project(update(four[0], "name", name="zeta"))
    rest = await projects.list_projects(
        ListProjectsRequest(page_size=2, order_by="name", page_token=first.next_page_token)
    )
    assert names(rest.projects) == ["beta", "zeta"]


async def test_a_batch_has_the_order_of_the_request_and_names_what_is_missing(
    projects: ProjectsStub, others: ProjectsStub, four: list[Project]
) -> None:
    (foreign,) = await make(others, 1)
    unknown = foreign.id[:-1] + ("0" if foreign.id[-1] != "0" else "1")
    ids = [four[2].id, unknown, four[0].id, foreign.id, four[2].id]
    reply = await projects.batch_get_projects(BatchGetProjectsRequest(ids=ids))
    assert reply.projects == [four[2], four[0]]
    assert reply.missing == [unknown, foreign.id]


@pytest.mark.parametrize("ids", [[], ["prj_01h455vb4pex5vsknk084sn02q"] * 101, ["usr_01h455vb4pex5vsknk084sn02q"]])
async def test_a_batch_has_one_to_a_hundred_ids_of_projects(projects: ProjectsStub, ids: list[str]) -> None:
    with pytest.raises(Invalid):
        await projects.batch_get_projects(BatchGetProjectsRequest(ids=ids))
