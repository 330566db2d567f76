"""The transaction of a unit of work, and the scope around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from acme.context import Call
from acme.contract import Work
from acme.contracts.audit.v1 import AuditRecord, Outcome
from acme.errors import Unavailable
from acme.ids import new_id
from acme.ports import Cipher, Clock, Connection, Database, Row, Statements
from acme.telemetry import Counter
from acme.traces import EVENT
from acme.work import store
from acme.work.audit import Entry, Writer, share
from acme.work.outbox import Outbox, headers


class KeyTaken(Exception):
    """Another transaction committed a record for the same idempotency key; this one was rolled back."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the units of work of one service share."""

    plugin: str
    pool: Database
    cipher: Cipher
    clock: Clock
    outbox: Outbox
    kinds: frozenset[str]
    """Kinds of deliveries it may ask for."""
    wake: asyncio.Event
    """Set after a commit that asked for deliveries."""
    told: Callable[[bool, bool], None]
    """Called after every commit, with whether it asked for deliveries, and whether it left events."""
    committed: Counter
    rolled_back: Counter
    writer: Writer
    """Whose audit records they are."""


class Unit:
    """One transaction (`Statements`): begins at its first statement, commits with all that was added to it.

    Belongs to one flow of control: statements at the same time are refused, because their order would be chance.
    """

    __slots__ = (
        "_busy",
        "_closed",
        "_connection",
        "_failed",
        "_lent",
        "_promised",
        "call",
        "deliveries",
        "entry",
        "events",
        "nested",
        "records",
        "service",
    )

    def __init__(self, service: Service, call: Call | None, nested: str, entry: Entry | None = None) -> None:
        self.service: Final = service
        self.call: Final = call
        """The call it serves, or the delivery that a request asked for; None in a job."""
        self.nested: Final = nested
        """Why no other unit can be opened inside."""
        self.entry: Final = entry
        """What the call owes to the audit log; `None` where there is no call, or it owes nothing."""
        self.events: list[store.Event] = []
        self.deliveries: list[store.Wanted] = []
        self.records: list[AuditRecord] = []
        """Audit records besides the call's own."""
        self._promised: tuple[Outcome, str] | None = None
        self._lent: AbstractAsyncContextManager[Connection] | None = None
        self._connection: Connection | None = None
        self._busy = False
        self._failed = False
        self._closed = ""

    @property
    def pending(self) -> Unit:
        """What is left to commit when the handler has returned: all of an AUTO call."""
        return self

    async def fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        rows: Sequence[Row] = await self._run("fetch", sql, args)
        return rows

    async def fetchrow(self, sql: str, *args: Any) -> Row | None:
        row: Row | None = await self._run("fetchrow", sql, args)
        return row

    async def fetchval(self, sql: str, *args: Any) -> Any:
        return await self._run("fetchval", sql, args)

    async def execute(self, sql: str, *args: Any) -> str:
        status: str = await self._run("execute", sql, args)
        return status

    def announce(self, message: Any) -> None:
        """Adds an event; it is encoded at once."""
        self._open()
        self.events.append(self.service.outbox.row(message, new_id("evt", self.service.clock)))

    def record(self, record: AuditRecord) -> None:
        """Adds an audit record besides the call's own."""
        self._open()
        self.records.append(record)

    def promise(self, outcome: Outcome, reason: str = "") -> None:
        """The record of the call is committed with this unit, unless one is committed already."""
        self._promised = outcome, reason

    def new_delivery_id(self) -> str:
        """The id of a delivery about to be asked for."""
        return new_id("dlv", self.service.clock)

    def deliver(self, delivery: str, kind: str, payload: bytes) -> None:
        """Asks for a delivery; its payload is sealed at once."""
        self._open()
        if kind not in self.service.kinds:
            raise ValueError(f"{self.service.plugin} declares no delivery of kind {kind!r}")
        sealed = self.service.cipher.seal("deliveries", payload, delivery.encode())
        self.deliveries.append(store.Wanted(delivery, kind, sealed))

    def close(self, reason: str) -> None:
        """From now on nothing more can be done in it, for this reason."""
        self._closed = reason

    async def finish(self, record: store.Record | None = None) -> None:
        """Writes what was added, and commits.

        Raises:
            RuntimeError: a statement failed before, so that there is nothing to commit.
            KeyTaken: there is a record for the same key; rolled back.
            SerializationFailure: rolled back; repeat the whole unit.
            Unavailable(reason="outcome_unknown"): the connection was lost while committing.
        """
        try:
            if self._failed or self._busy:
                raise RuntimeError(self._why_not())
            self.close(_ENDED)
            entry = self._inscribe()
            if record is not None and self._connection is None:
                await self._begin()
            await self._commit(record)
        except BaseException as error:
            await self.leave(error)
            raise
        if entry is not None:
            entry.written = True
        await self._give_back()
        self.service.committed.add()
        if self.deliveries:
            self.service.wake.set()
        self.service.told(bool(self.deliveries), bool(self.events))

    async def leave(self, error: BaseException) -> None:
        """Ends the unit after `error` without committing. Does nothing to one that has ended.

        Where the error is a cancellation, a statement may still be running: the pool cleans up after it, nobody waits.
        """
        await self.roll_back(wait=isinstance(error, Exception))

    async def roll_back(self, *, wait: bool = True) -> None:
        """Ends the unit without committing; `wait` until its locks are free."""
        self.close(_ENDED)
        if self._lent is None:
            return
        self.service.rolled_back.add()
        try:
            if wait and self._connection is not None:
                await self._connection.rollback()
        except Unavailable:
            pass  # the connection is gone, and the transaction with it
        finally:
            await self._give_back()

    async def _run(self, verb: str, sql: str, args: Sequence[Any]) -> Any:
        if self._closed or self._failed or self._busy:
            raise RuntimeError(self._why_not())
        self._busy = True
        try:
            connection = self._connection or await self._begin()
            return await getattr(connection, verb)(sql, *args)
        except BaseException:
            self._failed = True
            raise
        finally:
            self._busy = False

    async def _begin(self) -> Connection:
        lent = self.service.pool.connection(self.call)
        connection = await lent.__aenter__()
        self._lent = lent
        await connection.begin()
        self._connection = connection
        return connection

    def _inscribe(self) -> Entry | None:
        """Adds the audit records to the events; returns what the call owed, if that is among them."""
        entry = self.entry if self._promised is not None else None
        if entry is not None and entry.written:
            entry = None
        if entry is None and not self.records:
            return None
        events = tuple(self.events)
        share(self.records, events)
        if entry is not None and self._promised is not None:
            outcome, reason = self._promised
            self.records.append(entry.record(self.service.writer, outcome, reason, events))
        for record in self.records:
            self.events.append(self.service.outbox.row(record, new_id("evt", self.service.clock)))
        return entry

    async def _commit(self, record: store.Record | None) -> None:
        connection = self._connection
        try:
            if connection is not None:
                if (self.events or self.deliveries or record) and not await self._write(connection, record):
                    raise KeyTaken
                await connection.commit()
            elif self.events or self.deliveries:
                # No statement came before: the one that writes is a transaction by itself.
                async with self.service.pool.connection(self.call) as own:
                    await self._write(own, None)
        except Unavailable as error:
            message = "The connection to the database was lost while committing: whether it was done is not known."
            raise Unavailable(message, reason="outcome_unknown") from error

    async def _write(self, statements: Statements, record: store.Record | None) -> bool:
        if not self.events:
            now = self.service.clock.now()
            return await store.write(statements, (), "{}", self.deliveries, record, now, self._cause())
        call, plugin = self.call, self.service.plugin
        trace = call.trace if call is not None else None
        number = trace.begin() if trace is not None else 0
        started = time.monotonic()
        said = headers(call, plugin, trace.traceparent(number) if trace is not None else "")
        now = self.service.clock.now()
        written = await store.write(statements, self.events, said, self.deliveries, record, now, self._cause())
        if call is not None and trace is not None:
            topics = " ".join(dict.fromkeys(event.topic for event in self.events))
            trace.end(number, call.span, EVENT, topics, started, time.monotonic(), "", f"{plugin} {len(self.events)}")
        return written

    def _cause(self) -> store.Cause:
        call = self.call
        return store.NOBODY if call is None or not self.deliveries else store.Cause(call.request_id, call.caused)

    async def _give_back(self) -> None:
        lent, self._lent, self._connection = self._lent, None, None
        if lent is not None:
            await lent.__aexit__(None, None, None)

    def _open(self) -> None:
        if self._closed:
            raise RuntimeError(self._closed)

    def _why_not(self) -> str:
        if self._closed:
            return self._closed
        if self._failed:
            return "a statement of this unit of work failed: it can only roll back"
        return "another statement of this unit of work is running: await one after the other"


