"""`postgresql://`: a small pool over asyncpg, and asyncpg's only home.

This file is the pool; `session.py` is a connection, `address.py` connects and creates databases, `notices.py` listens to
notifications, `measures.py` says how long everything takes.

    database = await open("postgresql://acme@/users?host=/data/postgres", tasks=tasks)
    async with database.connection() as connection:
        row = await connection.fetchrow("SELECT name FROM users WHERE id = $1", user_id)

Connections are opened as they are needed, lent last in first out (the warm one again, the surplus stays cold) and handed
to waiters first in first out (fair, which bounds the slowest). asyncpg's own pool resets a connection at each return,
one more round trip; here whoever leaves a connection dirty has it cleaned in the background, and nobody else pays.

A *slot* is the right to hold one connection; there are `size` of them. It travels with a connection, or alone (None)
after that one died: whoever gets it alone opens a new one.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from asyncpg import exceptions as pg

from acme.context import Call
from acme.drivers.postgres.address import (
    CONNECT_LIMIT,
    DATABASE_EXISTS,
    LOST,
    Address,
    Raw,
    create_database,
    ensure_database,
    unreachable,
)
from acme.drivers.postgres.measures import Pooled, State
from acme.drivers.postgres.session import OUTDATED
from acme.errors import Unavailable
from acme.ports import SerializationFailure, UniqueViolation
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.traces import SQL, WAIT

__all__ = ["CONNECT_LIMIT", "DATABASE_EXISTS", "Address", "Lent", "Pool", "create_database", "ensure_database", "open"]

T = TypeVar("T")

_REPEATABLE: Final = (pg.TransactionRollbackError, *OUTDATED)
"""A whole transaction may succeed the next time: SQLSTATE class 40, and a migration that changed a cached plan's tables."""


async def open(url: str, *, size: int = 8, tasks: Tasks, metrics: Metrics | None = None) -> Pool:
    """A pool of at most `size` connections to the database at `url` (libpq's URI form). Does not connect yet.

    `tasks` runs the cleaning of connections that were given back dirty, and must outlive the pool. `metrics` hear how long
    everything takes.
    """
    return Pool(Address(url), size, tasks, metrics or Metrics())


