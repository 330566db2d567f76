"""Who comes back: an invitation that somebody accepts whose membership has expired, before the job has come by."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin
from acme_users.acceptances import digest
from acme_users.members import end_expired

from acme.contracts.projects.v1 import (
    AddProjectMemberRequest,
    CreateProjectRequest,
    ListProjectMembersRequest,
    ProjectMembersStub,
    ProjectsStub,
)
from acme.contracts.users.v1 import (
    AcceptInvitationRequest,
    AddTeamMemberRequest,
    CreateTeamRequest,
    ListTeamMembersRequest,
)
from acme.plugin import Plugin
from acme.testing import Platform
from tests.offices import Office, looking
from tests.waiting import until


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    """Without the job that ends memberships."""
    jobs = tuple(job for job in users_plugin.jobs if job.run is not end_expired)
    return [replace(users_plugin, jobs=jobs), projects_plugin]


@pytest.fixture
async def office(platform: Platform) -> AsyncIterator[Office]:
    async with looking(platform, "users") as users, Office.opened(platform, users) as office:
        yield office


def test_of_a_token_the_sha_256_is_kept() -> None:
    assert digest("aci_secret") == hashlib.sha256(b"aci_secret").digest()


async def test_who_comes_back_has_what_it_was_invited_to_and_nothing_of_before(
    platform: Platform, office: Office
) -> None:
    ann = await office.member("admin", expires_at=platform.clock.now() + timedelta(hours=1))
    projects = platform.stub(ProjectsStub, as_=office.owner)
    members = platform.stub(ProjectMembersStub, as_=office.owner)
    old, new = [
        await projects.create_project(CreateProjectRequest(organization_id=office.id, name=name)) for name in ("O", "N")
    ]
    await members.add_project_member(AddProjectMemberRequest(project_id=old.id, subject_id=ann.id, role="admin"))
    team = await office.teams().create_team(CreateTeamRequest(organization_id=office.id, name="Crew"))
    await office.teams().add_team_member(AddTeamMemberRequest(organization_id=office.id, id=team.id, user_id=ann.id))

    platform.clock.advance(timedelta(hours=1))
    await members.add_project_member(AddProjectMemberRequest(project_id=new.id, email=ann.email, role="viewer"))
    token = await office.token(ann.email)
    reply = await office.invitations(ann).accept_invitation(AcceptInvitationRequest(token=token))
    assert reply.role == "guest"
    crew = await office.teams().list_team_members(ListTeamMembersRequest(organization_id=office.id, id=team.id))
    assert crew.members == []

    async def settled() -> bool:
        listed = [
            await members.list_project_members(ListProjectMembersRequest(project_id=project.id))
            for project in (old, new)
        ]
        return [{member.subject_id: member.role for member in page.members} for page in listed] == [
            {office.owner.id: "owner"},
            {office.owner.id: "owner", ann.id: "viewer"},
        ]

    await until(settled)
    waiting = "SELECT count(*) FROM acme.deliveries WHERE done_at IS NULL"

    async def done() -> bool:
        return not await office.database.fetchval(waiting)

    await until(done)
    assert await settled()
