"""The claim loop: carries out, after the commit and at least once, what units of work asked for.

Every process that runs a service runs one for its database. A delivery is claimed with FOR UPDATE SKIP LOCKED and leased
for 30 seconds; its handler runs outside of any transaction and has that long. Done, its payload is erased. Failed, it is
tried again after a growing pause, and given up after its kind's number of attempts: it stays in the table, and the counter
`acme_deliveries_total{outcome="given_up"}` is the alarm. When a worker is killed the lease runs out, and the next one
claims it: the number of the attempt tells them apart, so the slower one decides nothing any more.

A delivery that a request asked for knows it: what is done for it, and logged, and announced, names that request, and the
attempt is a step of its trace, wherever it is made.

The loop is woken by a commit in its own process, by `wake` when another process says so, and looks once a second
otherwise.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec

from acme.context import CALL, Call, Kind, Principal
from acme.ports import Mail, Mailer, Row
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.traces import DELIVERY, TRACEPARENT, UNTRACED, Trace, Tracer
from acme.work import store
from acme.work.factory import UnitFactory
from acme.work.idempotency import LIFE

LEASE: Final = 30.0
"""Seconds a claimed delivery belongs to its worker, and its handler may take."""
POLL: Final = 1.0
"""Seconds between two looks for deliveries of other processes, and those due again."""
AT_ONCE: Final = 8
"""Deliveries carried out at the same time."""
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 3600.0
"""Seconds before the second attempt, and before any at most."""
SWEEP: Final = 60.0
"""Seconds between two rounds of housekeeping."""
SWEEP_ROWS: Final = 1000
"""Rows that one statement of the housekeeping deletes at most."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to carry out a delivery that a committed unit of work asked for."""

    id: str
    """The same at every attempt: an idempotency key for the outside world."""
    payload: bytes
    number: int
    """1 at the first attempt."""


@dataclass(frozen=True, slots=True)
class Handler:
    """Carries out deliveries of one kind; raises to be tried again."""

    run: Callable[[Attempt], Awaitable[None]]
    attempts: int = 12
    """How often it is tried before it is given up."""


def send_mail(mailer: Mailer) -> Handler:
    """The built-in kind "mail". The mail's id is the delivery's, so that a repeated send is recognisable."""
    decode = msgspec.json.Decoder(Mail).decode

    async def send(attempt: Attempt) -> None:
        await mailer.send(decode(attempt.payload))

    return Handler(send)


