"""Members of organisations through their contract: the list, their roles, and how memberships end."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Any

import pytest

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    CreateRoleRequest,
    CreateTeamRequest,
    LeaveOrganizationRequest,
    ListMembersRequest,
    LookUpMembersRequest,
    Member,
    MembershipStub,
    OrganizationMemberRemoved,
    OrganizationMemberUpdated,
    RemoveMemberRequest,
    UpdateMemberRequest,
)
from acme.errors import Conflict, Denied, Invalid, Malformed, NotFound, Refused, Stale
from acme.testing import Platform
from acme.testing import User as Caller
from tests.offices import Office, listed, narrowed

pytestmark = pytest.mark.every_placement


def change(
    office: Office,
    user: Caller,
    *mask: str,
    role: str = "",
    expires_at: datetime | None = None,
    if_match: int | None = None,
) -> UpdateMemberRequest:
    return UpdateMemberRequest(
        organization_id=office.id,
        user_id=user.id,
        role=role,
        expires_at=expires_at,
        if_match=if_match,
        update_mask=FieldMask(paths=list(mask)),
    )


def promote(office: Office, user: Caller, role: str) -> UpdateMemberRequest:
    return change(office, user, "role", role=role)


def removal(office: Office, user: Caller) -> RemoveMemberRequest:
    return RemoveMemberRequest(organization_id=office.id, user_id=user.id)


# ---- the list --------------------------------------------------------------------------------------------------------


async def test_members_come_in_the_order_of_joining(office: Office, admin: Caller, member: Caller) -> None:
    viewer = await office.member("viewer")
    found: list[Member] = await listed(office, viewer)
    assert [entry.user_id for entry in found] == [office.owner.id, admin.id, member.id, viewer.id]
    assert [entry.role for entry in found] == ["owner", "admin", "member", "viewer"]
    assert {(entry.organization_id, entry.display_name, entry.version) for entry in found} == {(office.id, "Ann", 1)}


@pytest.mark.parametrize(("role", "shown"), [("owner", True), ("admin", True), ("member", False), ("viewer", False)])
async def test_addresses_are_shown_to_those_who_may_invite(office: Office, role: str, shown: bool) -> None:
    caller = await office.member(role)
    emails = [entry.email for entry in await listed(office, caller)]
    assert emails == ([office.owner.email, caller.email] if shown else ["", ""])


async def test_a_token_that_does_not_cover_inviting_shows_no_addresses(office: Office) -> None:
    narrow = narrowed(office.owner, "organizations.members.read")
    assert [entry.email for entry in await listed(office, narrow)] == [""]


async def test_a_guest_and_a_stranger_see_no_members(office: Office, guest: Caller) -> None:
    for caller, error in ((guest, Denied), (await office.stranger(), NotFound)):
        with pytest.raises(error):
            await office.organizations(caller).list_members(ListMembersRequest(organization_id=office.id))


async def test_a_page_token_is_good_for_its_organisation_alone(office: Office, admin: Caller) -> None:
    other = await office.another()
    await other.admit(admin)
    stub = office.organizations(admin)
    reply = await stub.list_members(ListMembersRequest(organization_id=office.id, page_size=1))
    with pytest.raises(Malformed):
        await stub.list_members(ListMembersRequest(organization_id=other.id, page_token=reply.next_page_token))


# ---- roles -----------------------------------------------------------------------------------------------------------


async def test_a_member_gets_another_role(office: Office, admin: Caller, member: Caller) -> None:
    changed = await office.organizations(admin).update_member(promote(office, member, "viewer"))
    assert (changed.role, changed.version, changed.email) == ("viewer", 2, member.email)
    assert (await office.members())[member.id] == "viewer"
    [event] = await office.events()
    assert event == OrganizationMemberUpdated(
        organization_id=office.id, user_id=member.id, role="viewer", updated_at=event.updated_at
    )
    assert (await office.announced())[-1] == member.id


async def test_a_custom_role_is_given_like_any_other(office: Office, member: Caller) -> None:
    role = await office.roles().create_role(
        CreateRoleRequest(organization_id=office.id, name="Reader", permissions=["organizations.read"])
    )
    assert (await office.organizations().update_member(promote(office, member, role.id))).role == role.id
    with pytest.raises(Denied):
        await listed(office, member)


async def test_the_same_role_again_changes_nothing(office: Office, member: Caller) -> None:
    assert (await office.organizations().update_member(promote(office, member, "member"))).version == 1
    assert (await office.organizations().update_member(change(office, member))).version == 1
    assert await office.events() == []


async def test_nobody_gives_a_role_above_their_own(office: Office, admin: Caller, member: Caller) -> None:
    before = await office.everything()
    for target in (member, admin):
        with pytest.raises(Denied) as caught:
            await office.organizations(admin).update_member(promote(office, target, "owner"))
        assert caught.value.reason == "role_above_own"
    assert await office.everything() == before


async def test_a_token_hands_on_nothing_that_it_does_not_cover(office: Office, member: Caller) -> None:
    narrow = narrowed(office.owner, "organizations.members.update")
    with pytest.raises(Denied) as caught:
        await office.organizations(narrow).update_member(promote(office, member, "viewer"))
    assert caught.value.reason == "role_above_own"


async def test_nobody_touches_a_member_who_may_do_more(office: Office, admin: Caller) -> None:
    before = await office.everything()
    stub = office.organizations(admin)
    calls: list[Awaitable[Any]] = [
        stub.update_member(promote(office, office.owner, "guest")),
        stub.update_member(change(office, office.owner, "expires_at")),
        stub.remove_member(removal(office, office.owner)),
    ]
    for call in calls:
        with pytest.raises(Denied) as caught:
            await call
        assert caught.value.reason == "above_own_role"
    assert await office.everything() == before


async def test_a_custom_role_that_manages_members_stays_below_itself(office: Office, member: Caller) -> None:
    """Who may only manage members cannot make anybody a member who may do what it may not."""
    manager = await office.member()
    role = await office.roles().create_role(
        CreateRoleRequest(
            organization_id=office.id,
            name="People",
            permissions=["organizations.members.update", "organizations.members.remove"],
        )
    )
    await office.organizations().update_member(promote(office, manager, role.id))
    stub = office.organizations(manager)
    for call in (
        stub.update_member(promote(office, manager, "viewer")),
        stub.update_member(promote(office, member, "guest")),
        stub.remove_member(removal(office, member)),
    ):
        with pytest.raises(Denied):
            await call
    guest = await office.member("guest")
    assert (await stub.update_member(promote(office, guest, role.id))).role == role.id


@pytest.mark.parametrize("role", ["member", "viewer", "guest"])
async def test_below_admin_nobody_manages_members(office: Office, role: str, guest: Caller) -> None:
    stub = office.organizations(await office.member(role))
    before = await office.everything()
    for call in (stub.update_member(promote(office, guest, "viewer")), stub.remove_member(removal(office, guest))):
        with pytest.raises(Denied) as caught:
            await call
        assert caught.value.reason == "permission_denied"
    assert await office.everything() == before


async def test_people_and_roles_of_other_organisations_do_not_exist_here(office: Office, member: Caller) -> None:
    other = await office.another()
    theirs = await other.member()
    role = await other.roles().create_role(CreateRoleRequest(organization_id=other.id, name="Theirs"))
    before = await office.everything()
    stub = office.organizations()
    calls: list[Awaitable[Any]] = [
        stub.update_member(promote(office, theirs, "viewer")),
        stub.remove_member(removal(office, theirs)),
        stub.update_member(promote(office, member, role.id)),
        stub.update_member(promote(other, theirs, "viewer")),
        stub.remove_member(removal(other, theirs)),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call
    assert await office.everything() == before


@pytest.mark.parametrize("role", ["", "boss", "OWNER", "usr_01m821mp30er1rnjnb3atkr46z"])
async def test_what_is_no_role_is_refused(office: Office, member: Caller, role: str) -> None:
    with pytest.raises(Invalid) as caught:
        await office.organizations().update_member(promote(office, member, role))
    assert [fault.pointer for fault in caught.value.faults] == ["/role"]


async def test_an_update_for_another_version_changes_nothing(office: Office, member: Caller) -> None:
    before = await office.everything()
    with pytest.raises(Stale) as caught:
        await office.organizations().update_member(change(office, member, "role", role="viewer", if_match=2))
    assert caught.value.reason == "version_mismatch"
    assert await office.everything() == before


# ---- the last owner --------------------------------------------------------------------------------------------------


async def test_the_last_owner_stays_one(platform: Platform, office: Office, admin: Caller) -> None:
    soon = platform.clock.now() + timedelta(days=1)
    await office.member("owner", expires_at=soon)  # one whose membership ends is none to rely on
    before = await office.everything()
    stub = office.organizations()
    calls: list[Awaitable[Any]] = [
        stub.update_member(promote(office, office.owner, "admin")),
        stub.update_member(change(office, office.owner, "expires_at", expires_at=soon)),
        stub.remove_member(removal(office, office.owner)),
        stub.leave_organization(LeaveOrganizationRequest(id=office.id)),
    ]
    for call in calls:
        with pytest.raises(Conflict) as caught:
            await call
        assert caught.value.reason == "last_owner"
    assert await office.everything() == before


@pytest.mark.parametrize("way", ["step down", "end", "leave", "be removed"])
async def test_one_of_two_owners_can_go(platform: Platform, office: Office, way: str) -> None:
    second = await office.member("owner")
    stub = office.organizations()
    soon = platform.clock.now() + timedelta(days=1)
    if way == "step down":
        await stub.update_member(promote(office, office.owner, "viewer"))
    elif way == "end":
        await stub.update_member(change(office, office.owner, "expires_at", expires_at=soon))
    elif way == "leave":
        await stub.leave_organization(LeaveOrganizationRequest(id=office.id))
    else:
        await office.organizations(second).remove_member(removal(office, office.owner))
    platform.clock.advance(timedelta(days=2))
    assert [user for user, role in (await office.members()).items() if role == "owner"] == [second.id]
    with pytest.raises(Conflict):
        await office.organizations(second).leave_organization(LeaveOrganizationRequest(id=office.id))


async def test_nobody_leaves_the_personal_organisation(office: Office) -> None:
    with pytest.raises(Conflict) as caught:
        await office.organizations().leave_organization(LeaveOrganizationRequest(id=office.owner.organization))
    assert caught.value.reason == "personal_organization"


# ---- how memberships end ---------------------------------------------------------------------------------------------


async def test_a_removed_member_is_gone_and_verifiers_hear_of_it(office: Office, admin: Caller, member: Caller) -> None:
    await office.organizations(admin).remove_member(removal(office, member))
    assert member.id not in await office.members()
    [event] = await office.events()
    assert event == OrganizationMemberRemoved(
        organization_id=office.id, user_id=member.id, reason="removed", removed_at=event.removed_at
    )
    assert (await office.announced())[-1] == member.id
    with pytest.raises(NotFound):
        await office.organizations(admin).remove_member(removal(office, member))


@pytest.mark.parametrize("role", ["admin", "member", "viewer", "guest"])
async def test_everybody_else_can_leave(office: Office, role: str) -> None:
    caller = await office.member(role)
    await office.organizations(caller).leave_organization(LeaveOrganizationRequest(id=office.id))
    assert await office.members() == {office.owner.id: "owner"}
    assert [event.reason for event in await office.events()] == ["left"]
    assert (await office.announced())[-1] == caller.id


async def test_whoever_has_a_custom_role_that_includes_nothing_can_leave(office: Office, member: Caller) -> None:
    role = await office.roles().create_role(CreateRoleRequest(organization_id=office.id, name="Nothing"))
    await office.organizations().update_member(promote(office, member, role.id))
    await office.organizations(member).leave_organization(LeaveOrganizationRequest(id=office.id))
    assert await office.members() == {office.owner.id: "owner"}


async def test_a_membership_ends_by_itself_at_its_time_whatever_the_job_does(
    platform: Platform, office: Office, admin: Caller
) -> None:
    """gitlab-org/gitlab-ee#9701: expired members kept access until a job came by."""
    end = platform.clock.now() + timedelta(hours=1)
    changed = await office.organizations().update_member(change(office, admin, "expires_at", expires_at=end))
    assert changed.expires_at == end
    assert len(await listed(office, admin)) == 2
    platform.clock.advance(timedelta(hours=1))
    with pytest.raises(NotFound):
        await listed(office, admin)
    assert [entry.user_id for entry in await listed(office, office.owner)] == [office.owner.id]
    for call in (
        office.organizations().update_member(promote(office, admin, "viewer")),
        office.organizations().remove_member(removal(office, admin)),
    ):
        with pytest.raises(NotFound):
            await call


