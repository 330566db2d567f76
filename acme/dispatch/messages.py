"""What a caller sends, message by message: the callee pulls, and what it does not pull is not made.

The caller's code that makes the messages runs in the caller's context, whoever pulls. When it fails, the callee is cancelled
and never hears why, nor takes half of the messages for all of them: as it is when a connection breaks. The caller gets its
own error back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextvars import Context, copy_context
from typing import Any

from acme.dispatch import status
from acme.dispatch.drive import Driven


class Messages(AsyncIterator[Any]):
    """The messages of one call, in the form that its placement carries. Made where the caller is."""

    __slots__ = ("_context", "_source", "_turns", "failure", "pulled")

    def __init__(self, source: AsyncIterator[Any], context: Context | None = None) -> None:
        """`context` is what `source` runs in; `None` when it makes no difference."""
        self._source, self._context = source, context
        self._turns: list[Callable[[Any], Any]] = []
        self.failure: BaseException | None = None
        """Why there are no more messages, when that is not the end."""
        self.pulled = False
        """Whether anything has been asked for: if so, the messages cannot be had once more."""

    @classmethod
    def of(cls, messages: AsyncIterable[Any] | Iterable[Any]) -> Messages:
        """Of what a stub takes. Runs in a copy of the context that is current."""
        source = aiter(messages) if isinstance(messages, AsyncIterable) else _plain(messages)
        return cls(source, copy_context())

    def turned(self, turn: Callable[[Any], Any]) -> Messages:
        """The same, each message changed by `turn` before it leaves the caller."""
        self._turns.append(turn)
        return self

    async def __anext__(self) -> Any:
        if self.failure is not None:
            raise asyncio.CancelledError
        self.pulled = True
        step: Any = self._source.__anext__()
        message, self.failure = await status.kept(
            step if self._context is None else Driven(self._context, step), self._turns
        )
        if self.failure is not None:
            raise asyncio.CancelledError
        return message

    async def aclose(self) -> None:
        """Ends the caller's code: nobody pulls any more."""
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await (close() if self._context is None else Driven(self._context, close()))


async def _plain(messages: Iterable[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message
