"""The projects service through its contract, in every placement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from acme_projects import plugin as projects_plugin

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.projects.v1 import (
    ArchiveProjectRequest,
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectsReply,
    ListProjectsRequest,
    Project,
    ProjectArchived,
    ProjectCreated,
    ProjectsStub,
    ProjectUnarchived,
    ProjectUpdated,
    UnarchiveProjectRequest,
    UpdateProjectRequest,
)
from acme.errors import Conflict, Denied, Invalid, Malformed, NotFound, Refused, Stale
from acme.ids import is_id
from acme.plugin import Plugin
from acme.testing import Platform, User

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [projects_plugin]


@pytest.fixture
def ada(platform: Platform) -> User:
    return platform.somebody()


@pytest.fixture
def bob(platform: Platform) -> User:
    return platform.somebody()


@pytest.fixture
def projects(platform: Platform, ada: User) -> ProjectsStub:
    """The service, called by ada."""
    return platform.stub(ProjectsStub, as_=ada)


@pytest.fixture
def others(platform: Platform, bob: User) -> ProjectsStub:
    """The service, called by bob."""
    return platform.stub(ProjectsStub, as_=bob)


@pytest.fixture
async def atlas(projects: ProjectsStub) -> Project:
    """A project of ada's."""
    return await projects.create_project(
        CreateProjectRequest(name="Atlas", description="Maps", labels={"team": "north"})
    )


def update(project: Project, *mask: str, if_match: int | None = None, **values: object) -> UpdateProjectRequest:
    request = UpdateProjectRequest(id=project.id, if_match=if_match, update_mask=FieldMask(paths=list(mask)))
    for name, value in values.items():
        setattr(request, name, value)
    return request


# ---- create --------------------------------------------------------------------------------------------------------


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


# ---- whose project it is -------------------------------------------------------------------------------------------

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


# ---- pages ---------------------------------------------------------------------------------------------------------


async def make(projects: ProjectsStub, number: int) -> list[Project]:
    """That many projects, newest first."""
    made = [await projects.create_project(CreateProjectRequest(name=f"Number {index}")) for index in range(number)]
    return sorted(made, key=lambda project: project.id, reverse=True)


async def pages(projects: ProjectsStub, size: int) -> list[ListProjectsReply]:
    found = [await projects.list_projects(ListProjectsRequest(page_size=size))]
    while found[-1].next_page_token:
        request = ListProjectsRequest(page_size=size, page_token=found[-1].next_page_token)
        found.append(await projects.list_projects(request))
    return found


async def everything(projects: ProjectsStub) -> list[Project]:
    return [project for page in await pages(projects, 1000) for project in page.projects]


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


async def test_projects_made_between_two_pages_neither_shift_nor_repeat_the_rest(projects: ProjectsStub) -> None:
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


# ---- update --------------------------------------------------------------------------------------------------------


async def test_an_update_sets_what_the_mask_names_and_leaves_the_rest(
    platform: Platform, projects: ProjectsStub, atlas: Project
) -> None:
    platform.clock.advance(timedelta(hours=1))
    changed = await projects.update_project(update(atlas, "description", name="Ignored", description="Seas"))
    assert (changed.name, changed.description, changed.labels) == ("Atlas", "Seas", {"team": "north"})
    assert changed.version == 2
    assert changed.created_at == atlas.created_at
    assert changed.updated_at is not None
    assert atlas.updated_at is not None
    assert timedelta(hours=1) <= changed.updated_at - atlas.updated_at < timedelta(hours=1, minutes=1)
    assert await projects.get_project(GetProjectRequest(id=atlas.id)) == changed


async def test_labels_are_replaced_as_a_whole(projects: ProjectsStub, atlas: Project) -> None:
    changed = await projects.update_project(update(atlas, "labels", labels={"tier": "gold"}))
    assert changed.labels == {"tier": "gold"}
    assert (await projects.update_project(update(atlas, "labels"))).labels == {}


async def test_a_masked_field_that_is_empty_is_emptied(projects: ProjectsStub, atlas: Project) -> None:
    assert (await projects.update_project(update(atlas, "description"))).description == ""


async def test_an_empty_mask_changes_nothing(projects: ProjectsStub, atlas: Project) -> None:
    assert await projects.update_project(update(atlas, name="Other")) == atlas