class Pool:
    """`ports.Database` over asyncpg."""

    def __init__(self, address: Address, size: int, tasks: Tasks, metrics: Metrics) -> None:
        self._address = address
        self.measures: Final = Pooled(metrics, address.database, self._state)
        self._size = size
        self._tasks = tasks
        self._loop: asyncio.AbstractEventLoop | None = None
        self._free: list[Raw] = []
        self._waiters: deque[asyncio.Future[Raw | None]] = deque()
        self._handed = 0
        """Waiters that have had their turn, ever."""
        self._taken = 0
        """Slots that are taken: lent, being opened, being cleaned, or in `_free`."""
        self._all: set[Raw] = set()
        self._closed: asyncio.Future[None] | None = None
        """Set by `close`; done when the last slot has come back."""

    def connection(self, call: Call | None = None) -> Lent:
        """Lends a connection; see `ports.Database`."""
        return Lent(self, call)

    def alone(self, call: Call | None = None) -> Lone:
        """For one statement; see `ports.Database`."""
        return Lone(self, call)

    async def close(self, *, limit: float = 5.0) -> None:
        """Refuses new users, waits up to `limit` seconds for those there are, and closes every connection. Idempotent."""
        if self._closed is None:
            self._closed = asyncio.get_running_loop().create_future()
            while self._waiters:
                if not (waiter := self._waiters.popleft()).done():
                    waiter.set_exception(_closing())
            free, self._free = self._free, []
            for raw in free:
                self._give(raw)
        if self._taken:
            await asyncio.wait([self._closed], timeout=limit)
        for raw in self._all:
            raw.terminate()
        self._all.clear()
        self.measures.end()
        self._address.close()

    def queue(self) -> tuple[int, int]:
        """How many wait for a connection, and how many have waited and got one, ever."""
        return len(self._waiters), self._handed

    def _state(self) -> State:
        return State(self._taken - len(self._free), len(self._free), self._size, len(self._waiters))

    def _warm(self) -> Raw | None:
        """A connection that is free."""
        while self._free:
            raw = self._free.pop()
            if raw.alive():
                return raw
            self._forget(raw)
            self._taken -= 1
        return None

    async def _take(self, call: Call | None) -> Raw:
        """The next connection that comes to be free, where there is none, or a new one: a step of what `call` records."""
        if self._closed is not None:
            raise _closing()
        raw: Raw | None = None
        began = now = time.monotonic()
        if self._taken < self._size:
            self._taken += 1
        else:
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
            waiter: asyncio.Future[Raw | None] = self._loop.create_future()
            self._waiters.append(waiter)
            try:
                raw = await waiter
            except asyncio.CancelledError:
                if waiter.cancelled():
                    with suppress(ValueError):  # a connection came back meanwhile and was not for it
                        self._waiters.remove(waiter)
                elif waiter.exception() is None:
                    self._give(waiter.result())  # handed over at the moment of the cancellation
                raise
            now = time.monotonic()
            self.measures.waited(now - began)
            if raw is not None and not raw.alive():
                self._forget(raw)
                raw = None
        if raw is None:
            raw = await self._open()
            now = time.monotonic()
        if call is not None and (trace := call.trace) is not None:
            trace.add(call.span, WAIT, "", began, now, "", self.measures.name)
        return raw

    async def _open(self) -> Raw:
        """Fills an empty slot; gives the slot on when that fails."""
        began = time.monotonic()
        try:
            raw = await self._address.connect()
            self.measures.connected(time.monotonic() - began)
        except BaseException as error:
            self._give(None)
            if isinstance(error, LOST):
                raise unreachable() from error
            raise
        self._all.add(raw)
        return raw

    def _give(self, raw: Raw | None) -> None:
        """A slot comes back, with a clean connection or alone."""
        if raw is not None and not raw.alive():
            self._forget(raw)
            raw = None
        if self._closed is not None:
            if raw is not None:
                self._forget(raw)
                raw.terminate()
            self._taken -= 1
            if not self._taken and not self._closed.done():
                self._closed.set_result(None)
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(raw)
                self._handed += 1
                return
        if raw is None:
            self._taken -= 1
        else:
            self._free.append(raw)

    def _give_dirty(self, raw: Raw) -> None:
        self._tasks.spawn("postgres.clean", self._clean(raw))

    async def _clean(self, raw: Raw) -> None:
        """Ends what the last user left: a running statement (asyncpg waits for its cancellation), transaction, locks."""
        clean = False
        try:
            async with asyncio.timeout(CONNECT_LIMIT):
                await raw.execute("ROLLBACK; SELECT pg_advisory_unlock_all()")
            clean = True
        except (*LOST, pg.PostgresError, pg.InterfaceError):
            pass  # not worth more effort: a new one takes its place
        finally:
            if not clean:
                raw.terminate()
            self._give(raw)

    def _forget(self, raw: Raw) -> None:
        self._all.discard(raw)


def _closing() -> Unavailable:
    return Unavailable("the database is being closed")


