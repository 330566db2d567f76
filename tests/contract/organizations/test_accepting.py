"""Accepting invitations: who sent them has to be allowed to still, and members lose nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    CreateRoleRequest,
    DeleteRoleRequest,
    InvitationsStub,
    InviteToProjectRequest,
    RemoveMemberRequest,
    ResendInvitationRequest,
    UpdateRoleRequest,
)
from acme.errors import Conflict, Invalid, NotFound, Refused
from acme.testing import Platform
from acme.testing import User as Caller
from tests.contract.organizations.calls import accept, set_role, why_not
from tests.offices import Office
from tests.people import new_email

pytestmark = pytest.mark.every_placement

PROJECT = "prj_01m821mp30er1rnjnb3atkr46z"


# ---- the inviter, at the moment of accepting -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fate", ["removed", "member", "expired", "custom role without inviting", "custom role with less"]
)
async def test_an_inviter_who_may_not_invite_any_more_has_invited_nobody(
    platform: Platform, office: Office, fate: str
) -> None:
    end = platform.clock.now() + timedelta(hours=1) if fate == "expired" else None
    admin = await office.member("admin", expires_at=end)
    ann = await office.stranger()
    await office.invite(ann.email, "member", by=admin)
    token = await office.token(ann.email)
    if fate == "removed":
        await office.organizations().remove_member(RemoveMemberRequest(organization_id=office.id, user_id=admin.id))
    elif fate == "expired":
        platform.clock.advance(timedelta(hours=1))
    elif fate == "member":
        await set_role(office, admin, "member")
    else:
        can = "organizations.read" if "without" in fate else "organizations.invitations.create"
        role = await office.roles().create_role(
            CreateRoleRequest(organization_id=office.id, name="Less", permissions=[can])
        )
        await set_role(office, admin, role.id)
    assert await why_not(office, ann, token) == (Conflict, "inviter_not_allowed")
    assert ann.id not in await office.members()


async def test_an_inviter_who_may_invite_and_not_to_this_role_any_more_has_not(office: Office) -> None:
    second, ann, bob = await office.member("owner"), await office.stranger(), await office.stranger()
    await office.invite(ann.email, "owner", by=second)
    await office.invite(bob.email, "viewer", by=second)
    await set_role(office, second, "admin")
    assert await why_not(office, ann, await office.token(ann.email)) == (Conflict, "inviter_not_allowed")
    assert (await accept(office, bob, await office.token(bob.email))).role == "viewer"


async def test_another_member_can_take_a_void_invitation_over(office: Office, admin: Caller) -> None:
    ann = await office.stranger()
    invitation = await office.invite(ann.email, by=admin)
    await set_role(office, admin, "viewer")
    await office.invitations().resend_invitation(ResendInvitationRequest(organization_id=office.id, id=invitation.id))
    assert (await accept(office, ann, await office.token(ann.email, number=2))).role == "member"


async def test_a_custom_role_is_given_as_it_is_when_it_is_accepted(office: Office, admin: Caller) -> None:
    role = await office.roles().create_role(
        CreateRoleRequest(organization_id=office.id, name="R", permissions=["organizations.read"])
    )
    ann = await office.stranger()
    await office.invite(ann.email, role.id, by=admin)
    token = await office.token(ann.email)
    with pytest.raises(Conflict):  # somebody is invited to it
        await office.roles().delete_role(DeleteRoleRequest(organization_id=office.id, id=role.id))
    await office.roles().update_role(
        UpdateRoleRequest(
            organization_id=office.id,
            id=role.id,
            permissions=["organizations.transfer"],
            update_mask=FieldMask(paths=["permissions"]),
        )
    )
    assert await why_not(office, ann, token) == (Conflict, "inviter_not_allowed")


# ---- members who are invited -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("has", "invited", "comes_to"),
    [("viewer", "admin", "admin"), ("admin", "viewer", "admin"), ("member", "member", "member"),
     ("guest", "viewer", "viewer"), ("owner", "guest", "owner")],
)  # fmt: skip
async def test_a_member_who_accepts_loses_nothing(office: Office, has: str, invited: str, comes_to: str) -> None:
    ann = await office.member(has)
    await office.invite(ann.email, invited)
    token = await office.token(ann.email)
    assert (await accept(office, ann, token)).role == comes_to
    assert (await office.members())[ann.id] == comes_to
    assert await why_not(office, ann, token) == (Invalid, "token_invalid")


async def test_a_member_who_accepts_more_stays_until_the_later_end(platform: Platform, office: Office) -> None:
    soon, later = (platform.clock.now() + timedelta(days=days) for days in (1, 30))
    ann = await office.member("viewer", expires_at=soon)
    bob = await office.member("viewer", expires_at=later)
    for caller, until in ((ann, later), (bob, soon)):
        await office.invite(caller.email, "member", until=until)
        await accept(office, caller, await office.token(caller.email))
    platform.clock.advance(timedelta(days=29))
    assert await office.members() == {office.owner.id: "owner", ann.id: "member", bob.id: "member"}


async def test_somebody_whose_membership_has_expired_joins_anew(platform: Platform, office: Office) -> None:
    ann = await office.member("admin", expires_at=platform.clock.now() + timedelta(hours=1))
    platform.clock.advance(timedelta(hours=1))
    await office.invite(ann.email, "viewer")
    assert (await accept(office, ann, await office.token(ann.email))).role == "viewer"
    names = [type(event).__name__ for event in await office.events()]
    assert names == ["InvitationCreated", "OrganizationMemberRemoved", "OrganizationMemberAdded", "InvitationAccepted"]


async def test_of_ten_parallel_uses_of_a_token_one_succeeds(office: Office) -> None:
    ann = await office.stranger()
    await office.invite(ann.email)
    token = await office.token(ann.email)
    results = await asyncio.gather(*(accept(office, ann, token) for _ in range(10)), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["AcceptInvitationReply"] + ["Invalid"] * 9
    names = [type(event).__name__ for event in await office.events()]
    assert names == ["InvitationCreated", "OrganizationMemberAdded", "InvitationAccepted"]


# ---- invitations to projects -----------------------------------------------------------------------------------------


def to_project(office: Office, email: str, role: str = "viewer") -> InviteToProjectRequest:
    return InviteToProjectRequest(
        organization_id=office.id, project_id=PROJECT, project_name="Atlas", project_role=role, email=email
    )


async def test_nobody_from_outside_invites_to_projects(platform: Platform, office: Office) -> None:
    with pytest.raises(Refused):
        await office.invitations().invite_to_project(to_project(office, new_email()))
    with pytest.raises(NotFound):  # a service by itself belongs to no organisation
        await platform.stub(InvitationsStub, as_service="projects").invite_to_project(to_project(office, new_email()))
