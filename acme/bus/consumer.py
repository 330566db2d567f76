"""Lets a plugin's consumer hear events: the inbox rows and the handler's effect in one unit of work, or neither.

This is where the platform meets a stranger's handler, so everything that it raises ends here, as a `Failure`. What is done
about one (again, aside, to a person) `partition.py` and `replay.py` decide.

The inbox says of every event whether it is accounted for. Its row is written first, so that of two owners of a partition
that handle an event at the same time the second waits for what becomes of the first. A batch is claimed in order, which
keeps two owners from waiting for each other, and so an event is never handled before another one of its key.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from acme.bus import inbox
from acme.bus.decoding import Mail, Reader
from acme.bus.measures import Measures
from acme.context import CALL, Call, Kind, Principal
from acme.errors import Unavailable
from acme.plugin import Consumer, Event, Plugin, Resources
from acme.ports import SerializationFailure
from acme.telemetry import logger
from acme.traces import PROCESS, TRACEPARENT, UNTRACED, Trace, Tracer
from acme.work import Unit, UnitFactory

log: Final = logger(__name__)

BOOKKEEPING: Final = 30.0
"""Seconds that a unit of work may take beside its handler: waiting for a connection, or for another owner's unit."""
FRAMES: Final = 3
"""Of a traceback, that tell one failure from another."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What came of an attempt that had no effect."""

    error: str
    """Name of the error's class."""
    fingerprint: str
    counts: bool
    """Whether the event or its handler is to blame, as far as one can tell, and not what they stand on."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An event with the record that it came in."""

    mail: Mail
    event: Event[Any]


@dataclass(slots=True)
class Attempt:
    """One unit of work, while it lasts."""

    unit: Unit
    reached: bool = False
    """Whether it came as far as the handler. What fails before is not the event's fault."""


