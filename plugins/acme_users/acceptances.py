"""Accepting invitations.

Whoever sent it last answers for it: at the moment of accepting, its membership must still include that it may invite, and
all that the invited role includes. (For an invitation to a project the projects service asks the same of the role there.)

Somebody who is a member already loses nothing by accepting: the membership stays as it is, unless the invited role includes
the present one; then it is the invited one, until the later end of the two. Nothing changes for a member who invited
itself: nobody prolongs a membership of its own.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import NoReturn

from acme import Clock, Conflict, Denied, Fault, Invalid, NotFound, audit, authorise, events
from acme.contracts.users.v1 import (
    AcceptInvitationReply,
    AcceptInvitationRequest,
    InvitationAccepted,
    OrganizationMemberAdded,
    OrganizationMemberUpdated,
)
from acme_users import projects
from acme_users.members import INVITE, end
from acme_users.standing import Parties, check_room, included
from acme_users.store import (
    AuthorityStore,
    Invitation,
    InvitationStore,
    Member,
    MemberStore,
    OrganizationStore,
)


class Acceptances:
    """Keeps what the contract `acme.users.v1.Invitations` says about accepting."""

    def __init__(
        self,
        store: InvitationStore,
        organizations: OrganizationStore,
        members: MemberStore,
        parties: Parties,
        authority: AuthorityStore,
        clock: Clock,
    ) -> None:
        self._store, self._organizations, self._members, self._parties = store, organizations, members, parties
        self._authority, self._clock = authority, clock

    async def accept(self, message: AcceptInvitationRequest) -> AcceptInvitationReply:
        """Uses the token up. Of two who come with it at once, the second finds it void.

        Raises:
            Invalid: the token is unknown, used, withdrawn, replaced or expired: one answer for all of them.
            Denied: the caller has not proved the address that was invited.
            Conflict: whoever sent it may not give this role any more, or the role is gone; or the caller belongs to as many
                organisations as anybody may.
        """
        user_id = authorise.own("invitations.accept")
        hashed = digest(message.token)
        invitation = await self._store.open(hashed, at=self._clock.now())
        if invitation is None:
            _void()
        if await self._members.hold_address(user_id) != invitation.email_key:
            message_text = "The invitation went to another address: log in with the account that has proved that one."
            raise Denied(message_text, reason="invitation_for_another_address")
        await self._organizations.lock(invitation.organization_id)
        now = self._clock.now()
        taken = await self._store.take(hashed, at=now)
        if taken is None:
            _void()
        audit.about(organization=taken.organization_id, target=taken.id)
        granted = await self._recheck(taken, now)
        role = await self._join(taken, granted, user_id, now)
        events.add(
            InvitationAccepted(
                organization_id=taken.organization_id, invitation_id=taken.id, user_id=user_id, accepted_at=now
            )
        )
        if taken.project_id:
            projects.join(projects.Joining(taken.project_id, user_id, taken.project_role, taken.id, taken.inviter_id))
        await self._authority.announce(grants_of=user_id, at=now)
        return AcceptInvitationReply(organization_id=taken.organization_id, role=role, project_id=taken.project_id)

    async def _recheck(self, invitation: Invitation, now: datetime) -> frozenset[str]:
        """What the invited role includes, now, if whoever sent the invitation may still give it.

        Raises:
            Conflict: it may not, or the role is gone.
        """
        try:
            granted = await self._parties.granted(invitation.organization_id, invitation.role)
        except NotFound as error:
            raise Conflict("The role you were invited to is gone: ask for another one.", reason="role_gone") from error
        inviter = await self._members.standing(invitation.organization_id, invitation.inviter_id, at=now)
        may = frozenset() if inviter is None else included(inviter)
        if inviter is None or not granted <= may or not (invitation.project_id or INVITE in may):
            message = "Whoever invited you may not do so any more: ask another member to invite you."
            raise Conflict(message, reason="inviter_not_allowed")
        return granted

    async def _join(self, invitation: Invitation, granted: frozenset[str], user_id: str, now: datetime) -> str:
        """Makes the caller a member, if it is none, and returns the role it has from now on."""
        organization_id = invitation.organization_id
        member = await self._members.member(organization_id, user_id, at=now)
        if member is not None:
            return await self._advance(invitation, granted, member, now)
        await check_room(self._organizations, user_id, now)
        for former in await self._members.expired(organization_id, at=now, limit=1, user_id=user_id):
            await end(self._members, organization_id, former, "expired", at=now)
        expires_at = invitation.membership_expires_at
        await self._members.add(organization_id, user_id, invitation.role, expires_at=expires_at, at=now)
        events.add(
            OrganizationMemberAdded(
                organization_id=organization_id, user_id=user_id, role=invitation.role, joined_at=now
            )
        )
        return invitation.role

    async def _advance(self, invitation: Invitation, granted: frozenset[str], member: Member, now: datetime) -> str:
        """The role of a member who accepts."""
        if invitation.inviter_id == member.user_id or not included(member) <= granted:
            return member.role
        ends = (member.expires_at, invitation.membership_expires_at)
        expires_at = None if None in ends else max(moment for moment in ends if moment is not None)
        if (invitation.role, expires_at) != (member.role, member.expires_at):
            await self._members.change(
                invitation.organization_id, member.user_id, role=invitation.role, expires_at=expires_at
            )
            events.add(
                OrganizationMemberUpdated(
                    organization_id=invitation.organization_id,
                    user_id=member.user_id,
                    role=invitation.role,
                    updated_at=now,
                )
            )
        return invitation.role


def digest(token: str) -> bytes:
    """What is stored of a token. 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def _void() -> NoReturn:
    message = "The token is unknown, used or expired: ask to be invited again."
    raise Invalid(message, reason="token_invalid", faults=[Fault("/token", "token_invalid", message)])
