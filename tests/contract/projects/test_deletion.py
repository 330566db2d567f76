"""Projects through their contract: deleted, brought back, and gone for good."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.contracts.projects.v1 import (
    ArchiveProjectRequest,
    BatchGetProjectsReply,
    BatchGetProjectsRequest,
    DeleteProjectRequest,
    GetProjectRequest,
    LeaveProjectRequest,
    ListProjectMembersRequest,
    ListProjectsRequest,
    Project,
    ProjectDeleted,
    ProjectUndeleted,
    UndeleteProjectRequest,
)
from acme.errors import NotFound, Stale
from acme.plugin import Plugin
from acme.testing import User
from tests.contract.projects.calls import update
from tests.contract.projects.crews import Crew

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


async def delete(crew: Crew, by: User | None = None, if_match: int | None = None) -> None:
    await crew.projects(by).delete_project(DeleteProjectRequest(id=crew.atlas.id, if_match=if_match))


async def undelete(crew: Crew, by: User | None = None) -> Project:
    return await crew.projects(by).undelete_project(UndeleteProjectRequest(id=crew.atlas.id))


async def get(crew: Crew, by: User | None = None) -> Project:
    return await crew.projects(by).get_project(GetProjectRequest(id=crew.atlas.id))


async def listed(crew: Crew, by: User | None = None, *, deleted: bool) -> list[Project]:
    return (await crew.projects(by).list_projects(ListProjectsRequest(show_deleted=deleted))).projects


async def test_a_deleted_project_is_there_for_those_who_may_bring_it_back(crew: Crew) -> None:
    admin = await crew.direct("admin")
    await delete(crew, admin)
    for somebody in (admin, crew.maker, crew.office.owner):
        found = await get(crew, somebody)
        assert found == dataclasses.replace(
            crew.atlas, deleted_at=found.deleted_at, updated_at=found.updated_at, version=2
        )
        assert found.deleted_at is not None
        assert await listed(crew, somebody, deleted=False) == []
        assert await listed(crew, somebody, deleted=True) == [found]


async def test_a_deleted_project_is_not_there_for_the_others(crew: Crew) -> None:
    member = await crew.direct("member")
    await delete(crew)
    with pytest.raises(NotFound):
        await get(crew, member)
    with pytest.raises(NotFound):
        await undelete(crew, member)
    with pytest.raises(NotFound):
        await delete(crew, member)
    assert await listed(crew, member, deleted=True) == []
    batch = await crew.projects(member).batch_get_projects(BatchGetProjectsRequest(ids=[crew.atlas.id]))
    assert batch == BatchGetProjectsReply(missing=[crew.atlas.id])


async def test_a_deleted_project_can_only_be_brought_back(crew: Crew) -> None:
    await delete(crew)
    before = await crew.everything()
    projects = crew.projects()
    for call in (
        projects.update_project(update(crew.atlas, "name", name="B")),
        projects.archive_project(ArchiveProjectRequest(id=crew.atlas.id)),
        projects.leave_project(LeaveProjectRequest(id=crew.atlas.id)),
        crew.members().list_project_members(ListProjectMembersRequest(project_id=crew.atlas.id)),
    ):
        with pytest.raises(NotFound):
            await call
    assert await crew.everything() == before


async def test_a_project_that_was_brought_back_is_as_before(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    await delete(crew)
    back = await undelete(crew)
    assert back == dataclasses.replace(crew.atlas, updated_at=back.updated_at, version=3)
    assert await get(crew, viewer) == back
    assert await crew.roles() == {crew.maker.id: "owner", viewer.id: "viewer"}
    assert await undelete(crew) == back


async def test_deleting_and_bringing_back_publish_what_they_did_once(crew: Crew) -> None:
    await delete(crew)
    await delete(crew)
    gone = await get(crew)
    back = await undelete(crew)
    await undelete(crew)
    assert (await crew.events())[1:] == [
        ProjectDeleted(project_id=crew.atlas.id, project=gone),
        ProjectUndeleted(project_id=crew.atlas.id, project=back),
    ]


async def test_a_deletion_may_be_meant_for_a_version_and_repeated(crew: Crew) -> None:
    with pytest.raises(Stale):
        await delete(crew, if_match=2)
    await delete(crew, if_match=1)
    await delete(crew, if_match=1)
    assert (await get(crew)).version == 2


async def test_after_thirty_days_it_is_gone_for_everybody(crew: Crew) -> None:
    await delete(crew)
    crew.platform.clock.advance(timedelta(days=30) - timedelta(minutes=1))
    assert (await get(crew)).deleted_at is not None
    crew.platform.clock.advance(timedelta(minutes=2))
    with pytest.raises(NotFound):
        await get(crew)
    with pytest.raises(NotFound):
        await undelete(crew)
    assert await listed(crew, deleted=True) == []
