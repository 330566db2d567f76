"""Takes what waits in one service's outbox to the bus, at least once, in order for each aggregate.

One process at a time does it (its lease is the runtime's affair), which saves work and is not needed for being right: two
relays send some rows twice, and the bus or the consumers' inboxes drop the second of each. A row is deleted only when the
bus has it. A batch that did not arrive is sent again whole, so no event overtakes another of its aggregate.

It is woken by a commit in its own process, by `wake` when another process says so, and looks by itself every half second.
While the bus or the database is away it tries every other second, and goes on telling what waits. An event that the bus
refuses for good (a topic that others made for smaller records, or deleted) holds up all behind it, which may be of its
aggregate: it is found by sending one at a time, logged as an error with its id, counted, and tried again until it is taken.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

import msgspec

from acme.bus import outbox
from acme.bus.measures import LABELS
from acme.bus.record import REQUEST_ID, TRACEPARENT, record
from acme.errors import Refused, Unavailable
from acme.ports import Bus, Clock, Database, Record, Row, Statements, UnknownTopic
from acme.telemetry import Metrics, logger
from acme.traces import RELAY, UNTRACED, Trace, Tracer
from acme.traces import TRACEPARENT as WELL_FORMED

log: Final = logger(__name__)

POLL: Final = 0.5
"""Seconds between two looks, when nobody says that there is something."""
BATCH: Final = 500
"""Events that are sent together at most."""
BYTES: Final = 4 << 20
"""Bytes of events that are sent together at most, unless one alone is larger."""
ROLL: Final = 5.0
"""Seconds between two looks at the partitions of the outbox and at how much waits in it."""
AGAIN: Final = 0.1
LONGEST: Final = 2.0
"""Seconds after the first time that the bus or the database does not answer, doubled each time, and at most."""
REFUSED: Final = 30.0
"""Seconds at most between two attempts to send what the bus refuses."""


class Backlog:
    """What waits in the outboxes that are relayed in this process, for operators."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[str, tuple[int, datetime | None]] = {}
        metrics.gauge(
            "acme_outbox_pending", "Events that wait for the bus, counted up to 100,000.", ("plugin",), self._rows
        )
        metrics.gauge(
            "acme_outbox_oldest_age_seconds",
            "For how long the oldest event waits for the bus.",
            ("plugin",),
            self._ages,
        )

    def says(self, plugin: str, rows: int, oldest: datetime | None) -> None:
        """What waits for a plugin, and since when."""
        self._waiting[plugin] = (rows, oldest)

    def ended(self, plugin: str) -> None:
        """Another process does it now."""
        self._waiting.pop(plugin, None)

    def _rows(self) -> dict[tuple[str, ...], float]:
        return {(plugin,): float(rows) for plugin, (rows, _) in self._waiting.items()}

    def _ages(self) -> dict[tuple[str, ...], float]:
        now = self._clock.now()
        return {
            (plugin,): max((now - oldest).total_seconds(), 0.0) if oldest is not None else 0.0
            for plugin, (_, oldest) in self._waiting.items()
        }


class EventRefused(Exception):
    """The bus does not take an event, and will not until somebody changes something: its id, and the reason."""

    def __init__(self, event_id: str, reason: str) -> None:
        super().__init__(event_id, reason)
        self.event_id, self.reason = event_id, reason


