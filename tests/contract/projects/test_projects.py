"""Projects through their contract: making them, and whose they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from acme.contracts.projects.v1 import (
    ArchiveProjectRequest,
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectsRequest,
    Project,
    ProjectsStub,
    UnarchiveProjectRequest,
)
from acme.errors import Denied, Invalid, NotFound
from acme.ids import is_id
from acme.testing import Platform, User
from tests.contract.projects.calls import everything, update

pytestmark = pytest.mark.every_placement


async def test_a_new_project_is_the_callers_and_has_what_was_asked_for(
    platform: Platform, projects: ProjectsStub, ada: User
) -> None:
    before = platform.clock.now()
    made = await projects.create_project(
        CreateProjectRequest(
            organization_id=ada.organization, name="Atlas", description="Maps\nof it all", labels={"team": "north"}
        )
    )
    assert is_id(made.id, "prj")
    assert made.created_at is not None
    assert before <= made.created_at <= platform.clock.now()
    assert made == Project(
        id=made.id,
        organization_id=ada.organization,
        owner_id=ada.id,
        name="Atlas",
        description="Maps\nof it all",
        labels={"team": "north"},
        archived=False,
        region="local",
        created_at=made.created_at,
        updated_at=made.created_at,
        version=1,
    )


async def test_what_was_created_is_what_get_returns(projects: ProjectsStub, atlas: Project) -> None:
    assert await projects.get_project(GetProjectRequest(id=atlas.id)) == atlas


async def test_a_project_without_an_organisation_goes_to_the_personal_one(projects: ProjectsStub, ada: User) -> None:
    made = await projects.create_project(CreateProjectRequest(name="Atlas"))
    assert (made.organization_id, made.description, made.labels) == (ada.organization, "", {})


async def test_a_project_cannot_be_made_in_an_organisation_of_others(projects: ProjectsStub, bob: User) -> None:
    with pytest.raises(NotFound):
        await projects.create_project(CreateProjectRequest(organization_id=bob.organization, name="Atlas"))
    assert await everything(projects) == []


async def test_an_organisation_that_does_not_exist_is_refused_in_the_same_words(
    platform: Platform, projects: ProjectsStub, bob: User
) -> None:
    said = []
    for organization in (bob.organization, platform.somebody().organization):
        with pytest.raises(NotFound) as caught:
            await projects.create_project(CreateProjectRequest(organization_id=organization, name="Atlas"))
        said.append((caught.value.reason, caught.value.message))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("request_", "pointer"),
    [
        (CreateProjectRequest(name=""), "/name"),
        (CreateProjectRequest(name="x" * 101), "/name"),
        (CreateProjectRequest(name="two\nlines"), "/name"),
        (CreateProjectRequest(name="x", description="y" * 2001), "/description"),
        (CreateProjectRequest(name="x", labels={"Upper": "v"}), "/labels/Upper"),
        (CreateProjectRequest(name="x", labels={"k": "v" * 257}), "/labels/k"),
        (CreateProjectRequest(name="x", labels={f"k{n}": "v" for n in range(65)}), "/labels"),
        (CreateProjectRequest(name="x", organization_id="usr_01h455vb4pex5vsknk084sn02q"), "/organization_id"),
    ],
    ids=["empty", "long", "lines", "description", "label name", "label value", "many labels", "wrong id"],
)
async def test_a_project_that_breaks_a_rule_is_refused_with_a_pointer(
    projects: ProjectsStub, request_: CreateProjectRequest, pointer: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await projects.create_project(request_)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]
    assert await everything(projects) == []


@pytest.mark.parametrize(
    "text", ["\N{FIRE}" * 100, "e\N{COMBINING ACUTE ACCENT}", "'; DROP TABLE projects --", "\u202e%s"]
)
async def test_any_line_of_text_is_kept_as_it_is(projects: ProjectsStub, text: str) -> None:
    made = await projects.create_project(CreateProjectRequest(name=text, labels={"k": text}))
    kept = await projects.get_project(GetProjectRequest(id=made.id))
    assert (kept.name, kept.labels) == (text, {"k": text})


CALLS: list[Callable[[ProjectsStub, Project], Awaitable[object]]] = [
    lambda stub, project: stub.get_project(GetProjectRequest(id=project.id)),
    lambda stub, project: stub.update_project(update(project, "name", name="Mine")),
    lambda stub, project: stub.update_project(update(project)),
    lambda stub, project: stub.archive_project(ArchiveProjectRequest(id=project.id)),
    lambda stub, project: stub.unarchive_project(UnarchiveProjectRequest(id=project.id)),
    lambda stub, project: stub.archive_project(ArchiveProjectRequest(id=project.id, if_match=99)),
]
NAMES = ["get", "update", "empty update", "archive", "unarchive", "archive another version"]


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
async def test_a_project_of_somebody_else_does_not_exist(
    projects: ProjectsStub, others: ProjectsStub, atlas: Project, call: Callable[..., Awaitable[object]]
) -> None:
    with pytest.raises(NotFound) as of_somebody:
        await call(others, atlas)
    with pytest.raises(NotFound) as of_nobody:
        await call(others, Project(id=unknown(atlas.id)))
    assert of_somebody.value.message == of_nobody.value.message
    assert await projects.get_project(GetProjectRequest(id=atlas.id)) == atlas


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
async def test_a_token_that_does_not_cover_the_permission_is_denied(
    platform: Platform, atlas: Project, call: Callable[..., Awaitable[object]]
) -> None:
    narrow = platform.stub(ProjectsStub, as_=platform.somebody(scopes={"users.me.read"}))
    with pytest.raises(Denied):
        await call(narrow, atlas)


def unknown(project_id: str) -> str:
    """An id of the same shape that nobody has."""
    return project_id[:-1] + ("0" if project_id[-1] != "0" else "1")


async def test_a_list_holds_exactly_the_callers_own_newest_first(platform: Platform) -> None:
    people = [platform.somebody() for _ in range(3)]
    made: dict[str, list[str]] = {person.id: [] for person in people}
    for number in range(12):
        person = people[number * number % 3]
        platform.clock.advance(timedelta(milliseconds=1))
        project = await platform.stub(ProjectsStub, as_=person).create_project(CreateProjectRequest(name=str(number)))
        made[person.id].insert(0, project.id)
    for person in people:
        listed = await platform.stub(ProjectsStub, as_=person).list_projects(ListProjectsRequest())
        assert ([project.id for project in listed.projects], listed.next_page_token) == (made[person.id], "")


async def test_a_list_shows_what_get_shows(projects: ProjectsStub, atlas: Project) -> None:
    assert (await projects.list_projects(ListProjectsRequest())).projects == [atlas]


async def test_archived_projects_stay_in_the_list(projects: ProjectsStub, atlas: Project) -> None:
    archived = await projects.archive_project(ArchiveProjectRequest(id=atlas.id))
    assert (await projects.list_projects(ListProjectsRequest())).projects == [archived]