_ENDED: Final = "this unit of work has ended"


class Scope:
    """Where statements stand alone: around the units of a MANUAL call, a job or a delivery; all of a NONE call."""

    __slots__ = ("call", "cause", "claim", "entry", "opened", "pending", "service", "work")

    def __init__(
        self,
        service: Service,
        work: Work,
        call: Call | None = None,
        entry: Entry | None = None,
        cause: Call | None = None,
    ) -> None:
        """`cause` stands for `call` where there is none that could be answered: in a delivery."""
        self.service: Final = service
        self.work: Final = work
        self.call: Final = call
        self.cause: Final = cause or call
        self.entry: Final = entry
        self.claim: Callable[[Unit], Awaitable[None]] | None = None
        """What the last unit of a call with an Idempotency-Key begins with: nobody else may be about to do the same."""
        self.opened = False
        """Whether a unit was opened in it."""
        self.pending: Unit | None = None
        """The unit that `work(last=True)` left, to be committed with the reply."""

    def open(self) -> Unit:
        """A unit inside of it."""
        if self.work is Work.NONE:
            raise RuntimeError(READING)
        self.opened = True
        return Unit(self.service, self.cause, "a unit of work cannot be opened inside another", self.entry)


READING: Final = "a method that is declared WORK_NONE writes nothing"

HERE: Final[ContextVar[Scope | Unit]] = ContextVar("acme.work")
"""Set in the context of every call, job and delivery of a service that has a database."""