async def test_without_a_mask_everything_is_set(projects: ProjectsStub, atlas: Project) -> None:
    changed = await projects.update_project(UpdateProjectRequest(id=atlas.id, name="Other"))
    assert (changed.name, changed.description, changed.labels, changed.archived) == ("Other", "", {}, False)


async def test_an_update_to_what_is_there_already_makes_no_new_version(projects: ProjectsStub, atlas: Project) -> None:
    same = update(atlas, "name", "labels", name="Atlas", labels={"team": "north"})
    assert await projects.update_project(same) == atlas


@pytest.mark.parametrize("field", ["id", "owner_id", "archived", "region", "version", "if_match", "no_such", "name.x"])
async def test_a_mask_may_name_only_what_can_be_changed(projects: ProjectsStub, atlas: Project, field: str) -> None:
    with pytest.raises(Invalid):
        await projects.update_project(update(atlas, "description", field, description="Seas"))
    assert await projects.get_project(GetProjectRequest(id=atlas.id)) == atlas


async def test_an_empty_name_is_refused_when_the_mask_names_it(projects: ProjectsStub, atlas: Project) -> None:
    with pytest.raises(Invalid):
        await projects.update_project(update(atlas, "name"))


async def test_an_update_with_the_current_version_goes_through(projects: ProjectsStub, atlas: Project) -> None:
    assert (await projects.update_project(update(atlas, "name", name="B", if_match=1))).version == 2


@pytest.mark.parametrize("version", [0, 2, -1, 2**53])
async def test_another_version_is_refused_and_changes_nothing(
    projects: ProjectsStub, atlas: Project, version: int
) -> None:
    stale: list[Awaitable[Project]] = [
        projects.update_project(update(atlas, "name", name="B", if_match=version)),
        projects.update_project(update(atlas, if_match=version)),
        projects.archive_project(ArchiveProjectRequest(id=atlas.id, if_match=version)),
        projects.unarchive_project(UnarchiveProjectRequest(id=atlas.id, if_match=version)),
    ]
    for call in stale:
        with pytest.raises(Stale) as caught:
            await call
        assert caught.value.reason == "version_mismatch"
    assert await projects.get_project(GetProjectRequest(id=atlas.id)) == atlas


async def test_of_many_updates_of_one_version_one_wins(projects: ProjectsStub, atlas: Project) -> None:
    requests = [update(atlas, "name", name=f"Name {number}", if_match=1) for number in range(8)]
    outcomes = await asyncio.gather(*map(projects.update_project, requests), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, Project)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, Stale)]
    assert (len(won), len(lost)) == (1, 7)
    assert await projects.get_project(GetProjectRequest(id=atlas.id)) == won[0]


async def test_updates_of_different_fields_at_a_time_both_stay(projects: ProjectsStub, atlas: Project) -> None:
    await asyncio.gather(
        projects.update_project(update(atlas, "name", name="B")),
        projects.update_project(update(atlas, "description", description="Seas")),
    )
    now = await projects.get_project(GetProjectRequest(id=atlas.id))
    assert (now.name, now.description, now.version) == ("B", "Seas", 3)


# ---- archive -------------------------------------------------------------------------------------------------------


async def test_an_archived_project_can_be_read_and_not_changed(projects: ProjectsStub, atlas: Project) -> None:
    archived = await projects.archive_project(ArchiveProjectRequest(id=atlas.id))
    assert (archived.archived, archived.version) == (True, 2)
    with pytest.raises(Conflict) as caught:
        await projects.update_project(update(atlas, "name", name="B"))
    assert caught.value.reason == "project_archived"
    assert await projects.get_project(GetProjectRequest(id=atlas.id)) == archived
    assert await projects.update_project(update(atlas)) == archived


async def test_of_another_version_and_an_archived_project_the_version_is_told_first(
    projects: ProjectsStub, atlas: Project
) -> None:
    await projects.archive_project(ArchiveProjectRequest(id=atlas.id))
    with pytest.raises(Stale):
        await projects.update_project(update(atlas, "name", name="B", if_match=1))


