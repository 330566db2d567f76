"""Members of organisations: the list, their roles, and how a membership ends.

An organisation always has an owner whose membership has no end. Whoever would take the last one's away, by whatever way,
is refused; the row lock on the organisation makes two who try at once take turns.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from acme import Clock, Conflict, Denied, NotFound, Pages, Resources, audit, authorise, events, page_size, work
from acme.contracts.users.v1 import Found as FoundMessage
from acme.contracts.users.v1 import (
    LeaveOrganizationReply,
    LeaveOrganizationRequest,
    ListMembersReply,
    ListMembersRequest,
    LookUpMembersReply,
    LookUpMembersRequest,
    MembershipBase,
    OrganizationMemberRemoved,
    OrganizationMemberUpdated,
    RemoveMemberReply,
    RemoveMemberRequest,
    UpdateMemberRequest,
)
from acme.contracts.users.v1 import Member as MemberMessage
from acme_users import projects
from acme_users.authority import membership_of
from acme_users.changes import expect, named
from acme_users.standing import Parties, Party, future, included
from acme_users.store import EARLIEST, AuthorityStore, GrantStore, Member, MemberStore, OrganizationStore

MUTABLE: Final = ("role", "expires_at")
"""Fields of a member that an update mask may name."""
INVITE: Final = "organizations.invitations.create"
"""Permission of those who are shown members' addresses."""
BATCH: Final = 100
"""Memberships that one transaction of the job `memberships` ends, and organisations it looks at in one round."""


class Members:
    """Keeps what the contract `acme.users.v1.Organizations` says about members."""

    def __init__(
        self, store: MemberStore, parties: Parties, authority: AuthorityStore, clock: Clock, pages: Pages
    ) -> None:
        self._store, self._parties, self._authority = store, parties, authority
        self._clock, self._pages = clock, pages

    async def list_members(self, message: ListMembersRequest) -> ListMembersReply:
        """Raises `Malformed` for a page token that was altered, or made for another list."""
        organization_id = message.organization_id
        authorise("organizations.members.read", organization=organization_id)
        position = self._pages.open(message.page_token, organization_id)
        after = (datetime.fromisoformat(position[0]), str(position[1])) if position else EARLIEST
        size = page_size(message.page_size)
        rows = await self._store.members(organization_id, after=after, at=self._clock.now(), limit=size + 1)
        last = rows[size - 1] if len(rows) > size else None
        position = None if last is None else [last.joined_at.isoformat(), last.user_id]
        addresses = INVITE in authorise.permissions(organization_id)
        return ListMembersReply(
            members=[_message(organization_id, row, addresses=addresses) for row in rows[:size]],
            next_page_token="" if position is None else self._pages.seal(position, organization_id),
        )

    async def update_member(self, message: UpdateMemberRequest) -> MemberMessage:
        """Sets the fields that the mask names.

        Raises:
            NotFound: the organisation has no such member, or no such role.
            Denied: the member may do more than the caller, or would; or the caller would prolong its own membership.
            Invalid: the role is none, or the end has passed.
            Stale: the member has another version than `if_match`.
            Conflict: the last owner whose membership has no end stays so.
        """
        party = await self._parties.enter("organizations.members.update", message.organization_id)
        paths = named(message.update_mask, MUTABLE)
        member = await self._member(party, message.user_id)
        party.check_touches(included(member))
        expect(message.if_match, member.version, "membership")
        role, end = member.role, member.expires_at
        if "role" in paths:
            role = message.role
            party.check_gives(await self._parties.granted(party.organization.id, role))
        if "expires_at" in paths:
            end = future(message.expires_at, "expires_at", party.now)
            if member.user_id == party.subject and _later(end, member.expires_at):
                raise Denied("Nobody prolongs a membership of their own: ask another member.", reason="own_membership")
        if (role, end) != (member.role, member.expires_at):
            if role != "owner" or end is not None:
                await self._check_owner_remains(party, member)
            await self._store.change(party.organization.id, member.user_id, role=role, expires_at=end)
            member = await self._member(party, member.user_id)
            events.add(
                OrganizationMemberUpdated(
                    organization_id=party.organization.id, user_id=member.user_id, role=role, updated_at=party.now
                )
            )
            await self._authority.announce(grants_of=member.user_id, at=party.now)
        return _message(party.organization.id, member, addresses=INVITE in party.may)

    async def remove_member(self, message: RemoveMemberRequest) -> RemoveMemberReply:
        """Raises `NotFound` for no member, `Denied` for one who may do more, `Conflict` for the last owner."""
        party = await self._parties.enter("organizations.members.remove", message.organization_id)
        member = await self._member(party, message.user_id)
        party.check_touches(included(member))
        await self._end(party, member, "removed")
        return RemoveMemberReply()

    async def leave(self, message: LeaveOrganizationRequest) -> LeaveOrganizationReply:
        """Raises `Conflict` for the last owner, and for everybody in the personal organisation."""
        party = await self._parties.enter_as_oneself("organizations.leave", message.id)
        party.check_shared()
        await self._end(party, await self._member(party, party.subject), "left")
        return LeaveOrganizationReply()

    async def _end(self, party: Party, member: Member, reason: str) -> None:
        await self._check_owner_remains(party, member)
        await end(self._store, party.organization.id, member.user_id, reason, at=party.now)
        await self._authority.announce(grants_of=member.user_id, at=party.now)

    async def _member(self, party: Party, user_id: str) -> Member:
        member = await self._store.member(party.organization.id, user_id, at=party.now)
        if member is None:
            raise NotFound("The organisation has no such member.", reason="member_not_found")
        return member

    async def _check_owner_remains(self, party: Party, member: Member) -> None:
        """Returns when the organisation has an owner without this one."""
        if member.role != "owner" or member.expires_at is not None:
            return
        if await self._store.lasting_owner(party.organization.id, but=member.user_id) is None:
            message = "Nobody else owns the organisation for good: make somebody an owner first, or transfer it."
            raise Conflict(message, reason="last_owner")


