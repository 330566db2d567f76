"""Members of projects through their contract: invited by mail, joining, and gone with their organisation."""

from __future__ import annotations

from datetime import timedelta

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.contracts.projects.v1 import (
    AddProjectMemberReply,
    AddProjectMemberRequest,
    JoinProjectRequest,
    LeaveProjectsRequest,
    ListProjectMembersRequest,
    Project,
    ProjectMemberRemoved,
    ProjectMembersStub,
    ProjectTransferred,
    RemoveProjectMemberRequest,
)
from acme.contracts.users.v1 import AcceptInvitationRequest
from acme.errors import Conflict, Invalid, NotFound, Refused
from acme.ids import new_id
from acme.plugin import Plugin
from acme.testing import User
from tests.contract.projects.crews import Crew
from tests.people import new_email

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


def adding(crew: Crew, subject_id: str = "", role: str = "viewer", **values: str) -> AddProjectMemberRequest:
    return AddProjectMemberRequest(project_id=crew.atlas.id, subject_id=subject_id, role=role, **values)


def removing(crew: Crew, member: User) -> RemoveProjectMemberRequest:
    return RemoveProjectMemberRequest(project_id=crew.atlas.id, subject_id=member.id)


# ---- invitations ---------------------------------------------------------------------------------------------------


async def test_an_address_is_invited_and_becomes_a_member_once_it_accepts(crew: Crew) -> None:
    """Over both services, with the mail and the delivery in between."""
    invited = await crew.office.stranger()
    reply = await crew.members().add_project_member(adding(crew, role="member", email=invited.email))
    assert reply == AddProjectMemberReply(invited=True)
    assert list(await crew.roles()) == [crew.maker.id]
    token = await crew.office.token(invited.email)
    await crew.office.invitations(invited).accept_invitation(AcceptInvitationRequest(token=token))
    await crew.until(lambda: crew.sees(invited))
    assert await crew.roles() == {crew.maker.id: "owner", invited.id: "member"}


async def test_known_and_unknown_addresses_are_answered_alike(crew: Crew) -> None:
    known = await crew.office.stranger()
    member = await crew.direct("viewer")
    replies = [
        await crew.members().add_project_member(adding(crew, email=email))
        for email in (known.email, new_email(), member.email)
    ]
    assert replies == [AddProjectMemberReply(invited=True)] * 3


async def test_the_same_invitation_again_with_its_key_sends_no_second_mail(crew: Crew) -> None:
    email = new_email()
    keyed = crew.members(idempotency_key="invite")
    first = await keyed.add_project_member(adding(crew, email=email))
    await crew.platform.mailbox.wait(email)
    assert await keyed.add_project_member(adding(crew, email=email)) == first
    await crew.members().add_project_member(adding(crew, email=email))
    assert len(await crew.mails(email, 2)) == 2


@pytest.mark.parametrize("email", ["nobody", "a@b@c", "two@x.example, three@x.example"])
async def test_what_is_no_address_is_refused_with_a_pointer(crew: Crew, email: str) -> None:
    with pytest.raises(Invalid) as caught:
        await crew.members().add_project_member(adding(crew, email=email))
    assert [fault.pointer for fault in caught.value.faults] == ["/email"]


