"""Members of projects through their contract: added, changed, removed, and leaving."""

from __future__ import annotations

from datetime import timedelta

import pytest
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.projects.v1 import (
    AddProjectMemberRequest,
    LeaveProjectRequest,
    ListProjectMembersRequest,
    ProjectMember,
    ProjectMemberAdded,
    ProjectMemberRemoved,
    ProjectMemberUpdated,
    RemoveProjectMemberRequest,
    UpdateProjectMemberRequest,
)
from acme.errors import Conflict, Denied, Invalid, Malformed, NotFound, Stale
from acme.ids import new_id
from acme.plugin import Plugin
from acme.testing import User
from tests.contract.projects.crews import Crew
from tests.offices import narrowed
from tests.people import new_email

pytestmark = pytest.mark.every_placement


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin]


def adding(crew: Crew, subject_id: str = "", role: str = "viewer", **values: str) -> AddProjectMemberRequest:
    return AddProjectMemberRequest(project_id=crew.atlas.id, subject_id=subject_id, role=role, **values)


def giving(crew: Crew, member: User, role: str, if_match: int | None = None) -> UpdateProjectMemberRequest:
    return UpdateProjectMemberRequest(
        project_id=crew.atlas.id,
        subject_id=member.id,
        role=role,
        if_match=if_match,
        update_mask=FieldMask(paths=["role"]),
    )


def removing(crew: Crew, member: User) -> RemoveProjectMemberRequest:
    return RemoveProjectMemberRequest(project_id=crew.atlas.id, subject_id=member.id)


# ---- adding --------------------------------------------------------------------------------------------------------


async def test_the_creator_is_the_first_member_and_the_owner(crew: Crew) -> None:
    reply = await crew.members().list_project_members(ListProjectMembersRequest(project_id=crew.atlas.id))
    owner = ProjectMember(
        project_id=crew.atlas.id,
        subject_id=crew.maker.id,
        role="owner",
        joined_at=crew.atlas.created_at,
        version=1,
    )
    assert (reply.members, reply.next_page_token) == ([owner], "")


async def test_users_teams_and_service_accounts_of_the_organisation_are_added_by_id(crew: Crew) -> None:
    guest, bot = await crew.office.member("guest"), await crew.account()
    team = await crew.team()
    roles = {guest.id: "admin", team: "member", bot.id: "viewer"}
    for subject, role in roles.items():
        member = await crew.role(subject, role)
        assert (member.project_id, member.subject_id, member.role, member.version) == (crew.atlas.id, subject, role, 1)
        crew.platform.clock.advance(timedelta(seconds=1))
    assert await crew.roles() == {crew.maker.id: "owner", **roles}


async def test_adding_publishes_who_and_as_what(crew: Crew) -> None:
    guest = await crew.office.member("guest")
    member = await crew.role(guest.id, "viewer")
    assert (await crew.events())[1:] == [
        ProjectMemberAdded(
            project_id=crew.atlas.id,
            subject_id=guest.id,
            role="viewer",
            joined_at=member.joined_at,
            organization_id=crew.office.id,
        )
    ]


async def test_only_who_belongs_to_the_organisation_is_added_and_the_answer_tells_nothing_else(crew: Crew) -> None:
    other = await crew.office.another()
    foreign = await crew.office.stranger()
    gone = await crew.expired("viewer")
    ids = [foreign.id, other.owner.id, gone.id, new_id("usr", crew.platform.clock), new_id("tem", crew.platform.clock)]
    said = set()
    before = await crew.everything()
    for subject in ids:
        with pytest.raises(Invalid) as caught:
            await crew.members().add_project_member(adding(crew, subject))
        said.add((caught.value.message, caught.value.reason, tuple(caught.value.faults)))
    assert len(said) == 1
    assert [fault.pointer for fault in caught.value.faults] == ["/subject_id"]
    assert await crew.everything() == before


