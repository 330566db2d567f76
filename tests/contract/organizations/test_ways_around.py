"""Ways around a rule that another method would leave open."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from acme_users.standing import MOST
from acme_users.throttles import INVITATIONS_BY

from acme.context import Kind, Membership
from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    CreateOrganizationRequest,
    CreateRoleRequest,
    CreateServiceAccountRequest,
    ResendInvitationRequest,
    ServiceAccountsStub,
    UpdateOrganizationRequest,
)
from acme.errors import Conflict, Denied, Exhausted
from acme.testing import Platform
from acme.testing import User as Caller
from tests.contract.organizations.calls import accept, why_not
from tests.offices import Office, narrowed
from tests.people import new_email

pytestmark = pytest.mark.every_placement


async def bot(office: Office, owner: Caller) -> Caller:
    """A service account, an admin."""
    stub = office.platform.stub(ServiceAccountsStub, as_=owner)
    request = CreateServiceAccountRequest(organization_id=office.id, name="Bot", role="admin")
    made = await stub.create_service_account(request)
    memberships = {office.id: Membership("admin", default_role="admin")}
    principal = replace(
        owner.principal, kind=Kind.SERVICE_ACCOUNT, id=made.id, organization=office.id, memberships=memberships
    )
    return replace(owner, principal=principal, access_token="")


async def test_nobody_prolongs_a_membership_of_its_own_by_an_invitation(platform: Platform, office: Office) -> None:
    until = platform.clock.now() + timedelta(hours=1)
    admin = await office.member("admin", expires_at=until)
    await office.invite(admin.email, "admin", by=admin)
    assert (await accept(office, admin, await office.token(admin.email))).role == "admin"
    platform.clock.advance(timedelta(hours=1))
    assert list(await office.members()) == [office.owner.id]


async def default(office: Office, caller: Caller, role: str) -> str:
    request = UpdateOrganizationRequest(id=office.id, default_role=role, update_mask=FieldMask(paths=["default_role"]))
    return (await office.organizations(caller).update_organization(request)).default_role


async def test_nobody_gives_all_members_what_it_may_not_do_itself(office: Office) -> None:
    request = CreateRoleRequest(organization_id=office.id, name="Namer", permissions=["organizations.update"])
    namer = await office.member((await office.roles().create_role(request)).id)
    narrow = narrowed(office.owner, "organizations.update")
    before = await office.everything()
    for caller in (namer, narrow):
        with pytest.raises(Denied) as caught:
            await default(office, caller, "member")
        assert caught.value.reason == "role_above_own"
    assert await office.everything() == before
    assert await default(office, namer, "none") == "none", "what takes away gives nobody anything"


async def test_nobody_without_a_proved_address_invites_by_a_service_account(office: Office) -> None:
    ghost = await office.stranger(verified=False)
    await office.admit(ghost, "owner")
    program = await bot(office, ghost)
    await office.invite(new_email(), by=program)
    statement = "UPDATE users SET email_verified_at = NULL WHERE id = $1"
    await office.database.execute(statement, office.owner.id)
    with pytest.raises(Denied) as caught:
        await office.invite(new_email(), by=program)
    assert caught.value.reason == "email_not_verified"


async def test_many_service_accounts_send_no_more_invitations_than_one(office: Office) -> None:
    programs = [await bot(office, office.owner) for _ in range(2)]
    invitation = await office.invite(new_email(), by=programs[0])
    again = ResendInvitationRequest(organization_id=office.id, id=invitation.id)
    for number in range(INVITATIONS_BY - 1):
        await office.invitations(programs[number % 2]).resend_invitation(again)
    for program in programs:
        with pytest.raises(Exhausted):
            await office.invitations(program).resend_invitation(again)


async def test_nobody_makes_lists_and_searches_dear_by_belonging_to_ever_more_organisations(office: Office) -> None:
    ann = await office.stranger()
    own = await office.database.fetchval("SELECT count(*) FROM memberships WHERE user_id = $1", ann.id)
    organizations = office.organizations(ann)
    for _ in range(MOST - own):
        await organizations.create_organization(CreateOrganizationRequest(name="Sprawl"))
    with pytest.raises(Conflict) as caught:
        await organizations.create_organization(CreateOrganizationRequest(name="Sprawl"))
    assert caught.value.reason == "too_many_organizations"
    await office.invite(ann.email)
    assert await why_not(office, ann, await office.token(ann.email)) == (Conflict, "too_many_organizations")