class Deliveries:
    """Claims and carries out the deliveries of one service's database, and clears away what is past."""

    def __init__(
        self,
        units: UnitFactory,
        handlers: Mapping[str, Handler],
        *,
        tasks: Tasks,
        metrics: Metrics,
        lease: float = LEASE,
        tracer: Tracer | None = None,
    ) -> None:
        """`handlers` by kind; a kind without one is left to processes that have one."""
        self._tracer = tracer or Tracer(UNTRACED)
        self._principal = Principal(Kind.SERVICE, units.service.plugin)
        self._units = units
        self._tasks = tasks
        self._service = units.service
        self._handlers = handlers
        self._kinds = sorted(handlers)
        self._lease = lease
        self._running = 0
        self._counts = metrics.counter(
            "acme_deliveries_total", "Attempts at deliveries by their outcome.", ("plugin", "kind", "outcome")
        )

    def start(self) -> None:
        """Runs the claim loop and the housekeeping until its `tasks` stop."""
        plugin = self._service.plugin
        self._tasks.loop(f"{plugin}.deliveries", self._turn, pause=0.0)
        self._tasks.loop(f"{plugin}.housekeeping", self._sweep_all, pause=SWEEP)

    def wake(self) -> None:
        """There may be something to do: looks at once."""
        self._service.wake.set()

    async def pass_once(self) -> int:
        """Claims what is due, up to `AT_ONCE`, and carries it out; says how much it claimed."""
        rows = await self._claim(AT_ONCE)
        await asyncio.gather(*(self._carry_out(row) for row in rows))
        return len(rows)

    async def sweep(self) -> int:
        """Deletes up to `SWEEP_ROWS` idempotency records and done deliveries older than a day; says how many."""
        until = self._service.clock.now() - LIFE
        return await store.forget(self._units.database, until, SWEEP_ROWS)

    async def _sweep_all(self) -> None:
        while await self.sweep() >= SWEEP_ROWS:
            pass

    async def _turn(self) -> None:
        wake = self._service.wake
        wake.clear()
        for row in await self._claim(AT_ONCE - self._running):
            self._running += 1
            self._tasks.spawn(f"{self._service.plugin}.delivery", self._take_a_place(row))
        try:
            async with asyncio.timeout(POLL):
                await wake.wait()
        except TimeoutError:
            pass

    async def _take_a_place(self, row: Row) -> None:
        try:
            await self._carry_out(row)
        finally:
            self._running -= 1
            self._service.wake.set()  # there is room for another

    async def _claim(self, room: int) -> Sequence[Row]:
        if room <= 0:
            return ()
        now = self._service.clock.now()
        until = now + timedelta(seconds=self._lease)
        return await store.due(self._units.database, now, until, self._kinds, room)

    async def _carry_out(self, row: Row) -> None:
        delivery, kind, sealed, number, request_id, traceparent = row
        handler = self._handlers[kind]
        if number > handler.attempts:
            # No attempt ended in an error: each time the process did.
            error = "ProcessLost"
        else:
            call = self._call(kind, request_id, traceparent) if request_id else None
            error = await self._attempt(handler, delivery, kind, sealed, number, call)
        now = self._service.clock.now()
        statements = self._units.database
        if not error:
            outcome, kept = "done", await store.done(statements, delivery, number, now)
        elif number < handler.attempts:
            run_at = now + timedelta(seconds=pause(number))
            outcome, kept = "failed", await store.again(statements, delivery, number, run_at, error)
        else:
            outcome, kept = "given_up", await store.failed(statements, delivery, number, now, error)
        self._counts.bind(self._service.plugin, kind, outcome if kept else "lease_lost").add()

    def _call(self, kind: str, request_id: str, traceparent: str) -> Call:
        """What stands for the request in an attempt. Calls that follow have times of their own, as in a job."""
        plugin = self._service.plugin
        call = Call(f"{plugin}.{kind}", self._principal, request_id, math.inf, plugin, traceparent=traceparent)
        if self._tracer.on:
            caller = traceparent if TRACEPARENT.fullmatch(traceparent) else ""
            call.trace, call.span, call.parent = Trace(request_id, self._tracer, caller), 0, -1
        return call

    async def _attempt(
        self, handler: Handler, delivery: str, kind: str, sealed: bytes, number: int, call: Call | None
    ) -> str:
        """Name of the error's class, "" when there was none."""
        started = time.monotonic()
        token = CALL.set(call) if call is not None else None
        try:
            error = await self._tasks.outcome(
                f"{self._service.plugin}.delivery", self._run(handler, delivery, sealed, number, call)
            )
        except asyncio.CancelledError:
            # We are being stopped: the next worker need not wait for the lease to run out.
            await store.again(self._units.database, delivery, number, self._service.clock.now(), "CancelledError")
            raise
        finally:
            if token is not None:
                CALL.reset(token)
        failed = "" if error is None else type(error).__name__
        if call is not None and (trace := call.trace) is not None:
            now = time.monotonic()
            trace.end(0, -1, DELIVERY, kind, started, now, failed, f"{self._service.plugin} {number}")
            self._tracer.end(trace, now - started, failed != "")
        return failed

    async def _run(self, handler: Handler, delivery: str, sealed: bytes, number: int, call: Call | None) -> None:
        payload = self._service.cipher.open("deliveries", sealed, delivery.encode())
        with self._units.outside(call):
            async with asyncio.timeout(self._lease):
                await handler.run(Attempt(delivery, payload, number))


def pause(number: int) -> float:
    """Seconds between a failed attempt and the next: doubled each time, with jitter of up to a half."""
    return min(FIRST_PAUSE * 2.0 ** (number - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.0)