class Joining:
    """Acceptances of invitations, as the users service tells of them."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.stub = crew.platform.stub(ProjectMembersStub, as_service="users")

    def request(self, user: User, inviter: User, role: str = "viewer") -> JoinProjectRequest:
        return JoinProjectRequest(
            project_id=self.crew.atlas.id,
            user_id=user.id,
            role=role,
            invitation_id=new_id("inv", self.crew.platform.clock),
            inviter_id=inviter.id,
        )


async def test_joining_again_by_the_same_invitation_does_not_undo_a_removal(crew: Crew) -> None:
    joining, guest = Joining(crew), await crew.office.member("guest")
    request = joining.request(guest, crew.maker)
    await joining.stub.join_project(request)
    await joining.stub.join_project(request)
    assert await crew.roles() == {crew.maker.id: "owner", guest.id: "viewer"}
    await crew.members().remove_project_member(removing(crew, guest))
    await joining.stub.join_project(request)
    assert list(await crew.roles()) == [crew.maker.id]


async def test_joining_raises_a_role_and_never_lowers_it(crew: Crew) -> None:
    joining, member = Joining(crew), await crew.direct("member")
    await joining.stub.join_project(joining.request(member, crew.maker, "viewer"))
    assert (await crew.roles())[member.id] == "member"
    await joining.stub.join_project(joining.request(member, crew.maker, "admin"))
    assert (await crew.roles())[member.id] == "admin"
    await joining.stub.join_project(joining.request(crew.maker, crew.office.owner, "viewer"))
    assert (await crew.roles())[crew.maker.id] == "owner"


async def test_inviters_who_may_not_invite_any_more_lead_to_nothing(crew: Crew) -> None:
    joining, guest = Joining(crew), await crew.office.member("guest")
    demoted, member = await crew.direct("viewer"), await crew.office.member("member")
    gone, manager = await crew.expired("admin"), await crew.custom("projects.read", "projects.members.invite")
    before = await crew.everything()
    for inviter in (demoted, member, gone, manager, await crew.office.stranger()):
        with pytest.raises(Conflict) as caught:
            await joining.stub.join_project(joining.request(guest, inviter))
        assert caught.value.reason == "inviter_may_not"
    assert await crew.everything() == before


async def test_inviters_may_have_their_role_from_anywhere(crew: Crew) -> None:
    joining = Joining(crew)
    for inviter in (
        await crew.direct("admin"),
        await crew.by_team("admin"),
        await crew.office.member("admin"),
        crew.office.owner,
    ):
        guest = await crew.office.member("guest")
        await joining.stub.join_project(joining.request(guest, inviter, "admin"))
        assert (await crew.roles())[guest.id] == "admin"


async def test_who_has_left_the_organisation_meanwhile_does_not_join(crew: Crew) -> None:
    joining = Joining(crew)
    with pytest.raises(Conflict) as caught:
        await joining.stub.join_project(joining.request(await crew.office.stranger(), crew.maker))
    assert caught.value.reason == "not_a_member"


async def test_a_project_that_is_gone_is_joined_by_nobody(crew: Crew) -> None:
    joining = Joining(crew)
    request = joining.request(crew.maker, crew.maker)
    request.project_id = new_id("prj", crew.platform.clock)
    with pytest.raises(NotFound):
        await joining.stub.join_project(request)


# ---- leaving the organisation --------------------------------------------------------------------------------------


async def leave(crew: Crew, subject_id: str, *, heir: str = "", ago: timedelta = timedelta(0)) -> None:
    stub = crew.platform.stub(ProjectMembersStub, as_service="users")
    await stub.leave_projects(
        LeaveProjectsRequest(
            organization_id=crew.office.id,
            subject_id=subject_id,
            heir_id=heir,
            left_at=crew.platform.clock.now() - ago,
        )
    )


async def test_who_leaves_the_organisation_leaves_its_projects_once(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    await leave(crew, viewer.id)
    await leave(crew, viewer.id)
    assert list(await crew.roles()) == [crew.maker.id]
    gone = [event for event in await crew.events() if isinstance(event, ProjectMemberRemoved)]
    assert [(event.subject_id, event.reason) for event in gone] == [(viewer.id, "organization_left")]


async def test_a_deleted_team_leaves_too(crew: Crew) -> None:
    somebody = await crew.by_team("admin")
    (team,) = [subject for subject in await crew.roles() if subject.startswith("tem_")]
    await leave(crew, team)
    assert not await crew.sees(somebody)


async def test_memberships_that_began_after_the_departure_stay(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    await leave(crew, viewer.id, ago=timedelta(hours=1))
    assert await crew.sees(viewer)


async def test_projects_of_other_organisations_are_not_left(crew: Crew) -> None:
    async with Crew.opened(crew.platform, crew.office.database, crew.database) as other:
        await leave(other, crew.maker.id, heir=other.office.owner.id)
    assert await crew.roles() == {crew.maker.id: "owner"}


async def test_what_the_departed_owned_goes_to_the_heir(crew: Crew) -> None:
    heir = crew.office.owner
    await leave(crew, crew.maker.id, heir=heir.id)
    event, removed = (await crew.events())[-2:]
    project: Project = event.project
    assert event == ProjectTransferred(project_id=crew.atlas.id, project=project, from_user_id=crew.maker.id)
    assert (project.owner_id, project.version) == (heir.id, 2)
    assert (removed.subject_id, removed.reason) == (crew.maker.id, "organization_left")
    reply = await crew.members(heir).list_project_members(ListProjectMembersRequest(project_id=crew.atlas.id))
    assert [(member.subject_id, member.role) for member in reply.members] == [(heir.id, "owner")]
    assert not await crew.sees(crew.maker)


async def test_without_an_heir_a_project_keeps_its_owner(crew: Crew) -> None:
    before = await crew.everything()
    await leave(crew, crew.maker.id)
    await leave(crew, crew.maker.id, heir=crew.maker.id)
    assert await crew.everything() == before


async def test_an_heir_who_was_a_member_becomes_the_owner(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    await leave(crew, crew.maker.id, heir=viewer.id)
    reply = await crew.members(viewer).list_project_members(ListProjectMembersRequest(project_id=crew.atlas.id))
    assert [(member.subject_id, member.role, member.version) for member in reply.members] == [(viewer.id, "owner", 2)]


async def test_nobody_from_outside_joins_or_leaves_for_others(crew: Crew) -> None:
    with pytest.raises(Refused):
        await crew.members(crew.office.owner).leave_projects(
            LeaveProjectsRequest(
                organization_id=crew.office.id, subject_id=crew.maker.id, left_at=crew.platform.clock.now()
            )
        )
    with pytest.raises(Refused):
        await crew.members().join_project(Joining(crew).request(crew.maker, crew.maker))