class Lent:
    """`ports.Connection`, for as long as it is lent: an async context manager that yields itself."""

    __slots__ = ("_busy", "_call", "_pool", "_raw", "_since", "_sql")

    def __init__(self, pool: Pool, call: Call | None) -> None:
        self._pool, self._call = pool, call
        self._sql, self._since = "", 0.0
        """The statement that was sent last, and when; "" once its error is accounted for."""
        self._raw: Raw | None = None
        self._busy = False
        """A statement was sent and did not end, neither with a result nor with an error of its own: so, cancelled."""

    async def __aenter__(self) -> Self:
        self._raw = self._pool._warm() or await self._pool._take(self._call)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._back()

    def fetch(self, sql: str, *args: Any) -> Coroutine[Any, Any, Sequence[Any]]:
        return self._run(sql, args, 0, _all)

    def fetchrow(self, sql: str, *args: Any) -> Coroutine[Any, Any, Any]:
        return self._run(sql, args, 1, _row)

    def fetchval(self, sql: str, *args: Any) -> Coroutine[Any, Any, Any]:
        return self._run(sql, args, 1, _value)

    async def _run(self, sql: str, args: tuple[Any, ...], most: int, pick: Callable[[Any], T]) -> T:
        """What `pick` takes of the first `most` rows of a statement, or of all where that is 0."""
        if (raw := self._raw) is None:
            raise _returned()
        self._busy, self._sql, self._since = True, sql, time.monotonic()
        try:
            try:
                rows = await raw.rows(sql, args, most)
            except OUTDATED as error:
                rows = await raw.again(error, sql, args, most)
        except Exception as error:
            self._failed(error)
            raise
        self._busy = False
        self._ended()
        return pick(rows)

    async def execute(self, sql: str, *args: Any) -> str:
        if (raw := self._raw) is None:
            raise _returned()
        self._busy, self._sql, self._since = True, sql, time.monotonic()
        try:
            status: str = await raw.execute(sql, *args)
        except Exception as error:
            self._failed(error)
            raise
        self._busy = False
        self._ended()
        return status

    async def begin(self) -> None:
        await self.execute("BEGIN")

    async def commit(self) -> None:
        """Raises `RuntimeError` when PostgreSQL rolled back instead, because a statement had failed before."""
        if await self.execute("COMMIT") != "COMMIT":
            raise RuntimeError("a statement of this transaction had failed, so that COMMIT rolled it back")

    async def rollback(self) -> None:
        await self.execute("ROLLBACK")

    def _back(self) -> None:
        """Gives the connection back."""
        raw, self._raw = self._raw, None
        if raw is None:
            raise _returned()
        if self._busy and self._sql:
            self._ended("cancelled")
        if (self._busy or raw.in_transaction()) and raw.alive():
            self._pool._give_dirty(raw)
        else:
            self._pool._give(raw)

    def _ended(self, error: str = "") -> None:
        """A statement has ended: its duration by what it does, and a step of what its call records."""
        sql, since, now = self._sql, self._since, time.monotonic()
        measures = self._pool.measures
        if error:
            self._sql = ""
            measures.failed(sql, error, now - since)
        else:
            measures.observer(sql)(now - since)
        if self._call is not None and (trace := self._call.trace) is not None:
            trace.add(self._call.span, SQL, sql, since, now, error, measures.name)

    def _failed(self, error: Exception) -> None:
        """Raises what the port promises in place of `error`, or returns to let it pass."""
        self._ended(getattr(error, "sqlstate", None) or type(error).__name__)
        if isinstance(error, pg.UniqueViolationError):
            self._busy = False
            raise UniqueViolation(error.constraint_name or "") from error
        if isinstance(error, _REPEATABLE):
            self._busy = False
            raise SerializationFailure(str(error)) from error
        if isinstance(error, LOST) or (self._raw is not None and self._raw.is_closed()):
            raise Unavailable("the connection to the database was lost") from error
        if isinstance(error, pg.PostgresError):
            self._busy = False  # the server has ended the statement


class Lone(Lent):
    """`ports.Statements`, for one statement, on whatever connection is free.

    The same as to borrow one, in two coroutines in place of four: so `_run` is said again.
    """

    __slots__ = ()

    async def execute(self, sql: str, *args: Any) -> str:
        async with self:
            return await super().execute(sql, *args)

    async def _run(self, sql: str, args: tuple[Any, ...], most: int, pick: Callable[[Any], T]) -> T:
        self._raw = raw = self._pool._warm() or await self._pool._take(self._call)
        self._busy, self._sql, self._since = True, sql, time.monotonic()
        try:
            try:
                rows = await raw.rows(sql, args, most)
            except OUTDATED as error:
                rows = await raw.again(error, sql, args, most)
        except Exception as error:
            self._failed(error)
            raise
        else:
            self._busy = False
            self._ended()
            return pick(rows)
        finally:
            self._back()


def _all(rows: Sequence[Any]) -> Sequence[Any]:
    return rows


def _row(rows: Sequence[Any]) -> Any:
    return rows[0] if rows else None


def _value(rows: Sequence[Any]) -> Any:
    return rows[0][0] if rows else None


def _returned() -> RuntimeError:
    return RuntimeError("this connection was given back")
