"""Invitations through their contract, and the incidents that others had with theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest

from acme.contracts.google.protobuf import FieldMask
from acme.contracts.users.v1 import (
    AcceptInvitationReply,
    CreateInvitationRequest,
    DeleteInvitationRequest,
    InvitationAccepted,
    InvitationCreated,
    InvitationDeleted,
    ListInvitationsRequest,
    OrganizationMemberAdded,
    ResendInvitationRequest,
    UpdateOrganizationRequest,
)
from acme.errors import Conflict, Denied, Exhausted, Invalid, NotFound
from acme.testing import Platform
from acme.testing import User as Caller
from tests.contract.organizations.calls import accept, open_ones, why_not
from tests.offices import Office, narrowed
from tests.people import new_email

pytestmark = pytest.mark.every_placement

# ---- inviting and accepting ------------------------------------------------------------------------------------------


async def test_whoever_accepts_an_invitation_is_a_member(platform: Platform, office: Office, admin: Caller) -> None:
    ann = await office.stranger()
    invitation = await office.invite(ann.email, "viewer", by=admin)
    assert (invitation.email, invitation.role, invitation.inviter_id) == (ann.email, "viewer", admin.id)
    assert invitation.created_at is not None
    assert invitation.expires_at == invitation.created_at + timedelta(days=7)
    assert ann.id not in await office.members()
    reply = await accept(office, ann, await office.token(ann.email))
    assert reply == AcceptInvitationReply(organization_id=office.id, role="viewer")
    assert (await office.members())[ann.id] == "viewer"
    assert await open_ones(office) == []
    created, added, accepted = await office.events()
    assert created == InvitationCreated(
        organization_id=office.id,
        invitation_id=invitation.id,
        inviter_id=admin.id,
        role="viewer",
        created_at=invitation.created_at,
    )
    assert added == OrganizationMemberAdded(
        organization_id=office.id, user_id=ann.id, role="viewer", joined_at=added.joined_at
    )
    assert accepted == InvitationAccepted(
        organization_id=office.id, invitation_id=invitation.id, user_id=ann.id, accepted_at=added.joined_at
    )
    assert (await office.announced())[-1] == ann.id


async def test_the_mail_names_the_sender_and_tames_the_organisations_name(platform: Platform, office: Office) -> None:
    await office.organizations().update_organization(
        UpdateOrganizationRequest(
            id=office.id,
            name="Win! https://evil.example/prize Call <b>now</b> or lose it all forever",
            update_mask=FieldMask(paths=["name"]),
        )
    )
    ann = await office.stranger()
    await office.invite(ann.email)
    mail = await platform.mailbox.wait(ann.email)
    assert (
        f'{office.owner.email} invites you to the organisation "Win https evil example prize Call b now"' in mail.text
    )
    assert "evil.example" not in mail.text + mail.subject
    [link] = mail.links
    assert link.startswith("https://acme.test/accept-invitation?token=aci_")
    assert f'{{"token": "{await office.token(ann.email)}"}}' in mail.text


async def test_a_membership_by_invitation_ends_when_the_invitation_says(platform: Platform, office: Office) -> None:
    ann = await office.stranger()
    until = platform.clock.now() + timedelta(days=30)
    invitation = await office.invite(ann.email, until=until)
    assert invitation.membership_expires_at == until
    await accept(office, ann, await office.token(ann.email))
    assert ann.id in await office.members()
    platform.clock.advance(timedelta(days=30))
    assert ann.id not in await office.members()


async def test_no_invitation_outlives_the_membership_it_leads_to(platform: Platform, office: Office) -> None:
    ann = await office.stranger()
    until = platform.clock.now() + timedelta(hours=1)
    assert (await office.invite(ann.email, until=until)).expires_at == until
    platform.clock.advance(timedelta(hours=1))
    assert await why_not(office, ann, await office.token(ann.email)) == (Invalid, "token_invalid")


async def test_an_end_that_has_passed_is_refused(platform: Platform, office: Office) -> None:
    with pytest.raises(Invalid):
        await office.invite(new_email(), until=platform.clock.now() - timedelta(seconds=1))


async def test_open_invitations_come_newest_first(office: Office, admin: Caller) -> None:
    made = [await office.invite(new_email(), by=admin) for _ in range(5)]
    assert await open_ones(office, admin) == made[::-1]


async def test_an_unknown_a_used_a_withdrawn_and_an_expired_token_get_the_same_answer(
    platform: Platform, office: Office
) -> None:
    callers = [await office.stranger() for _ in range(3)]
    invitations = [await office.invite(caller.email) for caller in callers]
    tokens = [await office.token(caller.email) for caller in callers]
    await accept(office, callers[0], tokens[0])
    await office.invitations().delete_invitation(
        DeleteInvitationRequest(organization_id=office.id, id=invitations[1].id)
    )
    platform.clock.advance(timedelta(days=7))
    said = []
    for caller, token in [
        *zip(callers, tokens, strict=True),
        (callers[0], "aci_" + "x" * 43),
        (callers[0], "nonsense"),
    ]:
        with pytest.raises(Invalid) as caught:
            await accept(office, caller, token)
        said.append((caught.value.reason, caught.value.message, caught.value.faults))
    assert set(said) == {said[0]}
    assert said[0][0] == "token_invalid"
    assert await office.members() == {office.owner.id: "owner", callers[0].id: "member"}
    assert await open_ones(office) == []


async def test_a_token_works_until_seven_days_have_passed(platform: Platform, office: Office) -> None:
    ann = await office.stranger()
    await office.invite(ann.email)
    platform.clock.advance(timedelta(days=7) - timedelta(minutes=1))
    assert (await accept(office, ann, await office.token(ann.email))).role == "member"


# ---- incidents of others ---------------------------------------------------------------------------------------------


async def test_growthbook_6343_another_account_cannot_accept(office: Office) -> None:
    invited, other, unproved = await office.stranger(), await office.stranger(), await office.stranger(verified=False)
    await office.invite(invited.email)
    token = await office.token(invited.email)
    assert await why_not(office, other, token) == (Denied, "invitation_for_another_address")
    await office.invite(unproved.email)
    assert await why_not(office, unproved, await office.token(unproved.email)) == (
        Denied,
        "invitation_for_another_address",
    )
    assert (await accept(office, invited, token)).organization_id == office.id


async def test_the_invited_address_may_be_spelled_another_way(office: Office) -> None:
    ann = await office.stranger()
    await office.invite(typed := ann.email.upper().replace("EXAMPLE.COM", "Example.com"))
    await accept(office, ann, await office.token(typed.replace("Example.com", "example.com")))
    assert ann.id in await office.members()


async def test_plane_9301_no_reply_event_or_row_holds_the_token(platform: Platform, office: Office) -> None:
    ann = await office.stranger()
    made = await office.invite(ann.email)
    first = await office.token(ann.email)
    again = await office.invitations().resend_invitation(ResendInvitationRequest(organization_id=office.id, id=made.id))
    second = await office.token(ann.email, number=2)
    seen: list[Any] = [made, again, await open_ones(office), await accept(office, ann, second), await office.events()]
    rows = await office.everything()
    digests = [hashlib.sha256(token.encode()).digest().hex() for token in (first, second)]
    for secret in (first, second, first.removeprefix("aci_"), second.removeprefix("aci_")):
        assert secret not in repr(seen)
        assert secret not in repr(rows)
    for digest in digests:
        assert digest not in repr(seen)


async def test_ezauth_131_nobody_invites_to_a_role_above_their_own(office: Office, admin: Caller) -> None:
    before = await office.everything()
    with pytest.raises(Denied) as caught:
        await office.invite(new_email(), "owner", by=admin)
    assert caught.value.reason == "role_above_own"
    assert await office.everything() == before
    assert (await office.invite(new_email(), "admin", by=admin)).role == "admin"


@pytest.mark.parametrize("role", ["member", "viewer", "guest"])
async def test_below_admin_nobody_invites_or_sees_invitations(office: Office, role: str) -> None:
    caller = await office.member(role)
    invitation = await office.invite(new_email())
    before = await office.everything()
    stub = office.invitations(caller)
    calls: list[Awaitable[Any]] = [
        office.invite(new_email(), "guest", by=caller),
        stub.list_invitations(ListInvitationsRequest(organization_id=office.id)),
        stub.resend_invitation(ResendInvitationRequest(organization_id=office.id, id=invitation.id)),
        stub.delete_invitation(DeleteInvitationRequest(organization_id=office.id, id=invitation.id)),
    ]
    for call in calls:
        with pytest.raises(Denied) as caught:
            await call
        assert caught.value.reason == "permission_denied"
    assert await office.everything() == before


async def test_invitations_of_other_organisations_do_not_exist_here(office: Office) -> None:
    other = await office.another()
    theirs = await other.invite(new_email())
    before = await office.everything()
    stub = office.invitations()
    calls: list[Awaitable[Any]] = [
        stub.resend_invitation(ResendInvitationRequest(organization_id=office.id, id=theirs.id)),
        stub.delete_invitation(DeleteInvitationRequest(organization_id=office.id, id=theirs.id)),
        stub.resend_invitation(ResendInvitationRequest(organization_id=other.id, id=theirs.id)),
        stub.delete_invitation(DeleteInvitationRequest(organization_id=other.id, id=theirs.id)),
        stub.list_invitations(ListInvitationsRequest(organization_id=other.id)),
        other.invite(new_email(), by=office.owner),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call
    assert await office.everything() == before


async def test_a_token_that_only_covers_inviting_hands_nothing_else_on(office: Office) -> None:
    narrow = narrowed(office.owner, "organizations.invitations.create")
    with pytest.raises(Denied) as caught:
        await office.invite(new_email(), "viewer", by=narrow)
    assert caught.value.reason == "role_above_own"


async def test_nobody_is_invited_to_a_personal_organisation(office: Office) -> None:
    request = CreateInvitationRequest(organization_id=office.owner.organization, email=new_email(), role="viewer")
    with pytest.raises(Conflict) as caught:
        await office.invitations().create_invitation(request)
    assert caught.value.reason == "personal_organization"


async def test_whoever_invites_has_proved_an_address(office: Office) -> None:
    unproved = await office.stranger(verified=False)
    await office.admit(unproved, "admin")
    with pytest.raises(Denied) as caught:
        await office.invite(new_email(), by=unproved)
    assert caught.value.reason == "email_not_verified"


@pytest.mark.parametrize(
    ("email", "role", "pointer"),
    [("", "viewer", "/email"), ("ann", "viewer", "/email"), ("ann@example.com", "", "/role"),
     ("ann@example.com", "boss", "/role")],
)  # fmt: skip
async def test_an_invitation_that_breaks_a_rule_is_refused_with_a_pointer(
    office: Office, email: str, role: str, pointer: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await office.invite(email, role)
    assert [fault.pointer for fault in caught.value.faults] == [pointer]


async def test_a_known_and_an_unknown_address_get_the_same_answer(platform: Platform, office: Office) -> None:
    known, unproved = await office.stranger(), await office.stranger(verified=False)
    replies = [await office.invite(email) for email in (known.email, unproved.email, office.owner.email, new_email())]
    shapes = {
        (reply.role, reply.inviter_id, reply.organization_id, reply.membership_expires_at, len(reply.id))
        for reply in replies
    }
    assert len(shapes) == 1
    mails = [await platform.mailbox.wait(reply.email) for reply in replies]
    assert len({mail.text.replace(mail.links[0], "").split("'{")[0] for mail in mails}) == 1


async def test_an_organisation_has_two_hundred_open_invitations_at_most(office: Office) -> None:
    first = await office.invite(new_email())
    await office.database.execute(
        """
        INSERT INTO invitations (id, organization_id, email, email_key, role, inviter_id, digest, created_at, expires_at)
        SELECT id || n, organization_id, n || email, n || email_key, role, inviter_id, sha256(n::text::bytea), created_at,
               expires_at
        FROM invitations, generate_series(1, 199) AS n WHERE id = $1
        """,
        first.id,
    )
    with pytest.raises(Conflict) as caught:
        await office.invite(new_email())
    assert caught.value.reason == "too_many_invitations"
    again = await office.invite(first.email)
    await office.invitations().delete_invitation(DeleteInvitationRequest(organization_id=office.id, id=again.id))
    await office.invite(new_email())


async def test_one_sends_a_hundred_invitations_an_hour_at_most(platform: Platform, office: Office) -> None:
    invitation = await office.invite(new_email())
    stub = office.invitations()
    again = ResendInvitationRequest(organization_id=office.id, id=invitation.id)
    for _ in range(99):
        await stub.resend_invitation(again)
    before = await office.everything()
    with pytest.raises(Exhausted) as caught:
        await stub.resend_invitation(again)
    assert caught.value.retry_after == 3600
    assert await office.everything() == before
    await office.invite(new_email(), by=await office.member("admin"))  # others are others
    platform.clock.advance(timedelta(hours=1))
    await stub.resend_invitation(again)
    await platform.mailbox.wait(invitation.email, number=21)  # of those before, one address got twenty
    assert len(platform.mailbox.list(invitation.email)) == 21


# ---- again, and not any more -----------------------------------------------------------------------------------------


async def test_a_second_invitation_of_an_address_voids_the_first(office: Office) -> None:
    ann = await office.stranger()
    first = await office.invite(ann.email, "admin")
    old = await office.token(ann.email)
    second = await office.invite(ann.email, "viewer")
    new = await office.token(ann.email, number=2)
    assert first.id != second.id
    assert await open_ones(office) == [second]
    assert await why_not(office, ann, old) == (Invalid, "token_invalid")
    assert (await accept(office, ann, new)).role == "viewer"


async def test_sending_again_voids_the_token_of_before_and_begins_seven_new_days(
    platform: Platform, office: Office, admin: Caller
) -> None:
    ann = await office.stranger()
    invitation = await office.invite(ann.email)
    old = await office.token(ann.email)
    platform.clock.advance(timedelta(days=6))
    again = await office.invitations(admin).resend_invitation(
        ResendInvitationRequest(organization_id=office.id, id=invitation.id)
    )
    new = await office.token(ann.email, number=2)
    assert again.expires_at is not None
    assert invitation.expires_at is not None
    assert (again.id, again.inviter_id, again.created_at) == (invitation.id, admin.id, invitation.created_at)
    assert timedelta(days=6) <= again.expires_at - invitation.expires_at < timedelta(days=6, minutes=1)
    assert [type(event) for event in await office.events()] == [InvitationCreated, InvitationCreated]
    assert await why_not(office, ann, old) == (Invalid, "token_invalid")
    platform.clock.advance(timedelta(days=6))
    assert (await accept(office, ann, new)).role == "member"


async def test_nobody_sends_an_invitation_again_that_they_could_not_send(office: Office, admin: Caller) -> None:
    ann = await office.stranger()
    invitation = await office.invite(ann.email, "owner")
    before = await office.everything()
    with pytest.raises(Denied) as caught:
        await office.invitations(admin).resend_invitation(
            ResendInvitationRequest(organization_id=office.id, id=invitation.id)
        )
    assert caught.value.reason == "role_above_own"
    assert await office.everything() == before


async def test_a_withdrawn_invitation_is_gone(office: Office, admin: Caller) -> None:
    invitation = await office.invite(new_email())
    request = DeleteInvitationRequest(organization_id=office.id, id=invitation.id)
    await office.invitations(admin).delete_invitation(request)
    deleted = (await office.events())[-1]
    assert deleted == InvitationDeleted(
        organization_id=office.id, invitation_id=invitation.id, deleted_at=deleted.deleted_at
    )
    with pytest.raises(NotFound):
        await office.invitations(admin).delete_invitation(request)