async def test_archiving_and_unarchiving_twice_is_doing_it_once(projects: ProjectsStub, atlas: Project) -> None:
    archived = await projects.archive_project(ArchiveProjectRequest(id=atlas.id, if_match=1))
    assert await projects.archive_project(ArchiveProjectRequest(id=atlas.id, if_match=2)) == archived
    back = await projects.unarchive_project(UnarchiveProjectRequest(id=atlas.id))
    assert (back.archived, back.version) == (False, 3)
    assert await projects.unarchive_project(UnarchiveProjectRequest(id=atlas.id, if_match=3)) == back
    assert (await projects.update_project(update(atlas, "name", name="B"))).version == 4


# ---- events --------------------------------------------------------------------------------------------------------


async def test_events_are_published_exactly_when_something_changed(
    platform: Platform, projects: ProjectsStub, atlas: Project
) -> None:
    renamed = await projects.update_project(update(atlas, "name", name="B"))
    await projects.update_project(update(atlas, "name", name="B"))
    await projects.update_project(update(atlas))
    archived = await projects.archive_project(ArchiveProjectRequest(id=atlas.id))
    await projects.archive_project(ArchiveProjectRequest(id=atlas.id))
    back = await projects.unarchive_project(UnarchiveProjectRequest(id=atlas.id))
    await projects.unarchive_project(UnarchiveProjectRequest(id=atlas.id))
    assert await platform.outbox("projects", key=atlas.id) == [
        ProjectCreated(project_id=atlas.id, project=atlas),
        ProjectUpdated(project_id=atlas.id, project=renamed),
        ProjectArchived(project_id=atlas.id, project=archived),
        ProjectUnarchived(project_id=atlas.id, project=back),
    ]


async def test_what_was_refused_publishes_nothing(
    platform: Platform, projects: ProjectsStub, others: ProjectsStub, atlas: Project
) -> None:
    refused: list[Awaitable[Project]] = [
        projects.create_project(CreateProjectRequest(name="")),
        projects.update_project(update(atlas, "name", name="B", if_match=9)),
        projects.update_project(update(atlas, "owner_id")),
        others.update_project(update(atlas, "name", name="B")),
        others.archive_project(ArchiveProjectRequest(id=atlas.id)),
    ]
    before = await platform.outbox("projects")
    for call in refused:
        with pytest.raises(Refused):
            await call
    assert await platform.outbox("projects") == before


# ---- idempotency ---------------------------------------------------------------------------------------------------


async def test_a_repeated_request_with_the_same_key_is_answered_and_not_done_again(
    platform: Platform, ada: User
) -> None:
    keyed = platform.stub(ProjectsStub, as_=ada, idempotency_key="create-1")
    first = await keyed.create_project(CreateProjectRequest(name="Once"))
    assert await keyed.create_project(CreateProjectRequest(name="Once")) == first
    assert await everything(platform.stub(ProjectsStub, as_=ada)) == [first]
    assert await platform.outbox("projects", key=first.id) == [ProjectCreated(project_id=first.id, project=first)]


async def test_a_key_used_for_another_request_is_refused(platform: Platform, ada: User) -> None:
    keyed = platform.stub(ProjectsStub, as_=ada, idempotency_key="create-1")
    first = await keyed.create_project(CreateProjectRequest(name="Once"))
    with pytest.raises(Invalid) as caught:
        await keyed.create_project(CreateProjectRequest(name="Twice"))
    assert caught.value.reason == "idempotency_key_reused"
    assert await everything(platform.stub(ProjectsStub, as_=ada)) == [first]


async def test_a_key_belongs_to_its_caller_and_to_its_method(platform: Platform, ada: User, bob: User) -> None:
    of_ada = platform.stub(ProjectsStub, as_=ada, idempotency_key="same")
    of_bob = platform.stub(ProjectsStub, as_=bob, idempotency_key="same")
    mine = await of_ada.create_project(CreateProjectRequest(name="Once"))
    assert (await of_bob.create_project(CreateProjectRequest(name="Once"))).id != mine.id
    assert (await of_ada.archive_project(ArchiveProjectRequest(id=mine.id))).archived


async def test_a_key_is_forgotten_after_a_day(platform: Platform, ada: User) -> None:
    keyed = platform.stub(ProjectsStub, as_=ada, idempotency_key="daily")
    first = await keyed.create_project(CreateProjectRequest(name="Daily"))
    platform.clock.advance(timedelta(hours=24, seconds=1))
    assert (await keyed.create_project(CreateProjectRequest(name="Daily"))).id != first.id
