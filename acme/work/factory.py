"""Makes the units of work of one service, and runs its calls in them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

from acme.codec.avro import Avro
from acme.context import CALL, Call
from acme.contract import Contracts, Work
from acme.contracts.audit.v1 import Outcome
from acme.errors import Refused, Unavailable
from acme.ports import Cipher, Clock, Database, Row, SerializationFailure, Statements
from acme.telemetry import Metrics, logger
from acme.work.audit import Entry, Writer, denies
from acme.work.idempotency import Idempotency, Key, in_flight
from acme.work.outbox import Outbox
from acme.work.unit import HERE, KeyTaken, Scope, Service, Unit

log: Final = logger(__name__)

T = TypeVar("T")
Here = TypeVar("Here", Unit, Scope)

RETRIES: Final = 3
"""How often an AUTO call is repeated after a serialization failure or deadlock."""


@dataclass(frozen=True, slots=True)
class Carrier(Generic[T]):
    """How a placement's replies become wire bytes for the idempotency record, and come back."""

    pack: Callable[[T], bytes]
    unpack: Callable[[bytes], T]


_call: Final = CALL.get


class ServiceDatabase:
    """`Resources.database`: statements take part in the unit of work they are used in, else each stands alone.

    Its methods return what others' coroutines are: one of their own would cost every statement 1,000 instructions.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._pool = service.pool

    def fetch(self, sql: str, *args: Any) -> Coroutine[Any, Any, Sequence[Row]]:
        return (self._unit() or self._pool.alone(_call(None))).fetch(sql, *args)

    def fetchrow(self, sql: str, *args: Any) -> Coroutine[Any, Any, Row | None]:
        return (self._unit() or self._pool.alone(_call(None))).fetchrow(sql, *args)

    def fetchval(self, sql: str, *args: Any) -> Coroutine[Any, Any, Any]:
        return (self._unit() or self._pool.alone(_call(None))).fetchval(sql, *args)

    def execute(self, sql: str, *args: Any) -> Coroutine[Any, Any, str]:
        return (self._unit() or self._pool.alone(_call(None))).execute(sql, *args)

    def _unit(self) -> Unit | None:
        here = HERE.get(None)
        return here if type(here) is Unit and here.service is self._service else None


class UnitFactory:
    """The units of work of one service."""

    def __init__(
        self,
        plugin: str,
        pool: Database,
        *,
        contracts: Contracts,
        avro: Avro,
        cipher: Cipher,
        clock: Clock,
        metrics: Metrics,
        kinds: Collection[str] = (),
        version: str = "",
        region: str = "local",
        told: Callable[[bool, bool], None] = lambda _deliveries, _events: None,
    ) -> None:
        """`kinds` are the deliveries that the plugin declares; "mail" is always one. `told` is called after every commit,
        with whether it asked for deliveries and left events; it must not raise."""
        ends = metrics.counter("acme_units_of_work_total", "Units of work by their end.", ("plugin", "end"))
        replays = metrics.counter("acme_idempotent_replays_total", "Calls answered from a stored outcome.", ("plugin",))
        self.service: Final = Service(
            plugin=plugin,
            pool=pool,
            cipher=cipher,
            clock=clock,
            outbox=Outbox(contracts, avro),
            kinds=frozenset({"mail", *kinds}),
            wake=asyncio.Event(),
            told=told,
            committed=ends.bind(plugin, "committed"),
            rolled_back=ends.bind(plugin, "rolled_back"),
            writer=Writer(plugin, version, region, clock),
        )
        self.database: Final[Statements] = ServiceDatabase(self.service)
        """What the service gets as `Resources.database`."""
        self.reading: Final = Scope(self.service, Work.NONE)
        """The scope of every NONE call."""
        self._idempotency = Idempotency(cipher, clock)
        self._replays = replays.bind(plugin)

    @contextmanager
    def outside(self, cause: Call | None = None) -> Iterator[None]:
        """Around a job, a delivery or a start: there `work()` and its kin mean this service's database. `cause`: what it
        does is done for."""
        token = HERE.set(Scope(self.service, Work.MANUAL, cause=cause))
        try:
            yield
        finally:
            HERE.reset(token)

    @asynccontextmanager
    async def consuming(self, call: Call) -> AsyncIterator[Unit]:
        """Around a consumer's handler, and what notes that it was called: one unit of work, which commits at the end.

        Raises: as `Unit.finish`.
        """
        unit = Unit(self.service, call, "a consumer's handler is one unit of work already")
        token = HERE.set(unit)
        try:
            yield unit
            await unit.finish()
        except BaseException as error:
            await unit.leave(error)
            raise
        finally:
            HERE.reset(token)

    async def auto(
        self,
        call: Call,
        keyed: bool,
        perform: Callable[[Unit], Awaitable[T]],
        carrier: Carrier[T],
        entry: Entry | None = None,
    ) -> T:
        """Runs an AUTO call: `perform` in a unit of its own, repeated after serialization failures.

        `keyed`: the method keeps outcomes for an Idempotency-Key. `entry`: what it owes to the audit log.

        Raises:
            Unavailable(reason="contention"): it failed to serialize each time.
            What `perform` raises, after the unit ended accordingly; `Idempotency`'s refusals.
        """
        key = self._idempotency.key(call) if keyed else None
        for attempt in range(RETRIES + 1):
            unit = Unit(self.service, call, "a method that is declared WORK_AUTO is one unit of work already", entry)
            try:
                if key is not None and (stored := await self._idempotency.claim(unit, key)) is not None:
                    await unit.roll_back()
                    return self._replayed(stored, carrier)
                return await self._settle(unit, perform, key, carrier, entry)
            except KeyTaken:
                break
            except SerializationFailure as error:
                await unit.leave(error)
                # Up to 10, 20, 40, 80 ms: long enough for the other one to end, random so that two of us part.
                await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
            except BaseException as error:
                await unit.leave(error)
                raise
        else:
            raise _contention()
        return await self._replay(key, carrier)

    async def manual(
        self,
        call: Call,
        keyed: bool,
        perform: Callable[[Scope], Awaitable[T]],
        carrier: Carrier[T],
        entry: Entry | None = None,
    ) -> T:
        """Runs a MANUAL call: `perform` opens its units itself; the last of them commits here, with the reply.

        Raises: as `auto`; a serialization failure at the last commit is `Unavailable(reason="contention")` at once.
        """
        key = self._idempotency.key(call) if keyed else None
        if key is not None and (stored := await self._idempotency.find(self.database, key)) is not None:
            return self._replayed(stored, carrier)
        scope = Scope(self.service, Work.MANUAL, call, entry)
        if key is not None:
            scope.claim = partial(self._claim_last, key)
        try:
            reply = await self._settle(scope, perform, key, carrier, entry)
            if key is not None and scope.opened and scope.pending is None:
                log.error(
                    "a MANUAL method wrote without work(last=True): its key protects nothing",
                    method=call.method,
                    request_id=call.request_id,
                )
            return reply
        except KeyTaken:
            pass
        except BaseException as error:
            if scope.pending is not None:
                await scope.pending.leave(error)
            if isinstance(error, SerializationFailure):
                raise _contention() from error
            raise
        return await self._replay(key, carrier)

    async def deny(self, entry: Entry, refusal: Refused) -> None:
        """Records a denial, in a transaction of its own: what was refused has been rolled back. Nothing where a record of
        the call is committed."""
        await self._write(entry, Outcome.DENIED, refusal.reason)

    async def tell(self, entry: Entry) -> None:
        """Records the success of a call that has no unit of work, before its reply leaves."""
        await self._write(entry, Outcome.OK)

    async def _write(self, entry: Entry, outcome: Outcome, reason: str = "") -> None:
        if not entry.written:
            unit = Unit(self.service, entry.call, _ALONE, entry)
            unit.promise(outcome, reason)
            await unit.finish()

    async def _tell_late(self, entry: Entry, *, wrote: bool) -> None:
        """Of a MANUAL call whose units carried no record, and which `wrote` all the same: that is a fault."""
        if not entry.written:
            if wrote:
                log.error("a MANUAL method wrote without work(last=True) or audit.done()", method=entry.call.method)
            await self.tell(entry)

    @asynccontextmanager
    async def stream(self, call: Call, entry: Entry | None = None) -> AsyncIterator[Scope]:
        """Around a MANUAL call that streams its replies: what `work(last=True)` leaves is committed by `settle`, before the
        next reply, and at the end. A stream keeps no outcome for an Idempotency-Key."""
        scope = Scope(self.service, Work.MANUAL, call, entry)
        try:
            yield scope
            await self.settle(scope)
            if entry is not None:
                await self._tell_late(entry, wrote=scope.opened)
        except BaseException as error:
            if (unit := scope.pending) is not None:
                if isinstance(error, Refused) and error.commit:
                    unit.promise(Outcome.REFUSED, error.reason)
                    await unit.finish()
                else:
                    await unit.leave(error)
            raise

    async def settle(self, scope: Scope) -> None:
        """Commits what `work(last=True)` left."""
        unit, scope.pending = scope.pending, None
        if unit is not None:
            unit.promise(Outcome.OK)
            await unit.finish()

    async def _claim_last(self, key: Key, unit: Unit) -> None:
        if await self._idempotency.claim(unit, key) is not None:
            raise KeyTaken

    async def _settle(
        self,
        here: Here,
        perform: Callable[[Here], Awaitable[T]],
        key: Key | None,
        carrier: Carrier[T],
        entry: Entry | None,
    ) -> T:
        """Performs the call and commits what it left to commit, with its audit record."""
        try:
            reply = await perform(here)
        except Refused as refusal:
            unit = here.pending
            if refusal.commit and unit is not None:
                unit.promise(Outcome.REFUSED, refusal.reason)
                await unit.finish(self._idempotency.refused(key, refusal) if key is not None else None)
            elif entry is not None and denies(entry.call, refusal):
                if unit is not None:
                    await unit.leave(refusal)
                await self.deny(entry, refusal)
            raise
        if (unit := here.pending) is not None:
            unit.promise(Outcome.OK)
            await unit.finish(self._idempotency.answered(key, carrier.pack(reply)) if key is not None else None)
        elif entry is not None:
            await self._tell_late(entry, wrote=key is None and isinstance(here, Scope) and here.opened)
        return reply

    async def _replay(self, key: Key | None, carrier: Carrier[T]) -> T:
        """After another call with the same key has committed first."""
        stored = await self._idempotency.find(self.database, key) if key is not None else None
        if stored is None:
            raise in_flight()
        return self._replayed(stored, carrier)

    def _replayed(self, stored: bytes, carrier: Carrier[T]) -> T:
        self._replays.add()
        return carrier.unpack(stored)


_ALONE: Final = "an audit record stands alone"


def _contention() -> Unavailable:
    return Unavailable("Too many changes of the same thing at once: try again.", reason="contention")
