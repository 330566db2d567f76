"""Service accounts: programs that are members of an organisation, and their access tokens.

Whoever holds a token of a service account may do what its role includes. So nobody makes one, or a token of one, whose role
includes what it may not do itself; and nobody deletes or cuts off one that may do more.
"""

from __future__ import annotations

from typing import Final

from acme import Clock, Conflict, NotFound, Pages, authorise, events, new_id, page_size
from acme.contracts.users.v1 import (
    CreateServiceAccountRequest,
    CreateServiceAccountTokenRequest,
    DeleteServiceAccountReply,
    DeleteServiceAccountRequest,
    DeleteServiceAccountTokenRequest,
    DeleteTokenReply,
    ListServiceAccountsReply,
    ListServiceAccountsRequest,
    ListServiceAccountTokensRequest,
    ListTokensReply,
    NewToken,
    ServiceAccountChanged,
    ServiceAccountsBase,
)
from acme.contracts.users.v1 import ServiceAccount as ServiceAccountMessage
from acme_users import projects
from acme_users.minting import PROGRAM, Minting, revoke_tokens
from acme_users.standing import Parties, included
from acme_users.store import AuthorityStore, ServiceAccount, ServiceAccountStore, TokenStore

MOST: Final = 100
"""Service accounts of an organisation; one more is refused (409)."""

_MANAGE: Final = "organizations.service_accounts.manage"
_READ: Final = "organizations.service_accounts.read"


class ServiceAccounts(ServiceAccountsBase):
    """Keeps the contract `acme.users.v1.ServiceAccounts`."""

    def __init__(
        self,
        store: ServiceAccountStore,
        minting: Minting,
        tokens: TokenStore,
        parties: Parties,
        authority: AuthorityStore,
        clock: Clock,
        pages: Pages,
    ) -> None:
        self._store, self._minting, self._tokens = store, minting, tokens
        self._parties, self._authority, self._clock, self._pages = parties, authority, clock, pages

    async def create_service_account(self, message: CreateServiceAccountRequest) -> ServiceAccountMessage:
        """Raises `Invalid` or `NotFound` for what is no role, `Denied` for one that includes what the caller may not do, and
        `Conflict` when the organisation has `MOST` already."""
        party = await self._parties.enter(_MANAGE, message.organization_id)
        party.check_gives(await self._parties.granted(message.organization_id, message.role))
        if await self._store.count(message.organization_id) >= MOST:
            raise Conflict(f"The organisation has {MOST} service accounts: delete one first.", reason="too_many")
        account = ServiceAccount(
            id=new_id("sva", self._clock),
            organization_id=message.organization_id,
            name=message.name,
            role=message.role,
            permissions=(),
            created_at=party.now,
            version=1,
        )
        await self._store.add(account)
        self._tell(account, "created")
        return _message(account)

    async def list_service_accounts(self, message: ListServiceAccountsRequest) -> ListServiceAccountsReply:
        """Raises `Malformed` for a page token that was altered, or made for another list."""
        organization_id = message.organization_id
        authorise(_READ, organization=organization_id)
        after = self._pages.open(message.page_token, organization_id) or ""
        size = page_size(message.page_size)
        rows = await self._store.accounts(organization_id, after=after, limit=size + 1)
        token = self._pages.seal(rows[size - 1].id, organization_id) if len(rows) > size else ""
        return ListServiceAccountsReply(service_accounts=[_message(row) for row in rows[:size]], next_page_token=token)

    async def delete_service_account(self, message: DeleteServiceAccountRequest) -> DeleteServiceAccountReply:
        """Ends its tokens with it, and takes it out of all projects afterwards; one that is deleted stays so.

        Raises:
            NotFound: the organisation has no such service account.
            Denied: its role includes what the caller may not do itself.
        """
        party = await self._parties.enter(_MANAGE, message.organization_id)
        account = await self._store.account(message.organization_id, message.id)
        if account is None:
            raise _none()
        if account.deleted_at is not None:
            return DeleteServiceAccountReply()
        party.check_touches(included(account.standing))
        await self._store.delete(account.id, at=party.now)
        self._tell(account, "deleted")
        projects.leave(account.organization_id, account.id, at=party.now)
        await revoke_tokens(self._tokens, self._authority, account.id, at=party.now)
        await self._authority.announce(grants_of=account.id, at=party.now)
        return DeleteServiceAccountReply()

    async def create_service_account_token(self, message: CreateServiceAccountTokenRequest) -> NewToken:
        """Raises as `Tokens.create_token`, and

        Raises:
            NotFound: the organisation has no such service account.
            Denied: its role includes what the caller may not do itself.
        """
        party = await self._parties.enter(_MANAGE, message.organization_id)
        account = await self._account(message.organization_id, message.id)
        party.check_gives(included(account.standing))
        return await self._minting.make(account.id, PROGRAM, message.name, message.scopes, message.expires_in_days)

    async def list_service_account_tokens(self, message: ListServiceAccountTokensRequest) -> ListTokensReply:
        """Raises `NotFound`, and `Malformed` for a page token that was altered, or made for another list."""
        authorise(_READ, organization=message.organization_id)
        account = await self._account(message.organization_id, message.id)
        return await self._minting.page(account.id, message.page_size, message.page_token)

    async def delete_service_account_token(self, message: DeleteServiceAccountTokenRequest) -> DeleteTokenReply:
        """Raises `NotFound`, and `Denied` where the service account may do more than the caller."""
        party = await self._parties.enter(_MANAGE, message.organization_id)
        account = await self._account(message.organization_id, message.id)
        party.check_touches(included(account.standing))
        await self._minting.revoke(account.id, message.token_id)
        return DeleteTokenReply()

    async def _account(self, organization_id: str, account_id: str) -> ServiceAccount:
        account = await self._store.account(organization_id, account_id)
        if account is None or account.deleted_at is not None:
            raise _none()
        return account

    def _tell(self, account: ServiceAccount, change: str) -> None:
        events.add(
            ServiceAccountChanged(
                organization_id=account.organization_id,
                service_account_id=account.id,
                change=change,
                changed_at=self._clock.now(),
            )
        )


def _message(account: ServiceAccount) -> ServiceAccountMessage:
    return ServiceAccountMessage(
        id=account.id,
        organization_id=account.organization_id,
        name=account.name,
        role=account.role,
        created_at=account.created_at,
        version=account.version,
    )


def _none() -> NotFound:
    return NotFound("The organisation has no such service account.", reason="service_account_not_found")
