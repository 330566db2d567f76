"""Organisations through their contract: making, reading and changing them, and handing them over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    AcceptOrganizationTransferRequest,
    CancelOrganizationTransferRequest,
    CreateOrganizationRequest,
    GetOrganizationRequest,
    LeaveOrganizationRequest,
    ListOrganizationsRequest,
    OrganizationCreated,
    OrganizationsStub,
    OrganizationTransferred,
    OrganizationUpdated,
    RemoveMemberRequest,
    TransferOrganizationRequest,
    UpdateMemberRequest,
    UpdateOrganizationRequest,
)
from acme.errors import Conflict, Denied, Invalid, Malformed, NotFound, Refused, Stale, Unauthenticated
from acme.testing import Platform
from acme.testing import User as Caller
from tests.offices import Office, narrowed, remembered

pytestmark = pytest.mark.every_placement


def update(office: Office, *mask: str, if_match: int | None = None, **values: str) -> UpdateOrganizationRequest:
    return UpdateOrganizationRequest(id=office.id, if_match=if_match, update_mask=FieldMask(paths=list(mask)), **values)


def offer(office: Office, to: Caller) -> TransferOrganizationRequest:
    return TransferOrganizationRequest(id=office.id, user_id=to.id)


# ---- making and reading ----------------------------------------------------------------------------------------------


async def test_whoever_makes_an_organisation_owns_it(platform: Platform, office: Office) -> None:
    ann = await office.stranger()
    stub = office.organizations(ann)
    made = await stub.create_organization(CreateOrganizationRequest(name="Rockets"))
    assert (made.name, made.role, made.personal, made.default_role) == ("Rockets", "owner", False, "viewer")
    assert (made.region, made.version, made.updated_at) == ("local", 1, made.created_at)
    assert await stub.get_organization(GetOrganizationRequest(id=made.id)) == made
    assert await platform.outbox("users", key=made.id) == [
        OrganizationCreated(organization_id=made.id, owner_id=ann.id, region="local", created_at=made.created_at)
    ]
    assert (await office.announced())[-1] == ann.id


async def test_the_list_has_the_callers_organisations_in_the_order_of_joining(office: Office) -> None:
    ann = await office.stranger()
    stub = office.organizations(ann)
    made = [await stub.create_organization(CreateOrganizationRequest(name=f"No. {number}")) for number in range(4)]
    await office.admit(ann, "guest")
    found, token, pages = [], "", 0
    while pages == 0 or token:
        reply = await stub.list_organizations(ListOrganizationsRequest(page_size=2, page_token=token))
        found += reply.organizations
        token, pages = reply.next_page_token, pages + 1
    assert [entry.id for entry in found] == [ann.organization, *(entry.id for entry in made), office.id]
    assert [entry.role for entry in found] == ["owner"] * 5 + ["guest"]
    assert found[1:5] == made
    assert pages == 3


async def test_a_page_token_is_good_for_its_caller_alone(office: Office, admin: Caller) -> None:
    reply = await office.organizations(admin).list_organizations(ListOrganizationsRequest(page_size=1))
    assert reply.next_page_token
    with pytest.raises(Malformed):
        await office.organizations().list_organizations(ListOrganizationsRequest(page_token=reply.next_page_token))


@pytest.mark.parametrize("default_role", ["none", "viewer", "member", "admin"])
async def test_the_default_role_can_be_chosen(office: Office, default_role: str) -> None:
    request = CreateOrganizationRequest(name="Acme", default_role=default_role)
    assert (await office.organizations().create_organization(request)).default_role == default_role


@pytest.mark.parametrize(
    "request_", [{"name": ""}, {"name": "a\nb"}, {"name": "x" * 101}, {"name": "Acme", "default_role": "owner"}]
)
async def test_an_organisation_that_breaks_a_rule_is_not_made(office: Office, request_: dict[str, str]) -> None:
    before = await office.everything()
    with pytest.raises(Invalid):
        await office.organizations().create_organization(CreateOrganizationRequest(**request_))
    assert await office.everything() == before


async def test_an_organisation_does_not_exist_for_strangers_and_those_whose_membership_has_expired(
    platform: Platform, office: Office
) -> None:
    late = await office.member("owner", expires_at=platform.clock.now() + timedelta(minutes=1))
    assert (await office.organizations(late).get_organization(GetOrganizationRequest(id=office.id))).role == "owner"
    platform.clock.advance(timedelta(minutes=1, seconds=1))
    unknown = replace(office, id=(await office.stranger()).organization)
    said = []
    for caller, target in ((late, office), (await office.stranger(), office), (await office.stranger(), unknown)):
        stub = office.organizations(caller)
        for call in (
            stub.get_organization(GetOrganizationRequest(id=target.id)),
            stub.update_organization(update(target, "name", name="Mine")),
            stub.transfer_organization(offer(target, caller)),
            stub.accept_organization_transfer(AcceptOrganizationTransferRequest(id=target.id)),
            stub.cancel_organization_transfer(CancelOrganizationTransferRequest(id=target.id)),
            stub.leave_organization(LeaveOrganizationRequest(id=target.id)),
        ):
            with pytest.raises(NotFound) as caught:
                await call
            said.append((caught.value.reason, caught.value.message))
    assert set(said) == {said[0]}
    assert office.id not in [
        entry.id
        for entry in (await office.organizations(late).list_organizations(ListOrganizationsRequest())).organizations
    ]


async def test_nobody_and_service_accounts_and_narrow_tokens_are_refused(platform: Platform, office: Office) -> None:
    with pytest.raises(Unauthenticated):
        await platform.stub(OrganizationsStub).get_organization(GetOrganizationRequest(id=office.id))
    narrow = office.organizations(narrowed(office.owner, "organizations.read"))
    await narrow.get_organization(GetOrganizationRequest(id=office.id))
    with pytest.raises(Denied) as caught:
        await narrow.update_organization(update(office, "name", name="Mine"))
    assert caught.value.reason == "insufficient_scope"


async def test_a_guest_knows_of_the_organisation_and_may_not_read_it(office: Office, guest: Caller) -> None:
    stub = office.organizations(guest)
    assert office.id in [
        entry.id for entry in (await stub.list_organizations(ListOrganizationsRequest())).organizations
    ]
    with pytest.raises(Denied) as caught:
        await stub.get_organization(GetOrganizationRequest(id=office.id))
    assert caught.value.reason == "permission_denied"


# ---- changing --------------------------------------------------------------------------------------------------------


async def test_an_update_sets_what_the_mask_names(platform: Platform, office: Office, admin: Caller) -> None:
    platform.clock.advance(timedelta(seconds=1))
    changed = await office.organizations(admin).update_organization(
        update(office, "name", name="B", default_role="none")
    )
    assert (changed.name, changed.default_role, changed.version, changed.role) == ("B", "viewer", 2, "admin")
    assert await office.organizations(admin).get_organization(GetOrganizationRequest(id=office.id)) == changed
    assert await office.events() == [
        OrganizationUpdated(organization_id=office.id, version=2, updated_at=changed.updated_at)
    ]
    assert changed.updated_at is not None
    assert changed.created_at is not None
    assert changed.updated_at > changed.created_at


async def test_another_default_role_is_announced_to_verifiers_and_another_name_is_not(office: Office) -> None:
    await office.organizations().update_organization(update(office, "name", name="B"))
    assert office.id not in await office.announced()
    await office.organizations().update_organization(update(office, "default_role", default_role="none"))
    assert (await office.announced())[-1] == office.id


async def test_an_update_to_what_is_there_already_makes_no_new_version(office: Office) -> None:
    stub = office.organizations()
    assert (await stub.update_organization(update(office, "name", name="Acme"))).version == 1
    assert (await stub.update_organization(update(office))).version == 1
    assert await office.events() == []


async def test_an_update_for_another_version_changes_nothing(office: Office) -> None:
    before = await office.everything()
    for mask in (["name"], []):
        with pytest.raises(Stale) as caught:
            await office.organizations().update_organization(update(office, *mask, if_match=2, name="B"))
        assert caught.value.reason == "version_mismatch"
    assert await office.everything() == before
    assert (await office.organizations().update_organization(update(office, "name", if_match=1, name="B"))).version == 2


@pytest.mark.parametrize("path", ["id", "personal", "region", "version", "role", "nonsense"])
async def test_a_mask_may_name_only_what_can_be_changed(office: Office, path: str) -> None:
    with pytest.raises(Invalid):
        await office.organizations().update_organization(update(office, path))


@pytest.mark.parametrize("role", ["member", "viewer", "guest"])
async def test_below_admin_nobody_changes_an_organisation(office: Office, role: str) -> None:
    caller = await office.member(role)
    before = await office.everything()
    with pytest.raises(Denied) as caught:
        await office.organizations(caller).update_organization(update(office, "name", name="Mine"))
    assert caught.value.reason == "permission_denied"
    assert await office.everything() == before


async def test_a_personal_organisation_can_be_renamed(office: Office) -> None:
    own = replace(office, id=office.owner.organization)
    assert (await office.organizations().update_organization(update(own, "name", name="Just me"))).name == "Just me"


async def test_a_role_that_was_taken_away_is_good_for_nothing_before_verifiers_have_heard_of_it(
    office: Office, admin: Caller
) -> None:
    """What a process remembers of a caller is up to a second old; what changes something reads the membership again."""
    stale = remembered(admin, **{office.id: "admin"})
    await office.organizations(stale).update_organization(update(office, "name", name="Still admin"))
    await office.organizations().update_member(
        UpdateMemberRequest(
            organization_id=office.id, user_id=admin.id, role="viewer", update_mask=FieldMask(paths=["role"])
        )
    )
    with pytest.raises(Denied):
        await office.organizations(stale).update_organization(update(office, "name", name="Too late"))
    await office.organizations().remove_member(RemoveMemberRequest(organization_id=office.id, user_id=admin.id))
    with pytest.raises(NotFound):
        await office.organizations(stale).update_organization(update(office, "name", name="Too late"))


# ---- handing over ----------------------------------------------------------------------------------------------------


async def test_an_offered_organisation_changes_hands_when_the_recipient_accepts(
    platform: Platform, office: Office, member: Caller
) -> None:
    offered = await office.organizations().transfer_organization(offer(office, member))
    assert (offered.organization_id, offered.user_id) == (office.id, member.id)
    assert await office.members() == {office.owner.id: "owner", member.id: "member"}
    mail = await platform.mailbox.wait(member.email)
    assert f"{office.id}:acceptTransfer" in mail.text
    taken = await office.organizations(member).accept_organization_transfer(
        AcceptOrganizationTransferRequest(id=office.id)
    )
    assert (taken.id, taken.role) == (office.id, "owner")
    assert await office.members() == {office.owner.id: "admin", member.id: "owner"}
    [event] = await office.events()
    assert event == OrganizationTransferred(
        organization_id=office.id,
        from_user_id=office.owner.id,
        to_user_id=member.id,
        transferred_at=event.transferred_at,
    )
    assert sorted((await office.announced())[-2:]) == sorted([office.owner.id, member.id])
    with pytest.raises(NotFound):
        await office.organizations(member).accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))


async def test_a_new_owner_owns_for_good(platform: Platform, office: Office) -> None:
    temp = await office.member("member", expires_at=platform.clock.now() + timedelta(hours=1))
    await office.organizations().transfer_organization(offer(office, temp))
    await office.organizations(temp).accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))
    platform.clock.advance(timedelta(hours=2))
    assert await office.members() == {office.owner.id: "admin", temp.id: "owner"}


async def test_an_offer_is_good_for_a_day(platform: Platform, office: Office, member: Caller) -> None:
    await office.organizations().transfer_organization(offer(office, member))
    platform.clock.advance(timedelta(hours=24, seconds=1))
    with pytest.raises(NotFound) as caught:
        await office.organizations(member).accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))
    assert caught.value.reason == "no_transfer"
    assert await office.members() == {office.owner.id: "owner", member.id: "member"}


async def test_a_second_offer_replaces_the_first(office: Office, member: Caller, admin: Caller) -> None:
    await office.organizations().transfer_organization(offer(office, member))
    await office.organizations().transfer_organization(offer(office, admin))
    with pytest.raises(NotFound):
        await office.organizations(member).accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))
    await office.organizations(admin).accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))


async def test_an_offer_of_somebody_who_owns_no_longer_is_void(office: Office, member: Caller) -> None:
    other = await office.member("owner")
    await office.organizations(other).transfer_organization(offer(office, member))
    await office.organizations().update_member(
        UpdateMemberRequest(
            organization_id=office.id, user_id=other.id, role="admin", update_mask=FieldMask(paths=["role"])
        )
    )
    with pytest.raises(Conflict) as caught:
        await office.organizations(member).accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))
    assert caught.value.reason == "transfer_void"


@pytest.mark.parametrize("who", ["from", "to", "another owner"])
async def test_an_offer_can_be_taken_back_declined_and_cancelled_by_an_owner(
    office: Office, member: Caller, who: str
) -> None:
    await office.organizations().transfer_organization(offer(office, member))
    callers = {"from": office.owner, "to": member, "another owner": await office.member("owner")}
    for _ in range(2):
        await office.organizations(callers[who]).cancel_organization_transfer(
            CancelOrganizationTransferRequest(id=office.id)
        )
    with pytest.raises(NotFound):
        await office.organizations(member).accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))


async def test_an_offer_that_does_not_concern_the_caller_stays(office: Office, member: Caller, admin: Caller) -> None:
    await office.organizations().transfer_organization(offer(office, member))
    await office.organizations(admin).cancel_organization_transfer(CancelOrganizationTransferRequest(id=office.id))
    with pytest.raises(NotFound):
        await office.organizations(admin).accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))
    await office.organizations(member).accept_organization_transfer(AcceptOrganizationTransferRequest(id=office.id))


async def test_ownership_is_offered_by_owners_to_other_members_of_shared_organisations(
    platform: Platform, office: Office, admin: Caller, member: Caller
) -> None:
    former = await office.member("member", expires_at=platform.clock.now() + timedelta(seconds=1))
    platform.clock.advance(timedelta(seconds=2))
    elsewhere = await (await office.another()).member()
    own = replace(office, id=office.owner.organization)
    before = await office.everything()
    refused: list[tuple[Caller, TransferOrganizationRequest, type[Refused]]] = [
        (admin, offer(office, member), Denied),
        (admin, offer(office, admin), Denied),
        (office.owner, offer(office, office.owner), Conflict),
        (office.owner, offer(office, elsewhere), NotFound),
        (office.owner, offer(office, former), NotFound),
        (office.owner, offer(own, member), Conflict),
    ]
    for caller, request, error in refused:
        with pytest.raises(error):
            await office.organizations(caller).transfer_organization(request)
    assert await office.everything() == before


async def test_offering_ownership_asks_for_a_fresh_log_in(platform: Platform, office: Office, member: Caller) -> None:
    platform.clock.advance(timedelta(minutes=10, seconds=1))
    with pytest.raises(Refused) as caught:
        await office.organizations().transfer_organization(offer(office, member))
    assert caught.value.reason == "step_up_required"
