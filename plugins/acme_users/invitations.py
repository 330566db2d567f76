"""Invitations by e-mail, to an organisation or to a project in it.

The token is in the mail and nowhere else: 256 random bits, of which the database has the SHA-256, and no reply or event
anything. It is good once, for seven days, for whoever has proved the address that it went to. A second invitation of an
address to the same, and sending one again, voids the token of before. Accepting is in acceptances.py.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from acme import (
    Clock,
    Conflict,
    Denied,
    Exhausted,
    Fault,
    Invalid,
    NotFound,
    Pages,
    authorise,
    events,
    new_id,
    page_size,
)
from acme.contracts.users.v1 import (
    AcceptInvitationReply,
    AcceptInvitationRequest,
    CreateInvitationRequest,
    DeleteInvitationReply,
    DeleteInvitationRequest,
    InvitationCreated,
    InvitationDeleted,
    InvitationsBase,
    InviteToProjectRequest,
    ListInvitationsReply,
    ListInvitationsRequest,
    ResendInvitationRequest,
)
from acme.contracts.users.v1 import Invitation as InvitationMessage
from acme_users.acceptances import Acceptances, digest
from acme_users.addresses import Address
from acme_users.mails import Mails
from acme_users.members import INVITE
from acme_users.standing import Parties, Party, future
from acme_users.store import (
    NEWEST_INVITATION,
    Invitation,
    InvitationStore,
    MemberStore,
)
from acme_users.throttles import INVITATIONS_BY, MAIL_WINDOW, Throttles

LIFE: Final = timedelta(days=7)
"""For so long a token is good."""
MOST_OPEN: Final = 200
"""Open invitations of an organisation; one more is refused (409)."""

_TOKEN_PREFIX: Final = "aci_"  # noqa: S105 - it makes leaked tokens recognisable; the secret comes after it


class Invitations(InvitationsBase):
    """Keeps the contract `acme.users.v1.Invitations`."""

    def __init__(
        self,
        store: InvitationStore,
        members: MemberStore,
        parties: Parties,
        acceptances: Acceptances,
        throttles: Throttles,
        mails: Mails,
        clock: Clock,
        pages: Pages,
    ) -> None:
        self._store, self._members, self._parties, self._acceptances = store, members, parties, acceptances
        self._throttles, self._mails, self._clock, self._pages = throttles, mails, clock, pages

    async def create_invitation(self, message: CreateInvitationRequest) -> InvitationMessage:
        """Asks nothing about who has the address: not here, so the answer cannot depend on it.

        Raises:
            Invalid: not an address, not a role, or an end that has passed.
            NotFound: the organisation has no such role.
            Denied: the role includes what the caller may not do itself, or its own address is unproved.
            Conflict: a personal organisation, or too many open invitations.
            Exhausted: the caller has sent too many within an hour.
        """
        party = await self._parties.enter(INVITE, message.organization_id)
        party.check_gives(await self._parties.granted(message.organization_id, message.role))
        end = future(message.membership_expires_at, "membership_expires_at", party.now)
        return await self._invite(party, self._new(party, message.email, message.role, end=end))

    async def invite_to_project(self, message: InviteToProjectRequest) -> InvitationMessage:
        """Raises as `create_invitation` does. Ownership of a project is transferred, never given by invitation."""
        if message.project_role == "owner":
            text = "Ownership of a project is transferred to a member: invite as admin, member or viewer."
            raise Invalid(text, faults=[Fault("/role", "not_invitable", text)])
        party = await self._parties.lock(message.organization_id)
        invitation = replace(
            self._new(party, message.email, "guest"),
            project_id=message.project_id,
            project_name=message.project_name,
            project_role=message.project_role,
        )
        return await self._invite(party, invitation)

    async def list_invitations(self, message: ListInvitationsRequest) -> ListInvitationsReply:
        """Raises `Malformed` for a page token that was altered, or made for another list."""
        organization_id = message.organization_id
        authorise("organizations.invitations.read", organization=organization_id)
        before = self._pages.open(message.page_token, organization_id) or NEWEST_INVITATION
        size = page_size(message.page_size)
        rows = await self._store.invitations(organization_id, before=before, at=self._clock.now(), limit=size + 1)
        token = self._pages.seal(rows[size - 1].id, organization_id) if len(rows) > size else ""
        return ListInvitationsReply(invitations=[_message(row) for row in rows[:size]], next_page_token=token)

    async def resend_invitation(self, message: ResendInvitationRequest) -> InvitationMessage:
        """The caller answers for it from now on, so it must be able to give the role itself.

        Raises:
            NotFound: the organisation has no such open invitation.
            Denied: the role includes what the caller may not do itself.
        """
        party = await self._parties.enter(INVITE, message.organization_id)
        sender = await self._sender(party)
        invitation = await self._open(party, message.id)
        party.check_gives(await self._parties.granted(invitation.organization_id, invitation.role))
        invitation = replace(
            invitation,
            inviter_id=party.subject,
            expires_at=_expiry(party.now, invitation.membership_expires_at),
        )
        token = _new_token()
        await self._store.renew(
            invitation.id, digest(token), inviter_id=invitation.inviter_id, expires_at=invitation.expires_at
        )
        return await self._send(party, invitation, token, sender)

    async def delete_invitation(self, message: DeleteInvitationRequest) -> DeleteInvitationReply:
        """Raises `NotFound` when the organisation has no such open invitation."""
        party = await self._parties.enter("organizations.invitations.delete", message.organization_id)
        invitation = await self._open(party, message.id)
        await self._store.delete(invitation.id)
        events.add(
            InvitationDeleted(
                organization_id=invitation.organization_id, invitation_id=invitation.id, deleted_at=party.now
            )
        )
        return DeleteInvitationReply()

    async def accept_invitation(self, message: AcceptInvitationRequest) -> AcceptInvitationReply:
        return await self._acceptances.accept(message)

    # ---- inviting -----------------------------------------------------------------------------------------------

    def _new(self, party: Party, email: str, role: str, *, end: datetime | None = None) -> Invitation:
        try:
            address = Address.parse(email)
        except ValueError as error:
            fault = Fault("/email", "format", "An e-mail address is expected, such as ann@example.com.")
            raise Invalid("The e-mail address is none.", faults=[fault]) from error
        return Invitation(
            id=new_id("inv", self._clock),
            organization_id=party.organization.id,
            email=address.text,
            email_key=address.key,
            role=role,
            project_id="",
            project_name="",
            project_role="",
            inviter_id=party.subject,
            created_at=party.now,
            expires_at=_expiry(party.now, end),
            membership_expires_at=end,
        )

    async def _invite(self, party: Party, invitation: Invitation) -> InvitationMessage:
        party.check_shared()
        sender = await self._sender(party)
        if await self._store.others(invitation, at=party.now) >= MOST_OPEN:
            message = f"The organisation has {MOST_OPEN} open invitations: withdraw some, or wait for answers."
            raise Conflict(message, reason="too_many_invitations")
        token = _new_token()
        await self._store.add(invitation, digest(token))
        return await self._send(party, invitation, token, sender)

    async def _sender(self, party: Party) -> str:
        """The address that the mail says it comes from, "" for a service account.

        Raises:
            Denied: it is unproved, so that nobody makes us write to strangers without showing who it is; of a service
                account, for which the owner of the organisation answers, the owner's is.
        """
        program = not party.subject.startswith("usr_")
        answers = await self._members.lasting_owner(party.organization.id) if program else party.subject
        address = await self._members.address(answers) if answers else ""
        if not address:
            message = "Confirm your own e-mail address first: the invitation names it."
            if program:
                message = "The owner of the organisation has to confirm its own e-mail address first."
            raise Denied(message, reason="email_not_verified")
        return "" if program else address

    async def _send(self, party: Party, invitation: Invitation, token: str, sender: str) -> InvitationMessage:
        # Service accounts count together: whoever makes one makes a hundred.
        sends = party.subject if sender else party.organization.id
        if not await self._throttles.may_invite(sends):
            message = f"You have sent {INVITATIONS_BY} invitations within an hour: go on later."
            raise Exhausted(message, reason="too_many_invitations", retry_after=MAIL_WINDOW.total_seconds())
        if await self._throttles.may_be_invited(Address(invitation.email, invitation.email_key)):
            self._mails.invitation(invitation.email, token, sender, party.organization.name, invitation.project_name)
        events.add(
            InvitationCreated(
                organization_id=invitation.organization_id,
                invitation_id=invitation.id,
                inviter_id=invitation.inviter_id,
                role=invitation.role,
                created_at=party.now,
            )
        )
        return _message(invitation)

    async def _open(self, party: Party, invitation_id: str) -> Invitation:
        found = await self._store.invitation(party.organization.id, invitation_id, at=party.now)
        if found is None:
            raise NotFound("The organisation has no such open invitation.", reason="invitation_not_found")
        return found


def _expiry(now: datetime, membership_expires_at: datetime | None) -> datetime:
    """No invitation outlives the membership that it leads to."""
    until = now + LIFE
    return until if membership_expires_at is None else min(until, membership_expires_at)


def _new_token() -> str:
    return _TOKEN_PREFIX + secrets.token_urlsafe(32)


def _message(invitation: Invitation) -> InvitationMessage:
    return InvitationMessage(
        id=invitation.id,
        organization_id=invitation.organization_id,
        email=invitation.email,
        role=invitation.role,
        project_id=invitation.project_id,
        project_role=invitation.project_role,
        inviter_id=invitation.inviter_id,
        created_at=invitation.created_at,
        expires_at=invitation.expires_at,
        membership_expires_at=invitation.membership_expires_at,
    )