class Relay:
    """The relay of one service's outbox."""

    def __init__(
        self,
        plugin: str,
        region: str,
        pool: Database,
        statements: Statements,
        bus: Bus,
        metrics: Metrics,
        backlog: Backlog,
        tracer: Tracer | None = None,
    ) -> None:
        """`statements` are the same database's, for what stands alone."""
        self._tracer = tracer or Tracer(UNTRACED)
        self._plugin, self._source = plugin, f"/{region}/{plugin}"
        self._pool, self._statements, self._bus, self._backlog = pool, statements, bus, backlog
        self._wake = asyncio.Event()
        self.running = False
        """Whether it is this process's turn."""
        self._rolled = float("-inf")
        self._singly = False
        """Whether events are sent one at a time, because one of many was refused."""
        self._refusals = metrics.counter(
            "acme_outbox_refusals_total",
            "Attempts to send an event that the bus refuses; all behind it wait.",
            ("plugin",),
        ).bind(plugin)
        self._sent = metrics.counter("messaging_client_sent_messages_total", "Records handed to the bus.", LABELS)
        self._seconds = metrics.histogram(
            "messaging_client_operation_duration_seconds", "Seconds the bus took to answer.", LABELS
        )
        self._system = bus.system

    def wake(self) -> None:
        """There may be something to send: looks at once."""
        self._wake.set()

    async def run(self) -> None:
        """Sends for ever, and waits for the bus and the database when they are away; other errors are the caller's, who
        calls again."""
        self.running, failed = True, 0
        try:
            while True:
                self._wake.clear()
                try:
                    await self.look_after()
                    sent = await self.pass_once()
                except (Unavailable, EventRefused) as error:
                    longest = self._failed(error, failed)
                    # Not cut short by a commit: whatever is committed meanwhile waits for the same bus.
                    await asyncio.sleep(min(AGAIN * 2.0**failed, longest) * random.uniform(0.5, 1.0))
                    failed = min(failed + 1, 16)
                    continue
                if failed:
                    log.info("events leave an outbox again", plugin=self._plugin)
                    failed = 0
                if sent < BATCH:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(POLL):
                            await self._wake.wait()
        finally:
            self.running = False
            self._backlog.ended(self._plugin)

    async def pass_once(self) -> int:
        """Sends one batch; says how many events it had.

        Raises:
            acme.errors.Unavailable: the database or the bus is away. What was sent may be sent again.
            EventRefused: the bus does not take the event that is the oldest now.
        """
        rows = await outbox.oldest(self._statements, BATCH)
        try:
            await self._relay(rows, 0 if self._singly else BYTES)
        except _BatchRefused:
            self._singly = True
            return await self.pass_once()
        self._singly = False
        return len(rows)

    async def _relay(self, rows: Sequence[Row], most: int) -> None:
        for batch in _within(rows, most):
            await self._send([self._record(row) for row in batch])
            await outbox.sent(self._statements, [row[0] for row in batch])

    def _failed(self, error: Unavailable | EventRefused, before: int) -> float:
        """Tells operators; says how many seconds may pass at most until the next attempt."""
        if isinstance(error, EventRefused):
            self._refusals.add()
            log.error(
                "the bus refuses an event: all behind it wait",
                plugin=self._plugin,
                event_id=error.event_id,
                reason=error.reason,
            )
            return REFUSED
        if not before:
            log.warning("events wait in an outbox", plugin=self._plugin, error=error.message)
        return LONGEST

    async def _send(self, records: Sequence[Record]) -> None:
        began = time.monotonic()
        try:
            await self._bus.append(self._plugin, records)
        except (Refused, ValueError, UnknownTopic) as error:
            self._seconds.bind(self._system, "send", "", "", type(error).__name__).observe(time.monotonic() - began)
            if isinstance(error, Refused):
                raise
            if len(records) > 1:
                raise _BatchRefused from error
            why = f"there is no topic {error.args[0]}" if isinstance(error, UnknownTopic) else str(error)
            raise EventRefused(records[0].id, why) from error
        now = time.monotonic()
        self._seconds.bind(self._system, "send", "", "", "").observe(now - began)
        for each in records:
            if self._tracer.on:
                self._record_sent(each, began, now)
            self._sent.bind(self._system, "send", each.topic, "", "").add()

    def _record_sent(self, record: Record, began: float, ended: float) -> None:
        """That an event is on the bus is a step of the trace that it belongs to."""
        said = {name: value.decode() for name, value in record.headers if name in (TRACEPARENT, REQUEST_ID)}
        caused = said.get(TRACEPARENT, "")
        if WELL_FORMED.fullmatch(caused) is not None:
            trace = Trace(said.get(REQUEST_ID, ""), self._tracer, caused)
            trace.end(0, -1, RELAY, record.topic, began, ended, "", self._plugin)
            self._tracer.end(trace, 0.0, failed=False)

    def _record(self, row: Row) -> Record:
        _, event_id, topic, key, kind, payload, headers, created_at = row
        said = headers if isinstance(headers, dict) else msgspec.json.decode(headers)
        return record(
            source=self._source,
            event_id=event_id,
            topic=topic,
            key=key,
            kind=kind,
            payload=payload,
            said=said,
            at=created_at,
        )

    async def look_after(self) -> None:
        """Every few seconds: counts what waits, and makes and drops partitions of the outbox. It needs no bus."""
        if time.monotonic() - self._rolled < ROLL:
            return
        self._rolled = time.monotonic()
        rows, oldest = await outbox.waiting(self._statements)
        self._backlog.says(self._plugin, rows, oldest)
        await outbox.roll(self._pool)


class _BatchRefused(Exception):
    """One of several records is refused; which one is not known."""


def _within(rows: Sequence[Row], most: int) -> Sequence[Sequence[Row]]:
    """The rows in order, in parts whose payloads come to `most` bytes or are one."""
    parts: list[list[Row]] = []
    size = 0
    for row in rows:
        length = len(row[5])
        if parts and size + length <= most:
            parts[-1].append(row)
            size += length
        else:
            parts.append([row])
            size = length
    return parts