async def test_a_member_is_not_added_twice(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    before = await crew.everything()
    with pytest.raises(Conflict) as caught:
        await crew.members().add_project_member(adding(crew, viewer.id, "admin"))
    assert caught.value.reason == "already_member"
    assert await crew.everything() == before


async def test_the_same_request_again_with_its_key_is_answered_as_before(crew: Crew) -> None:
    guest = await crew.office.member("guest")
    keyed = crew.members(idempotency_key="add")
    first = await keyed.add_project_member(adding(crew, guest.id))
    assert await keyed.add_project_member(adding(crew, guest.id)) == first


@pytest.mark.parametrize("both", [False, True])
async def test_either_an_id_or_an_address_is_needed(crew: Crew, both: bool) -> None:
    request = adding(crew, crew.maker.id if both else "", email=new_email() if both else "")
    with pytest.raises(Invalid) as caught:
        await crew.members().add_project_member(request)
    assert {fault.pointer for fault in caught.value.faults} == {"/subject_id", "/email"}


@pytest.mark.parametrize("role", ["owner", "guest", "rol_01h455vb4pex5vsknk084sn02q", ""])
async def test_only_built_in_roles_below_the_owner_are_given(crew: Crew, role: str) -> None:
    guest = await crew.office.member("guest")
    with pytest.raises(Invalid):
        await crew.members().add_project_member(adding(crew, guest.id, role))


async def test_nobody_gives_changes_or_takes_more_than_it_has(crew: Crew) -> None:
    """A custom role with every right to manage members, and no other: it gives nothing."""
    manager = await crew.custom(
        "projects.read", "projects.members.invite", "projects.members.update", "projects.members.remove"
    )
    viewer, admin, guest = await crew.direct("viewer"), await crew.direct("admin"), await crew.office.member("guest")
    members = crew.members(manager)
    before = await crew.everything()
    for call in (
        members.add_project_member(adding(crew, guest.id, "viewer")),
        members.add_project_member(adding(crew, manager.id, "admin")),
        members.add_project_member(adding(crew, role="admin", email=new_email())),
        members.update_project_member(giving(crew, viewer, "admin")),
        members.update_project_member(giving(crew, admin, "viewer")),
        members.remove_project_member(removing(crew, admin)),
    ):
        with pytest.raises(Denied) as caught:
            await call
        assert caught.value.reason == "permission_denied"
    assert await crew.everything() == before


async def test_a_custom_role_and_a_role_on_the_project_add_up(crew: Crew) -> None:
    manager = await crew.custom("projects.read", "projects.members.invite")
    guest = await crew.office.member("guest")
    await crew.role(manager.id, "member")
    with pytest.raises(Denied):
        await crew.members(manager).add_project_member(adding(crew, guest.id, "admin"))
    await crew.members(manager).add_project_member(adding(crew, guest.id, "member"))


async def test_a_token_gives_no_more_than_it_covers(crew: Crew) -> None:
    guest = await crew.office.member("guest")
    narrow = narrowed(crew.maker, "projects.read", "projects.members.invite")
    with pytest.raises(Denied):
        await crew.members(narrow).add_project_member(adding(crew, guest.id, "admin"))


# ---- the list ------------------------------------------------------------------------------------------------------


async def test_members_are_listed_in_the_order_of_joining_page_by_page(crew: Crew) -> None:
    for _ in range(4):
        crew.platform.clock.advance(timedelta(seconds=1))
        await crew.direct("viewer")
    expected = list(await crew.roles())
    for size in (1, 2, 5):
        found, token = [], ""
        while True:
            request = ListProjectMembersRequest(project_id=crew.atlas.id, page_size=size, page_token=token)
            reply = await crew.members().list_project_members(request)
            assert len(reply.members) <= size
            found += [member.subject_id for member in reply.members]
            if not (token := reply.next_page_token):
                break
        assert found == expected
    assert expected[0] == crew.maker.id


async def test_a_page_token_of_another_project_is_refused(crew: Crew) -> None:
    await crew.direct("viewer")
    members = crew.members()
    first = await members.list_project_members(ListProjectMembersRequest(project_id=crew.atlas.id, page_size=1))
    other = crew.atlas.id[:-1] + ("0" if crew.atlas.id[-1] != "0" else "1")
    with pytest.raises(Malformed):
        await members.list_project_members(
            ListProjectMembersRequest(project_id=other, page_size=1, page_token=first.next_page_token)
        )


# ---- changing and removing -----------------------------------------------------------------------------------------


async def test_a_role_is_changed_with_a_version_and_an_event(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    changed = await crew.members().update_project_member(giving(crew, viewer, "admin", if_match=1))
    assert (changed.role, changed.version) == ("admin", 2)
    with pytest.raises(Stale):
        await crew.members().update_project_member(giving(crew, viewer, "member", if_match=1))
    assert await crew.members().update_project_member(giving(crew, viewer, "admin")) == changed
    event = (await crew.events())[-1]
    assert event == ProjectMemberUpdated(
        project_id=crew.atlas.id,
        subject_id=viewer.id,
        role="admin",
        updated_at=event.updated_at,
        organization_id=crew.office.id,
    )
    assert [type(event) for event in await crew.events()][2:] == [ProjectMemberUpdated]


async def test_a_change_takes_effect_at_once(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    guest = await crew.office.member("guest")
    with pytest.raises(Denied):
        await crew.members(viewer).add_project_member(adding(crew, guest.id))
    await crew.members().update_project_member(giving(crew, viewer, "admin"))
    await crew.members(viewer).add_project_member(adding(crew, guest.id))
    await crew.members().remove_project_member(removing(crew, viewer))
    assert not await crew.sees(viewer)


async def test_a_mask_of_a_member_names_the_role_alone(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    for paths, role in ((["joined_at"], "admin"), (["role"], ""), (["role", "version"], "admin")):
        request = UpdateProjectMemberRequest(
            project_id=crew.atlas.id, subject_id=viewer.id, role=role, update_mask=FieldMask(paths=paths)
        )
        with pytest.raises(Invalid):
            await crew.members().update_project_member(request)
    nothing = UpdateProjectMemberRequest(
        project_id=crew.atlas.id, subject_id=viewer.id, role="admin", update_mask=FieldMask(paths=[])
    )
    assert (await crew.members().update_project_member(nothing)).role == "viewer"


async def test_who_is_no_member_cannot_be_changed_nor_removed(crew: Crew) -> None:
    guest = await crew.office.member("guest")
    before = await crew.everything()
    with pytest.raises(NotFound):
        await crew.members().update_project_member(giving(crew, guest, "admin"))
    with pytest.raises(NotFound):
        await crew.members().remove_project_member(removing(crew, guest))
    assert await crew.everything() == before


async def test_a_removal_that_is_sent_again_with_its_key_is_answered_as_before(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    keyed = crew.members(idempotency_key="remove")
    first = await keyed.remove_project_member(removing(crew, viewer))
    assert await keyed.remove_project_member(removing(crew, viewer)) == first


async def test_the_owner_stays_whoever_tries(crew: Crew) -> None:
    before = await crew.everything()
    for somebody in (crew.maker, crew.office.owner):
        members = crew.members(somebody)
        for call in (
            members.update_project_member(giving(crew, crew.maker, "admin")),
            members.remove_project_member(removing(crew, crew.maker)),
        ):
            with pytest.raises(Conflict) as caught:
                await call
            assert caught.value.reason == "owner_stays"
    admin = await crew.office.member("admin")
    with pytest.raises(Denied):
        await crew.members(admin).remove_project_member(removing(crew, crew.maker))
    with pytest.raises(Conflict):
        await crew.projects().leave_project(LeaveProjectRequest(id=crew.atlas.id))
    assert await crew.everything() == before


async def test_a_removed_member_is_gone_and_the_event_says_why(crew: Crew) -> None:
    viewer = await crew.direct("viewer")
    await crew.members().remove_project_member(removing(crew, viewer))
    assert list(await crew.roles()) == [crew.maker.id]
    event = (await crew.events())[-1]
    assert event == ProjectMemberRemoved(
        project_id=crew.atlas.id,
        subject_id=viewer.id,
        reason="removed",
        removed_at=event.removed_at,
        organization_id=crew.office.id,
    )


async def test_a_member_leaves_and_keeps_what_its_team_has(crew: Crew) -> None:
    admin = await crew.direct("admin")
    await crew.role(await crew.team(admin), "viewer")
    await crew.projects(admin).leave_project(LeaveProjectRequest(id=crew.atlas.id))
    event = (await crew.events())[-1]
    assert (event.subject_id, event.reason) == (admin.id, "left")
    assert await crew.sees(admin)
    with pytest.raises(Conflict) as caught:
        await crew.projects(admin).leave_project(LeaveProjectRequest(id=crew.atlas.id))
    assert caught.value.reason == "not_a_member"
