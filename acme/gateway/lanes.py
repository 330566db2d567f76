"""A lane for each service: how many of its calls are under way, so that a slow one does not take all that the gateway has.

A call takes a place of its service's lane, and gives it back. Where all are taken, a few wait for a moment, in the order in
which they came; the others are refused at once, since a client that hears so can do something else. Streams have lanes of
their own: they stay for long, and cost less.

A lane has a circuit breaker. What counts as no answer: the service cannot be reached, whether it did it is not known, or the
whole time that the method has was up. A client that asks for less time proves nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

from acme.contract import Method, Service
from acme.errors import Code, Refused, Unavailable
from acme.gateway.breaker import Breaker
from acme.gateway.deadlines import Alarm
from acme.gateway.service_settings import ServiceSettings
from acme.telemetry import CounterFamily, Metrics, logger

log: Final = logger(__name__)

DEFAULT: Final = "default"
PATIENT: Final = 0.9
"""The part of a method's time that a call has to have had, for its end to prove anything."""
_SHUT: Final = 1 << 40
"""What an open circuit takes of the places that are free: so a call looks at one number, whatever there is to know."""
_NO_ANSWER: Final = frozenset({"unreachable", "outcome_unknown", "contract_mismatch"})


class Standing(Protocol):
    """What more calls wait for than have their turn: `queues.Store`."""

    @property
    def full(self) -> bool:
        """Whether nobody is let in for now."""

    def keep(self, comer: Any, data: bytes, patience: float) -> bool:
        """Lets a request wait in line, as it came."""

    def served(self) -> None:
        """A call has ended."""


