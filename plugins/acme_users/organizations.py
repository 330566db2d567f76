"""Organisations."""

from __future__ import annotations

from datetime import datetime

from acme import Pages, authorise, page_size
from acme.contracts.users.v1 import (
    ListOrganizationsReply,
    ListOrganizationsRequest,
    Organization,
    OrganizationsBase,
)
from acme_users.store import EARLIEST, AccountStore


class Organizations(OrganizationsBase):
    """Keeps the contract `acme.users.v1.Organizations`."""

    def __init__(self, store: AccountStore, pages: Pages) -> None:
        self._store, self._pages = store, pages

    async def list_organizations(self, message: ListOrganizationsRequest) -> ListOrganizationsReply:
        """Raises `Malformed` for a page token that was altered, or made for somebody else."""
        user_id = authorise.own("organizations.read")
        position = self._pages.open(message.page_token)
        after = (datetime.fromisoformat(position[0]), str(position[1])) if position else EARLIEST
        size = page_size(message.page_size)
        rows = await self._store.memberships(user_id, after=after, limit=size + 1)
        last = rows[size - 1] if len(rows) > size else None
        return ListOrganizationsReply(
            organizations=[
                Organization(
                    id=row.id,
                    name=row.name,
                    role=row.role,
                    personal=row.personal,
                    region=row.region,
                    created_at=row.created_at,
                    version=row.version,
                )
                for row in rows[:size]
            ],
            next_page_token="" if last is None else self._pages.seal([last.joined_at.isoformat(), last.id]),
        )
