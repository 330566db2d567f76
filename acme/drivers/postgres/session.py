"""asyncpg's connection, with a short way for statements that it has prepared before.

asyncpg finds a prepared statement through four coroutines and three context managers, which also know of timeouts, loggers
and pools of its own. Here a statement that is ready is bound and executed at once: 47 thousand instructions for a row in
place of 68 (perf stat). The first time, and whenever anything is in the way, asyncpg's own way is taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from asyncpg import exceptions as pg

if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection

_KNOWN: Final = 100
"""Statements that are remembered; asyncpg keeps as many prepared."""
OUTDATED: Final = (pg.InvalidCachedStatementError, pg.OutdatedSchemaCacheError)
"""A migration has changed what a statement returns since it was prepared."""


class Session(_Base):
    """A connection to a database."""

    __slots__ = ("_bind_execute", "_ready", "alive", "in_transaction")

    def __init__(self, protocol: Any, *rest: Any, **named: Any) -> None:
        super().__init__(protocol, *rest, **named)
        self._bind_execute = protocol.bind_execute
        self._ready: dict[str, Any] = {}
        # asyncpg's `is_closed` and `is_in_transaction` ask the same, in five times of the time.
        self.alive: Callable[[], bool] = protocol.is_connected
        self.in_transaction: Callable[[], bool] = protocol.is_in_transaction

    def rows(self, sql: str, args: tuple[Any, ...], most: int) -> Awaitable[Any]:
        """The rows of a statement, the first `most` of them, or all where that is 0.

        Where it raises one of `OUTDATED`, `again` tells what to do.
        """
        state = self._ready.get(sql)
        if state is None or state.closed:
            return self._rows(sql, args, most)
        rows: Awaitable[Any] = self._bind_execute(state, args, "", most, False, None)
        return rows

    async def again(self, error: Exception, sql: str, args: tuple[Any, ...], most: int) -> Any:
        """What `rows` has to be after it raised one of `OUTDATED`: the rows after all, where nothing but its preparation
        was wrong, or else that error."""
        await self.reload_schema_state()
        if isinstance(error, pg.OutdatedSchemaCacheError) or self.is_in_transaction():
            raise error  # it has been executed, or the transaction has failed with it
        return await self._rows(sql, args, most)

    async def _rows(self, sql: str, args: tuple[Any, ...], most: int) -> Any:
        """asyncpg's way, which prepares what is not."""
        asyncpgs: Any = self
        rows = await asyncpgs._execute(sql, args, most, None)
        state = asyncpgs._stmt_cache.get((sql, asyncpgs._protocol.get_record_class(), False), promote=False)
        if state is not None:
            if len(self._ready) >= _KNOWN:
                self._ready.clear()
            self._ready[sql] = state
        return rows
