"""Transfer of ownership: offered by an owner, accepted by another member within 24 hours."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from acme import Conflict, NotFound, events
from acme.contracts.users.v1 import (
    AcceptOrganizationTransferRequest,
    CancelOrganizationTransferReply,
    CancelOrganizationTransferRequest,
    OrganizationTransfer,
    OrganizationTransferred,
    TransferOrganizationRequest,
)
from acme_users.mails import Mails
from acme_users.standing import Parties, Party
from acme_users.store import AuthorityStore, MemberStore, Offer, OrganizationStore

OFFER_LIFE: Final = timedelta(hours=24)
"""For so long ownership can be taken on."""

TRANSFER: Final = "organizations.transfer"


class Transfers:
    """Keeps what the contract `acme.users.v1.Organizations` says about ownership."""

    def __init__(
        self,
        store: OrganizationStore,
        members: MemberStore,
        parties: Parties,
        authority: AuthorityStore,
        mails: Mails,
    ) -> None:
        self._store, self._members, self._parties = store, members, parties
        self._authority, self._mails = authority, mails

    async def offer(self, message: TransferOrganizationRequest) -> OrganizationTransfer:
        """Raises `NotFound` for no member, `Conflict` for oneself, and in the personal organisation."""
        party = await self._parties.enter(TRANSFER, message.id)
        party.check_shared()
        if message.user_id == party.subject:
            raise Conflict("You are the owner already: offer it to another member.", reason="transfer_to_oneself")
        if await self._members.standing(message.id, message.user_id, at=party.now) is None:
            raise NotFound("The organisation has no such member.", reason="member_not_found")
        offer = Offer(message.id, party.subject, message.user_id, party.now + OFFER_LIFE)
        await self._store.offer(offer)
        if to := await self._members.address(message.user_id):
            self._mails.ownership_offered(to, party.organization.name, message.id)
        return OrganizationTransfer(organization_id=message.id, user_id=message.user_id, expires_at=offer.expires_at)

    async def accept(self, message: AcceptOrganizationTransferRequest) -> Party:
        """Makes the caller an owner for good, and whoever offered it an admin.

        Raises:
            NotFound: nothing is offered to the caller, or it was more than 24 hours ago.
            Conflict: whoever offered it is no owner any more.
        """
        party = await self._parties.enter_as_oneself("organizations.accept_transfer", message.id)
        offer = await self._store.offered(message.id, at=party.now)
        if offer is None or offer.to_user_id != party.subject:
            raise NotFound("Nobody offers you this organisation, or not any more.", reason="no_transfer")
        giver = await self._members.member(message.id, offer.from_user_id, at=party.now)
        if giver is None or giver.role != "owner":
            raise Conflict("Whoever offered it does not own the organisation any more.", reason="transfer_void")
        await self._members.change(message.id, party.subject, role="owner", expires_at=None)
        await self._members.change(message.id, giver.user_id, role="admin", expires_at=giver.expires_at)
        await self._store.withdraw(message.id)
        events.add(
            OrganizationTransferred(
                organization_id=message.id,
                from_user_id=giver.user_id,
                to_user_id=party.subject,
                transferred_at=party.now,
            )
        )
        for user_id in (giver.user_id, party.subject):
            await self._authority.announce(grants_of=user_id, at=party.now)
        return party

    async def cancel(self, message: CancelOrganizationTransferRequest) -> CancelOrganizationTransferReply:
        """By whoever offered it, whoever it was offered to, and every owner; for the others there is no offer to cancel."""
        party = await self._parties.enter_as_oneself("organizations.accept_transfer", message.id)
        offer = await self._store.offered(message.id, at=party.now)
        if offer is not None and (party.subject in (offer.from_user_id, offer.to_user_id) or TRANSFER in party.may):
            await self._store.withdraw(message.id)
        return CancelOrganizationTransferReply()
