"""What the projects service hears of those who accept invitations and of those who leave."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.projects.v1 import (
    AddProjectMemberRequest,
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectMembersRequest,
    Project,
    ProjectMembersStub,
    ProjectsStub,
)
from acme.contracts.users.v1 import (
    AcceptInvitationReply,
    AcceptInvitationRequest,
    AddTeamMemberRequest,
    CreateTeamRequest,
    DeleteTeamRequest,
    LeaveOrganizationRequest,
    ListInvitationsRequest,
    RemoveMemberRequest,
    UpdateMemberRequest,
)
from acme.errors import NotFound
from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing import User as Caller
from tests.offices import Office, looking
from tests.waiting import until

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


@pytest.fixture
async def office(platform: Platform) -> AsyncIterator[Office]:
    async with looking(platform, "users") as users, Office.opened(platform, users) as office:
        yield office


@pytest.fixture
async def atlas(platform: Platform, office: Office) -> Project:
    """A project of the organisation, by its owner."""
    stub = platform.stub(ProjectsStub, as_=office.owner)
    return await stub.create_project(CreateProjectRequest(organization_id=office.id, name="Atlas"))


async def members(platform: Platform, office: Office, project: Project) -> dict[str, str]:
    """Role by direct member."""
    stub = platform.stub(ProjectMembersStub, as_=office.owner)
    reply = await stub.list_project_members(ListProjectMembersRequest(project_id=project.id))
    return {member.subject_id: member.role for member in reply.members}


async def until_members(platform: Platform, office: Office, project: Project, expected: dict[str, str]) -> None:
    async def so() -> bool:
        return await members(platform, office, project) == expected

    await until(so)


async def invite(platform: Platform, by: Caller, project: Project, to: Caller, role: str = "member") -> None:
    stub = platform.stub(ProjectMembersStub, as_=by)
    reply = await stub.add_project_member(AddProjectMemberRequest(project_id=project.id, email=to.email, role=role))
    assert reply.invited


async def accept(platform: Platform, office: Office, who: Caller) -> AcceptInvitationReply:
    token = await office.token(who.email)
    return await office.invitations(who).accept_invitation(AcceptInvitationRequest(token=token))


async def test_who_accepts_an_invitation_to_a_project_is_a_guest_with_that_project(
    platform: Platform, office: Office, atlas: Project
) -> None:
    ann = await office.stranger()
    await invite(platform, office.owner, atlas, ann)
    listed = await office.invitations().list_invitations(ListInvitationsRequest(organization_id=office.id))
    assert [(entry.role, entry.project_id, entry.project_role) for entry in listed.invitations] == [
        ("guest", atlas.id, "member")
    ]
    mail = await platform.mailbox.wait(ann.email)
    assert 'the project "Atlas" of the organisation "Acme"' in mail.text
    reply = await accept(platform, office, ann)
    assert reply == AcceptInvitationReply(organization_id=office.id, role="guest", project_id=atlas.id)
    await until_members(platform, office, atlas, {office.owner.id: "owner", ann.id: "member"})
    found = await platform.stub(ProjectsStub, as_=ann).get_project(GetProjectRequest(id=atlas.id))
    assert found.id == atlas.id


async def test_a_member_who_accepts_an_invitation_to_a_project_keeps_its_role(
    platform: Platform, office: Office, atlas: Project
) -> None:
    ann = await office.member("viewer")
    await invite(platform, office.owner, atlas, ann, "admin")
    assert (await accept(platform, office, ann)).role == "viewer"
    await until_members(platform, office, atlas, {office.owner.id: "owner", ann.id: "admin"})


async def test_invitations_to_a_project_and_to_its_organisation_stand_side_by_side(
    platform: Platform, office: Office, atlas: Project
) -> None:
    ann = await office.stranger()
    await office.invite(ann.email, "viewer")
    await invite(platform, office.owner, atlas, ann)
    await platform.mailbox.wait(ann.email, number=2)
    for mail in platform.mailbox.list(ann.email):
        token = mail.links[0].rpartition("=")[2]
        await office.invitations(ann).accept_invitation(AcceptInvitationRequest(token=token))
    assert (await office.members())[ann.id] == "viewer"
    await until_members(platform, office, atlas, {office.owner.id: "owner", ann.id: "member"})


async def test_an_inviter_who_lost_the_project_has_invited_nobody_to_it(
    platform: Platform, office: Office, atlas: Project
) -> None:
    admin, ann, bob = await office.member("admin"), await office.stranger(), await office.stranger()
    await invite(platform, admin, atlas, ann)
    await office.organizations().update_member(
        UpdateMemberRequest(
            organization_id=office.id, user_id=admin.id, role="viewer", update_mask=FieldMask(paths=["role"])
        )
    )
    await accept(platform, office, ann)  # the organisation lets in; the project asks for itself
    await invite(platform, office.owner, atlas, bob)
    await accept(platform, office, bob)
    await until_members(platform, office, atlas, {office.owner.id: "owner", bob.id: "member"})
    assert ann.id not in await members(platform, office, atlas)


@pytest.mark.parametrize("way", ["removed", "left"])
async def test_who_leaves_the_organisation_leaves_its_projects_to_an_owner(
    platform: Platform, office: Office, atlas: Project, way: str
) -> None:
    ann = await office.member("member")
    theirs = await platform.stub(ProjectsStub, as_=ann).create_project(
        CreateProjectRequest(organization_id=office.id, name="Theirs")
    )
    if way == "removed":
        await office.organizations().remove_member(RemoveMemberRequest(organization_id=office.id, user_id=ann.id))
    else:
        await office.organizations(ann).leave_organization(LeaveOrganizationRequest(id=office.id))
    with pytest.raises(NotFound):
        await platform.stub(ProjectsStub, as_=ann).get_project(GetProjectRequest(id=theirs.id))
    await until_members(platform, office, theirs, {office.owner.id: "owner"})


async def test_a_deleted_team_has_nothing_on_projects(platform: Platform, office: Office, atlas: Project) -> None:
    guest = await office.member("guest")
    team = await office.teams().create_team(CreateTeamRequest(organization_id=office.id, name="Crew"))
    await office.teams().add_team_member(AddTeamMemberRequest(organization_id=office.id, id=team.id, user_id=guest.id))
    await platform.stub(ProjectMembersStub, as_=office.owner).add_project_member(
        AddProjectMemberRequest(project_id=atlas.id, subject_id=team.id, role="viewer")
    )
    seen = await platform.stub(ProjectsStub, as_=guest).get_project(GetProjectRequest(id=atlas.id))
    assert seen.id == atlas.id
    await office.teams().delete_team(DeleteTeamRequest(organization_id=office.id, id=team.id))
    with pytest.raises(NotFound):
        await platform.stub(ProjectsStub, as_=guest).get_project(GetProjectRequest(id=atlas.id))
    await until_members(platform, office, atlas, {office.owner.id: "owner"})