class Handling:
    """One consumer of one plugin."""

    def __init__(
        self,
        plugin: Plugin,
        consumer: Consumer,
        units: UnitFactory,
        resources: Resources[Any],
        reader: Reader,
        measures: Measures,
        places: asyncio.Semaphore,
        tracer: Tracer | None = None,
    ) -> None:
        """`places` bounds how many units of work the plugin's consumers have open, so that calls find connections."""
        self._tracer = tracer or Tracer(UNTRACED)
        self.name: Final = f"{plugin.name}.{consumer.name}"
        """Its group on the bus, and in the database."""
        self.consumer: Final = consumer
        self.reader: Final = reader
        self.units: Final = units
        self._plugin, self._resources, self._measures, self._places = plugin, resources, measures, places
        self._clock = resources.clock
        self._principal = Principal(Kind.SERVICE, plugin.name)

    def read(self, mail: Mail) -> Heard | Failure | None:
        """The event in a record; None where it is none of those asked for."""
        try:
            event = self.reader.read(mail)
        except Exception as error:  # whatever garbage makes of a decoder
            return self._failure(error, "event cannot be decoded", [mail])
        return None if event is None else Heard(mail, event)

    async def hear(self, batch: Sequence[Heard], *, suspected: bool = False) -> Failure | None:
        """Lets the handler hear events, each that is not accounted for yet. None: it is done.

        `suspected`: the events were counted before (`inbox.begin`).
        """

        async def perform(attempt: Attempt) -> None:
            left = await self._claim(attempt.unit, batch)
            if left:
                await self.handle(attempt, left)
            if suspected:
                for heard in batch:
                    await inbox.survived(attempt.unit, self.name, heard.mail.event_id)

        return await self.attempt(batch, perform)

    async def park(self, mail: Mail, failure: Failure, attempts: int) -> Failure | None:
        """Sets an event aside, and its key with it. None: it is done."""

        async def perform(attempt: Attempt) -> None:
            unit, now = attempt.unit, self._clock.now()
            claimed = await inbox.claim(unit, self.name, [mail.event_id], [mail.key], now)
            if claimed.fresh:
                await self._bury(unit, mail, failure.error, failure.fingerprint, attempts)
            await inbox.survived(unit, self.name, mail.event_id)

        log.error(
            "event set aside",
            consumer=self.name,
            event_id=mail.event_id,
            error=failure.error,
            fingerprint=failure.fingerprint,
            attempts=attempts,
            **_place(mail),
        )
        return await self.attempt([], perform)

    async def attempt(self, batch: Sequence[Heard], perform: Callable[[Attempt], Awaitable[None]]) -> Failure | None:
        """Performs something in a unit of work of its own, in which events are handled. None: it is committed."""
        call = self._call([heard.event for heard in batch])
        started, failure, reached = time.monotonic(), None, False
        token = CALL.set(call)
        try:
            patience = self.consumer.timeout + BOOKKEEPING
            async with self._places, asyncio.timeout(patience) as limit, self.units.consuming(call) as unit:
                attempt = Attempt(unit)
                try:
                    await perform(attempt)
                finally:
                    reached = attempt.reached
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            failure = self._failure(error, "event failed", [heard.mail for heard in batch], blame=reached)
        except (Exception, SystemExit) as error:  # a handler that calls sys.exit() ends itself, not us
            late = isinstance(error, TimeoutError) and limit.expired()
            blame = reached and not late
            failure = self._failure(error, "event failed", [heard.mail for heard in batch], blame=blame)
        finally:
            CALL.reset(token)
        if batch:
            topic = batch[0].event.topic
            error_type = failure.error if failure is not None else ""
            now = time.monotonic()
            self._measures.processed(self.name, topic, error_type, now - started)
            if (trace := call.trace) is not None:
                trace.end(0, -1, PROCESS, topic, started, now, error_type, self.name)
                self._tracer.end(trace, now - started, failure is not None and failure.counts)
        return failure

    async def handle(self, attempt: Attempt, batch: Sequence[Heard]) -> None:
        """Calls the handler, inside a unit of work, and for as long as it may take."""
        attempt.reached = True
        events = [heard.event for heard in batch]
        async with asyncio.timeout(self.consumer.timeout):
            await self.consumer.handler(self._resources, events if self.consumer.batch > 1 else events[0])

    async def _claim(self, unit: Unit, batch: Sequence[Heard]) -> list[Heard]:
        """Accounts for the events, and returns those that are to be handled now: not those that were before, nor those
        whose key is parked, which follow it."""
        by_id = {heard.mail.event_id: heard for heard in reversed(batch)}
        ordered = [heard for heard in batch if by_id[heard.mail.event_id] is heard]
        keys = [heard.mail.key for heard in ordered]
        claimed = await inbox.claim(unit, self.name, [h.mail.event_id for h in ordered], keys, self._clock.now())
        left = [heard for heard in ordered if heard.mail.event_id in claimed.fresh]
        repeated = len(batch) - len(left)
        if repeated:
            self._measures.repeated(self.name, repeated)
        if not left or not (claimed.parked or repeated):
            return left
        # Whoever handled the repeated ones may have parked a key since the statement above began: ask again, in a new one.
        parked = await inbox.hold(unit, self.name, {heard.mail.key for heard in left if heard.mail.parks})
        for heard in left:
            if heard.mail.key in parked:
                await self._bury(unit, heard.mail, "", "", 0)
        return [heard for heard in left if heard.mail.key not in parked]

    async def _bury(self, unit: Unit, mail: Mail, error: str, fingerprint: str, attempts: int) -> None:
        now = self._clock.now()
        if mail.parks and error:
            await inbox.park(unit, self.name, *mail.key, now)
        letter = inbox.Letter(mail.event_id, mail.record, mail.type, mail.parks, error, fingerprint, attempts)
        await inbox.bury(unit, self.name, letter, now)

    def _call(self, events: Sequence[Event[Any]]) -> Call:
        """What is announced meanwhile carries the request that it goes back to, where there is one for all of the batch."""
        requests = {(event.request_id, event.traceparent) for event in events}
        request_id, traceparent = requests.pop() if len(requests) == 1 else ("", "")
        deadline = time.monotonic() + self.consumer.timeout
        call = Call(self.name, self._principal, request_id, deadline, self._plugin.name, traceparent=traceparent)
        if self._tracer.on and events:
            call.trace, call.span, call.parent = self._traced(request_id, events), 0, -1
        return call

    def _traced(self, request_id: str, events: Sequence[Event[Any]]) -> Trace:
        """What is recorded of a batch: it continues the trace of its event, or is one of its own that knows of several."""
        causes = dict.fromkeys((e.request_id, e.traceparent) for e in events if TRACEPARENT.fullmatch(e.traceparent))
        if len(causes) == 1:
            ((_, caller),) = causes
            return Trace(request_id, self._tracer, caller)
        trace = Trace(request_id, self._tracer, causes=tuple(causes))
        if any(self._tracer.decide(caller) for _, caller in causes):
            trace.sampled = True
        return trace

    def _failure(self, error: BaseException, what: str, mails: Sequence[Mail], *, blame: bool = True) -> Failure:
        counts = blame and not isinstance(error, Unavailable | SerializationFailure)
        failure = Failure(type(error).__name__, fingerprint(self.name, error, self._plugin.package), counts)
        log.warning(
            what,
            consumer=self.name,
            events=len(mails),
            error=failure.error,
            fingerprint=failure.fingerprint,
            exc_info=error if counts else None,
            **(_place(mails[0]) if mails else {}),
        )
        return failure


def fingerprint(consumer: str, error: BaseException, package: str) -> str:
    """The same for failures of a consumer at the same place in the same way: 12 hexadecimal digits.

    It is a hash of names: the error's class, and the functions of the plugin that the traceback ends in. Lines move with
    every edit, and the text of an error may hold what is personal.
    """
    cause = error
    while isinstance(cause, TimeoutError) and cause.__cause__ is not None:
        cause = cause.__cause__  # asyncio.timeout's own, made of the cancellation, which knows where the handler stood
    everything = [*_frames(cause.__traceback__)]
    own = [name for name in everything if name == package or name.startswith(f"{package}.")] or everything
    parts = [consumer, type(error).__qualname__, *own[-FRAMES:]]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _frames(trace: TracebackType | None) -> list[str]:
    """Functions of a traceback as "module.function", the innermost last."""
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{trace.tb_frame.f_globals.get('__name__', '')}.{code.co_qualname}")
        trace = trace.tb_next
    return found


def _place(mail: Mail) -> dict[str, Any]:
    return {"topic": mail.record.topic, "partition": mail.record.partition, "offset": mail.record.offset}