class Lane:
    """Of one service: its calls, or its streams.

    Whoever calls: `if lane.free < 1: await lane.enter(due)`, `lane.free -= 1`, and then `lane.left(…)` after a failure, else
    `lane.free += 1` and `if lane.eventful: lane.answered()`.
    """

    __slots__ = (
        "_breaker",
        "_full",
        "_most",
        "_queue",
        "_refused",
        "_wait",
        "_waiting",
        "delay",
        "eventful",
        "free",
        "service",
        "store",
    )

    def __init__(self, service: str, full: str, refused: CounterFamily) -> None:
        """`full` is the reason that is given where no place is left."""
        self.service, self._full, self._refused = service, full, refused
        self.free = 0
        """Places that are left."""
        self.eventful = False
        """Whether an answer changes anything: somebody waits, or there were failures."""
        self.delay = 0.0
        """Seconds that a call is about to wait, as far as that is known here; see `overload.py`."""
        self.store: Standing | None = None
        """Where its calls wait, while too many do; see `stand`."""
        self._most = self._queue = 0
        self._wait = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._breaker = Breaker(0, 1.0)

    def configure(self, most: int, queue: int = 0, wait: float = 0.0, failures: int = 0, pause: float = 1.0) -> None:
        """From now on. Calls that are under way keep their places."""
        self.free += most - self._most
        self._most, self._queue, self._wait = most, queue, wait
        self._breaker.most, self._breaker.pause = failures, pause
        if not failures and self._breaker.open:
            self.answered()
        self._hand_out()

    def stand(self, store: Standing | None) -> None:
        """From now on more calls wait there than have their turn; or no more do."""
        self.store = store
        self._hand_out()

    @property
    def active(self) -> int:
        """Places that are taken."""
        return self._most - self.free - (_SHUT if self.open else 0)

    @property
    def open(self) -> bool:
        """Whether its circuit is open: nobody is let in but who tries."""
        return self._breaker.open

    async def enter(self, due: float) -> None:
        """Waits for a place until `due` (`time.monotonic()`) at most. It is free when this returns.

        Raises:
            Unavailable: there is none in time, or the circuit is open.
        """
        if self.open:
            seconds = self._breaker.admit(time.monotonic())
            if seconds:
                self._refused.bind(self.service, "circuit_open").add()
                told = f"{self.service} gives no answers: try again later."
                raise Unavailable(told, reason="circuit_open", retry_after=seconds)
            if self.free + _SHUT > 0:
                return
            self._breaker.unclear()
        elif len(self._waiting) < self._queue:
            await self._place(min(self._wait, due - time.monotonic()))
            return
        raise self._busy()

    def left(self, error: BaseException, patient: bool, alarm: Alarm | None) -> None:
        """A call ended in `error`. `patient`: it had all the time that the method has; `alarm` is the one that ends it."""
        self.free += 1
        if isinstance(error, Refused):
            none = (
                error.reason in _NO_ANSWER
                if error.code is Code.UNAVAILABLE
                else error.code is Code.DEADLINE and patient
            )
            if none:
                self._failed()
            else:
                self.answered()
        elif alarm is not None and alarm.rang and patient:
            self._failed()
        else:
            self._breaker.unclear()
        self._hand_out()

    def answered(self) -> None:
        """There was an answer."""
        if self._breaker.worked():
            self.free += _SHUT
            log.info("a service answers again", service=self.service)
        self._hand_out()

    def _failed(self) -> None:
        if self._breaker.failed(time.monotonic()):
            self.free -= _SHUT
            log.warning("a service gives no answers", service=self.service, calls=self._breaker.failures)

    def _hand_out(self) -> None:
        waiting = self._waiting
        while waiting and self.free > 0:
            future = waiting.popleft()
            if not future.done():
                self.free -= 1  # kept for it until it runs
                future.set_result(None)
        store = self.store
        self.eventful = bool(waiting or store is not None or self._breaker.failures)
        if store is not None:
            store.served()

    async def _place(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self.eventful = True
        try:
            async with asyncio.timeout(seconds):
                await future
        except BaseException as error:
            if future.done() and not future.cancelled():
                self.free += 1  # it came in the very moment
                if isinstance(error, TimeoutError):
                    return
                self._hand_out()
            else:
                with suppress(ValueError):  # whoever handed places out meanwhile has passed it over
                    self._waiting.remove(future)
            if isinstance(error, TimeoutError):
                raise self._busy() from None
            raise
        self.free += 1

    def _busy(self) -> Unavailable:
        self._refused.bind(self.service, self._full).add()
        return Unavailable(f"{self.service} has too much to do: try again.", reason=self._full)


class Lanes:
    """Those of one gateway."""

    def __init__(self, services: Iterable[Service], settings: Mapping[str, ServiceSettings], metrics: Metrics) -> None:
        refused = metrics.counter(
            "acme_gateway_service_refused_total",
            "Calls that were not sent to a service: too many were under way, or it gave no answers.",
            ("rpc_service", "reason"),
        )
        names = [service.name for service in services]
        self._calls = {name: Lane(name, "service_busy", refused) for name in names}
        self._streams = {name: Lane(name, "too_many_streams", refused) for name in names}
        self.configure(settings)
        metrics.gauge(
            "acme_gateway_service_calls",
            "Calls and streams of a service that are under way at the gateway.",
            ("rpc_service", "kind"),
            lambda: {
                (lane.service, kind): float(lane.active)
                for kind, lanes in (("call", self._calls), ("stream", self._streams))
                for lane in lanes.values()
            },
        )
        metrics.gauge(
            "acme_gateway_circuit_open",
            "1 while a service gives no answers and gets no calls.",
            ("rpc_service",),
            lambda: {(lane.service,): float(lane.open) for lane in self._calls.values()},
        )

    def configure(self, settings: Mapping[str, ServiceSettings]) -> None:
        """From now on."""
        for name in settings.keys() - self._calls.keys() - {DEFAULT}:
            log.warning("[gateway.services] names a service that is not served", service=name)
        for name, lane in self._calls.items():
            own = settings.get(name) or settings.get(DEFAULT) or ServiceSettings()
            lane.configure(own.concurrency, own.queue, own.wait, own.failures, own.pause)
            self._streams[name].configure(own.streams)

    @property
    def streams(self) -> int:
        """How many are under way."""
        return sum(lane.active for lane in self._streams.values())

    def serving(self, service: str) -> Sequence[Lane]:
        """Those of a service: of its calls, and of its streams."""
        return [lanes[service] for lanes in (self._calls, self._streams) if service in lanes]

    def of(self, method: Method) -> Lane:
        """The lane that calls of a method take."""
        streams = method.client_streaming or method.server_streaming
        return (self._streams if streams else self._calls)[method.service]
