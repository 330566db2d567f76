"""Projects through their contract: updates, archiving, events and repeated requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import pytest

from acme.contracts.projects.v1 import (
    ArchiveProjectRequest,
    CreateProjectRequest,
    GetProjectRequest,
    Project,
    ProjectArchived,
    ProjectCreated,
    ProjectsStub,
    ProjectUnarchived,
    ProjectUpdated,
    UnarchiveProjectRequest,
    UpdateProjectRequest,
)
from acme.errors import Conflict, Invalid, Refused, Stale
from acme.testing import Platform, User
from tests.contract.projects.calls import everything, update

pytestmark = pytest.mark.every_placement


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
