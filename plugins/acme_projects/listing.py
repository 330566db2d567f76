"""Lists of projects, and searches by name and description."""

from __future__ import annotations

from acme import Clock, Fault, Invalid, Pages, authorise, filters, page_size
from acme.contracts.projects.v1 import ListProjectsReply, ListProjectsRequest
from acme_projects.access import covered
from acme_projects.store import FIELDS, ORDERS, ListStore, Wanted

SHORTEST = 3
"""Letters and digits that a search needs: with fewer, too much is alike."""


class Listing:
    """What `ListProjects` does."""

    def __init__(self, store: ListStore, clock: Clock, pages: Pages) -> None:
        self._store, self._clock, self._pages = store, clock, pages

    async def list(self, message: ListProjectsRequest) -> ListProjectsReply:
        """One page of what the caller may see.

        Raises:
            Invalid: filter, order or query cannot be used; the fault says why.
            Malformed: a page token that was altered, or made for somebody else or another list.
        """
        read, deleted = authorise.scope("projects.read"), covered("projects.delete")
        wanted = Wanted(
            query=_query(message.query),
            where=filters.parse(message.filter, FIELDS),
            order=filters.parse_order(message.order_by, ORDERS),
            deleted=message.show_deleted,
        )
        asked = (message.query, message.filter, message.order_by, str(message.show_deleted))
        after = self._pages.open(message.page_token, *asked)
        size = page_size(message.page_size)
        listed = await self._store.list(
            wanted, read=read, deleted=deleted, at=self._clock.now(), after=after, limit=size + 1
        )
        token = self._pages.seal(listed[size - 1].position, *asked) if len(listed) > size else ""
        return ListProjectsReply(projects=[one.project for one in listed[:size]], next_page_token=token)


def _query(text: str) -> str:
    query = " ".join(text.split())
    if text and sum(character.isalnum() for character in query) < SHORTEST:
        message = f"Search for {SHORTEST} letters or digits at least."
        raise Invalid(message, reason="invalid_query", faults=[Fault("/query", "min_length", message)])
    return query