class Membership(MembershipBase):
    """Keeps the contract `acme.users.v1.Membership`."""

    def __init__(self, store: MemberStore, grants: GrantStore, clock: Clock) -> None:
        self._store, self._grants, self._clock = store, grants, clock

    async def look_up_members(self, message: LookUpMembersRequest) -> LookUpMembersReply:
        """Those that belong to the organisation, each with what it is there. Teams alone are nothing there
        themselves; whoever leaves between the two statements is not found."""
        now, organization = self._clock.now(), message.organization_id
        names = await self._store.look_up(organization, message.ids, at=now)
        grants = await self._grants.within(organization, [subject for subject, _ in names], at=now)
        return LookUpMembersReply(
            found=[
                FoundMessage(
                    id=subject,
                    display_name=name,
                    membership=membership_of(grants[subject]) if subject in grants else None,
                )
                for subject, name in names
                if subject in grants or subject.startswith("tem_")
            ]
        )


async def end(store: MemberStore, organization_id: str, user_id: str, reason: str, *, at: datetime) -> None:
    """Ends a membership in an organisation that is locked: in its teams and projects too. Announce it afterwards."""
    await store.remove(organization_id, user_id)
    events.add(
        OrganizationMemberRemoved(organization_id=organization_id, user_id=user_id, reason=reason, removed_at=at)
    )
    projects.leave(organization_id, user_id, at=at)


async def end_expired(resources: Resources[Any]) -> None:
    """The job `memberships`: takes out members whose membership has ended by itself, which nobody lets in any more."""
    members, authority = MemberStore(resources.database), AuthorityStore(resources.database)
    organizations = OrganizationStore(resources.database)
    while found := await members.organizations_with_expired(at=resources.clock.now(), limit=BATCH):
        for organization_id in found:
            async with work():
                await organizations.lock(organization_id)
                now = resources.clock.now()
                expired = await members.expired(organization_id, at=now, limit=BATCH)
                for user_id in expired:
                    await end(members, organization_id, user_id, "expired", at=now)
                    audit.add("users.memberships.expire", organization=organization_id, targets=[user_id])
                for user_id in expired:
                    await authority.announce(grants_of=user_id, at=now)


def _later(end: datetime | None, than: datetime | None) -> bool:
    """Whether a membership with one end outlasts one with the other; `None` is no end."""
    return than is not None and (end is None or end > than)


def _message(organization_id: str, member: Member, *, addresses: bool) -> MemberMessage:
    return MemberMessage(
        organization_id=organization_id,
        user_id=member.user_id,
        display_name=member.display_name,
        email=member.email if addresses else "",
        role=member.role,
        joined_at=member.joined_at,
        expires_at=member.expires_at,
        version=member.version,
    )
