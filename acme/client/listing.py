"""Lists: what comes page by page, item by item."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

ReplyT = TypeVar("ReplyT")
ItemT = TypeVar("ItemT")


class Listing(Generic[ReplyT, ItemT]):
    """A list that nothing has been read of yet. Each iteration reads it anew, a page when one is needed.

    What is added or taken away meanwhile may be seen or not; nothing else is seen twice, and nothing is passed over.
    """

    def __init__(self, page: Callable[[str], Awaitable[Any]], items: str, token: str = "") -> None:
        """`page` reads the page of a token, whose field `items` holds what the list is of."""
        self._page, self._items, self._token = page, items, token

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        async for page in self.pages():
            items: Sequence[ItemT] = getattr(page, self._items)
            for item in items:
                yield item

    async def pages(self) -> AsyncIterator[ReplyT]:
        """Page by page, as the platform gives them."""
        token = self._token
        while True:
            page = await self._page(token)
            yield page
            token = page.next_page_token
            if not token:
                return

    async def page(self) -> ReplyT:
        """The first page alone."""
        reply: ReplyT = await self._page(self._token)
        return reply