async def test_an_end_can_be_moved_and_taken_back(platform: Platform, office: Office, member: Caller) -> None:
    stub = office.organizations()
    end = platform.clock.now() + timedelta(hours=1)
    await stub.update_member(change(office, member, "expires_at", expires_at=end))
    assert (await stub.update_member(change(office, member, "expires_at"))).expires_at is None
    platform.clock.advance(timedelta(hours=2))
    assert member.id in await office.members()


async def test_an_end_that_has_passed_is_refused(platform: Platform, office: Office, member: Caller) -> None:
    past = platform.clock.now() - timedelta(seconds=1)
    with pytest.raises(Invalid) as caught:
        await office.organizations().update_member(change(office, member, "expires_at", expires_at=past))
    assert [fault.pointer for fault in caught.value.faults] == ["/expires_at"]


async def test_nobody_prolongs_their_own_membership(platform: Platform, office: Office) -> None:
    end = platform.clock.now() + timedelta(hours=1)
    temp = await office.member("admin", expires_at=end)
    stub = office.organizations(temp)
    for longer in (None, end + timedelta(seconds=1)):
        with pytest.raises(Denied) as caught:
            await stub.update_member(change(office, temp, "expires_at", expires_at=longer))
        assert caught.value.reason == "own_membership"
    shorter = end - timedelta(minutes=1)
    assert (await stub.update_member(change(office, temp, "expires_at", expires_at=shorter))).expires_at == shorter


