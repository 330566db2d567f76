"""Organisations. Their members are in members.py, offers of ownership in transfers.py; the contract has all of it in one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from acme import Clock, NotFound, Pages, authorise, current, events, new_id, page_size
from acme.contracts.users.v1 import (
    AcceptOrganizationTransferRequest,
    CancelOrganizationTransferReply,
    CancelOrganizationTransferRequest,
    CreateOrganizationRequest,
    GetOrganizationRequest,
    LeaveOrganizationReply,
    LeaveOrganizationRequest,
    ListMembersReply,
    ListMembersRequest,
    ListOrganizationsReply,
    ListOrganizationsRequest,
    Member,
    Organization,
    OrganizationCreated,
    OrganizationsBase,
    OrganizationTransfer,
    OrganizationUpdated,
    RemoveMemberReply,
    RemoveMemberRequest,
    TransferOrganizationRequest,
    UpdateMemberRequest,
    UpdateOrganizationRequest,
)
from acme_users.changes import expect, named
from acme_users.members import Members
from acme_users.standing import Parties, check_room
from acme_users.store import EARLIEST, AuthorityStore, OrganizationStore
from acme_users.store.organizations import Organization as Row
from acme_users.transfers import Transfers

MUTABLE: Final = ("name", "default_role")
"""Fields that an update mask may name."""
DEFAULT_ROLE: Final = "viewer"
"""What members may do in projects they are not in, unless the organisation says otherwise."""


class Organizations(OrganizationsBase):
    """Keeps the contract `acme.users.v1.Organizations`."""

    def __init__(
        self,
        store: OrganizationStore,
        parties: Parties,
        members: Members,
        transfers: Transfers,
        authority: AuthorityStore,
        clock: Clock,
        pages: Pages,
        region: str,
    ) -> None:
        self._store, self._parties, self._members, self._transfers = store, parties, members, transfers
        self._authority, self._clock, self._pages, self._region = authority, clock, pages, region

    async def list_organizations(self, message: ListOrganizationsRequest) -> ListOrganizationsReply:
        """Raises `Malformed` for a page token that was altered, or made for somebody else."""
        user_id = authorise.own("organizations.read")
        position = self._pages.open(message.page_token)
        after = (datetime.fromisoformat(position[0]), str(position[1])) if position else EARLIEST
        size = page_size(message.page_size)
        rows = await self._store.joined(user_id, after=after, at=self._clock.now(), limit=size + 1)
        last = rows[size - 1] if len(rows) > size else None
        position = None if last is None else [last.joined_at.isoformat(), last.organization.id]
        return ListOrganizationsReply(
            organizations=[_message(row.organization, row.role) for row in rows[:size]],
            next_page_token="" if position is None else self._pages.seal(position),
        )

    async def create_organization(self, message: CreateOrganizationRequest) -> Organization:
        """Raises `Conflict` for somebody who belongs to as many as anybody may."""
        owner_id = authorise.own("organizations.create")
        now = self._clock.now()
        await check_room(self._store, owner_id, now)
        made = Row(
            id=new_id("org", self._clock),
            name=message.name,
            personal=False,
            region=self._region,
            created_at=now,
            version=1,
            default_role=message.default_role or DEFAULT_ROLE,
            updated_at=now,
        )
        await self._store.create(made, owner_id=owner_id)
        events.add(OrganizationCreated(organization_id=made.id, owner_id=owner_id, region=made.region, created_at=now))
        await self._authority.announce(grants_of=owner_id, at=now)
        return _message(made, "owner")

    async def get_organization(self, message: GetOrganizationRequest) -> Organization:
        authorise("organizations.read", organization=message.id)
        principal = current().principal
        found = await self._store.organization(message.id, principal.id, at=self._clock.now())
        if found is None:
            raise NotFound("There is no such organisation, or you may not see it.")
        organization, role = found
        return _message(organization, role or principal.memberships[message.id].role)

    async def update_organization(self, message: UpdateOrganizationRequest) -> Organization:
        """Sets the fields that the mask names; what is as wanted already makes no new version.

        Raises:
            Invalid: the mask names a field that nobody can set.
            Stale: the organisation has another version than `if_match`.
            Denied: the default role includes what the caller may not do itself: it is given to all members.
        """
        party = await self._parties.enter("organizations.update", message.id)
        organization = party.organization
        wanted = {path: getattr(message, path) for path in named(message.update_mask, MUTABLE)}
        expect(message.if_match, organization.version, "organisation")
        changed = replace(organization, **wanted)
        if changed.default_role != organization.default_role:
            party.check_gives(authorise.role(changed.default_role))
        if changed != organization:
            changed = await self._store.change(
                organization.id, name=changed.name, default_role=changed.default_role, at=party.now
            )
            events.add(OrganizationUpdated(organization_id=changed.id, version=changed.version, updated_at=party.now))
            if changed.default_role != organization.default_role:
                await self._authority.announce(organization_id=changed.id, at=party.now)
        return _message(changed, party.role)

    # ---- ownership ----------------------------------------------------------------------------------------------

    async def transfer_organization(self, message: TransferOrganizationRequest) -> OrganizationTransfer:
        return await self._transfers.offer(message)

    async def accept_organization_transfer(self, message: AcceptOrganizationTransferRequest) -> Organization:
        party = await self._transfers.accept(message)
        return _message(party.organization, "owner")

    async def cancel_organization_transfer(
        self, message: CancelOrganizationTransferRequest
    ) -> CancelOrganizationTransferReply:
        return await self._transfers.cancel(message)

    # ---- members ------------------------------------------------------------------------------------------------

    async def leave_organization(self, message: LeaveOrganizationRequest) -> LeaveOrganizationReply:
        return await self._members.leave(message)

    async def list_members(self, message: ListMembersRequest) -> ListMembersReply:
        return await self._members.list_members(message)

    async def update_member(self, message: UpdateMemberRequest) -> Member:
        return await self._members.update_member(message)

    async def remove_member(self, message: RemoveMemberRequest) -> RemoveMemberReply:
        return await self._members.remove_member(message)


def _message(organization: Row, role: str) -> Organization:
    return Organization(
        id=organization.id,
        name=organization.name,
        role=role,
        personal=organization.personal,
        region=organization.region,
        created_at=organization.created_at,
        version=organization.version,
        default_role=organization.default_role,
        updated_at=organization.updated_at,
    )
