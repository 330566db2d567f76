"""Lists of projects through their contract: pages."""

from __future__ import annotations

import pytest

from acme.contracts.projects.v1 import ListProjectsRequest, Project, ProjectsStub
from acme.errors import Invalid, Malformed
from acme.testing import Platform
from tests.contract.projects.calls import make, pages

pytestmark = pytest.mark.every_placement


async def test_pages_of_any_size_hold_every_project_once(projects: ProjectsStub) -> None:
    made = await make(projects, 7)
    for size in (1, 2, 3, 6, 7, 8, 1000):
        found = await pages(projects, size)
        assert [project for page in found for project in page.projects] == made
        assert [len(page.projects) for page in found[:-1]] == [size] * (len(found) - 1)
        assert 1 <= len(found[-1].projects) <= size


async def test_a_page_has_fifty_projects_when_nobody_says_and_at_most_a_thousand(projects: ProjectsStub) -> None:
    await make(projects, 51)
    assert [len(page.projects) for page in await pages(projects, 0)] == [50, 1]
    assert [len(page.projects) for page in await pages(projects, 2_000_000_000)] == [51]


async def test_a_negative_page_size_is_refused(projects: ProjectsStub) -> None:
    with pytest.raises(Invalid):
        await projects.list_projects(ListProjectsRequest(page_size=-1))


async def test_projects_made_between_two_pages_neither_shift_nor_repeat_the_rest(
    platform: Platform, projects: ProjectsStub
) -> None:
    made = await make(projects, 5)
    first = await projects.list_projects(ListProjectsRequest(page_size=2))
    await make(projects, 3)
    rest: list[Project] = []
    token = first.next_page_token
    while token:
        page = await projects.list_projects(ListProjectsRequest(page_size=2, page_token=token))
        rest += page.projects
        token = page.next_page_token
    assert first.projects + rest == made


async def test_a_page_token_of_somebody_else_is_refused(projects: ProjectsStub, others: ProjectsStub) -> None:
    await make(projects, 2)
    token = (await projects.list_projects(ListProjectsRequest(page_size=1))).next_page_token
    with pytest.raises(Malformed):
        await others.list_projects(ListProjectsRequest(page_size=1, page_token=token))


async def test_a_page_token_altered_anywhere_is_refused(projects: ProjectsStub) -> None:
    await make(projects, 2)
    token = (await projects.list_projects(ListProjectsRequest(page_size=1))).next_page_token
    altered = [
        token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :] for index in range(0, len(token), 7)
    ]
    for bad in (*altered, token[:-2], token + "AAAA", "x", "=", "\N{SNOWMAN}", token * 2):
        with pytest.raises(Malformed) as caught:
            await projects.list_projects(ListProjectsRequest(page_token=bad))
        assert caught.value.reason == "invalid_page_token"