# ---- what other services ask -----------------------------------------------------------------------------------------


async def test_projects_look_up_members_and_teams_of_one_organisation(
    platform: Platform, office: Office, member: Caller
) -> None:
    expired = await office.member(expires_at=platform.clock.now() + timedelta(seconds=1))
    platform.clock.advance(timedelta(seconds=2))
    team = await office.teams().create_team(CreateTeamRequest(organization_id=office.id, name="Crew"))
    other = await office.another()
    foreign = await other.teams().create_team(CreateTeamRequest(organization_id=other.id, name="Theirs"))
    ids = [member.id, office.owner.id, expired.id, team.id, foreign.id, other.owner.id, "usr_unknown", ""]
    stub = platform.stub(MembershipStub, as_service="projects")
    reply = await stub.look_up_members(LookUpMembersRequest(organization_id=office.id, ids=ids))
    assert {found.id: found.display_name for found in reply.found} == {
        member.id: "Ann",
        office.owner.id: "Ann",
        team.id: "Crew",
    }
    roles = {
        found.id: found.membership and (found.membership.role, found.membership.default_role) for found in reply.found
    }
    assert roles == {member.id: ("member", "viewer"), office.owner.id: ("owner", "owner"), team.id: None}


async def test_nobody_from_outside_looks_members_up(platform: Platform, office: Office) -> None:
    with pytest.raises(Refused):
        await platform.stub(MembershipStub, as_=office.owner).look_up_members(
            LookUpMembersRequest(organization_id=office.id, ids=[office.owner.id])
        )
