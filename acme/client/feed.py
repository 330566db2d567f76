"""Streams of events: what comes bit by bit, over as many connections as it takes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Generic, TypeVar

from acme.client.problems import Problem, Unreachable
from acme.client.stream import Events

ReplyT = TypeVar("ReplyT")

PAUSE: Final = 0.5
"""Seconds before asking again, where the platform does not say; doubled each time that nothing comes, up to"""
LONGEST: Final = 15.0
ATTEMPTS: Final = 8
"""Connections in a row of which nothing comes, before it is given up."""

_AGAIN: Final = frozenset({401, 429, 502, 503, 504})
"""Ends of a stream after which another may go on. 401: the access token has expired, and a new one is asked for."""
_NEVER: Final = frozenset({401})
"""The same before the first event: then it proves nothing."""


class Feed(Generic[ReplyT]):
    """A stream that nothing has been read of yet. Each iteration listens anew, from the event after `last`.

    A stream that is interrupted (the connection broke, a gateway stopped, the access token expired) goes on where it was,
    if its method takes the id of the last event; otherwise the iteration ends in `Unreachable`, since something might be
    missing. Leaving the iteration ends the stream: `async with aclosing(aiter(feed))` does so at once.
    """

    def __init__(self, listen: Callable[[str], Awaitable[Events]], *, resumes: bool, last: str = "") -> None:
        """`listen` opens the stream after an event, "" from its beginning. `resumes`: whether it takes that into account."""
        self._listen, self._resumes, self._last = listen, resumes, last

    def after(self, last: str) -> Feed[ReplyT]:
        """The same, from the event after this one."""
        return Feed(self._listen, resumes=self._resumes, last=last)

    async def __aiter__(self) -> AsyncIterator[ReplyT]:
        last, failures, pause = self._last, 0, PAUSE
        while True:
            opened = False
            try:
                async with await self._listen(last) as events:
                    opened = True
                    async for event, reply in events:
                        last, failures = event or last, 0
                        yield reply
                    if events.ended:
                        return
                    pause = events.retry or PAUSE
                    raise Unreachable("the stream was interrupted")
            except (Problem, Unreachable) as error:
                status = error.status if isinstance(error, Problem) else 503
                may = status in _AGAIN and (opened or status not in _NEVER)
                failures += 1
                if not may or not self._resumes or failures >= ATTEMPTS:
                    raise
            await asyncio.sleep(min(pause * 2.0 ** (failures - 1), LONGEST) * random.uniform(0.5, 1.0))
