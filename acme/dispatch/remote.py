"""Services in other processes: a pool of addresses, and how a call gets an answer from one of them.

    remote = Remote("grpc://projects:50051", pipeline, cipher, metrics, tasks)
    directory.connect(service, remote)

- Names are looked up again every few seconds and on every failure; each address has one connection. An address that
  fails is left out, and tried again after a backoff.
- Of two addresses picked at random, the one with fewer calls in flight gets the call (power of two choices): one that is
  slow, or stopped, is soon the worse choice.
- A connection in use is pinged every 0.3 s. An address that takes longer than that to answer is passed over while there
  is another: 0.7 s after a worker has stopped, or has become that slow, calls go elsewhere. One that says nothing at all
  is given up, 2 s after it stopped, and its calls are lost. (`Settings` in place.py; a stranger's worker: 4 s and 8 s.)
- An address that fails where others do not gets no calls for a while, although it is there (outliers.py).
- Whoever connects asks what is served and which contract is meant by it (describe.py). A worker that does not know the
  question is a stranger's, and welcome; it is asked after its health (grpc.health.v1) instead.

What the caller sees of a failure on the way is an `Unavailable` of which the reason says what is known:

    unreachable          nothing was done: nobody was there, or the request was certainly not processed
    contract_mismatch    nothing was done: everyone who is there keeps another contract
    outcome_unknown      it may have been done: the connection broke, or the answer was not one

A request that was certainly not processed is sent to another address, whatever it does. Any other is sent again only if
doing it twice is doing it once: a method that is idempotent, or a call with an Idempotency-Key that its service keeps. At
most `AGAIN` times, never past the deadline, and only while the budget lasts: a tenth of all requests. A stream is sent
again until its first reply, if its request is one message, and never after that: an end that is not whole is never silent.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final, TypeVar

from grpclib.const import Status

from acme.context import Call
from acme.contract import Method, Service
from acme.dispatch import loopback, status
from acme.dispatch.again import AGAIN, PAUSE, Budget, repeatable
from acme.dispatch.conversation import Conversation
from acme.dispatch.dialed import CROWDED
from acme.dispatch.exchange import Lost
from acme.dispatch.messages import Messages
from acme.dispatch.outliers import FAILED
from acme.dispatch.place import Place, Settings
from acme.dispatch.pool import Pool, Resolve, View, resolve
from acme.dispatch.replies import message_of
from acme.dispatch.serve import MESSAGE_LIMIT, Pipeline, Serve, not_carried, too_large
from acme.dispatch.status import OUTCOME_UNKNOWN, UNREACHABLE
from acme.dispatch.streams import Streamed
from acme.errors import Refused, Unavailable
from acme.ports import Cipher
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger
from acme.traces import SENT

__all__ = ["Remote", "View", "place"]

log: Final = logger(__name__)

T = TypeVar("T")

_IN_FLIGHT: Final = "idempotency_in_flight"
_MOMENT: Final = 0.01
"""Seconds by which a timer may be early."""


class Remote:
    """The addresses of one target: `address` is one or several, separated by commas (acme/dispatch/address.py).

    `tls` is for "grpcs", and brings our certificate and whom we believe. The peer's certificate has to be for `peer`, or
    for the host in the address when that is left out. `resolve` says which addresses a name has.
    """

    def __init__(
        self,
        address: str,
        pipeline: Pipeline,
        cipher: Cipher,
        metrics: Metrics,
        tasks: Tasks,
        tls: ssl.SSLContext | None = None,
        *,
        peer: str = "",
        settings: Settings | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self.address: Final = address
        self.pipeline: Final = pipeline
        self._tasks = tasks
        self._pool = Pool(address, pipeline, cipher, tasks, tls, peer, settings or Settings(), resolve)
        self._budget = Budget()
        self._durations = metrics.histogram(
            "rpc_client_call_duration_seconds",
            "Duration of calls to other processes, as their callers see them.",
            ("rpc_system_name", "rpc_method", "rpc_response_status_code"),
        )
        self._again = metrics.counter(
            "acme_remote_retries_total", "Calls sent to another process once more.", ("target",)
        ).bind(address)
        self._unpaid = metrics.counter(
            "acme_remote_retries_refused_total", "Calls not sent once more: the budget for that was spent.", ("target",)
        ).bind(address)
        self._ejections = metrics.counter(
            "acme_remote_ejections_total", "Times an address was left out: it failed where others did not.", ("target",)
        ).bind(address)
        self._failures = metrics.counter(
            "acme_remote_failures_total", "Exchanges with other processes that brought no answer.", ("target", "kind")
        )

    def start(self) -> None:
        """Begins to connect. The first call does it too."""
        self._pool.start()

    async def settle(self, limit: float) -> tuple[View, ...]:
        """Connects, and says what is there once every address has been tried, or after `limit` seconds."""
        return await self._pool.settle(limit)

    def view(self) -> tuple[View, ...]:
        """Every address and what is known of it."""
        return self._pool.view()

    async def close(self) -> None:
        """Ends all connections; calls in flight are lost."""
        await self._pool.close()

    def observer(self, method: Method) -> Callable[[Call, Status, float], None]:
        """Measures calls of a method that have just ended: the call, its status, and when it began."""
        name, bind = method.path[1:], self._durations.bind
        well = bind("grpc", name, Status.OK.name).observe
        clock, address = time.monotonic, self.address

        def observe(call: Call, said: Status, started: float) -> None:
            now = clock()
            if said is Status.OK:
                well(now - started)
            else:
                bind("grpc", name, said.name).observe(now - started)
            if call.trace is not None:
                status.recorded(call.trace, call, name, started, now, said, address, SENT)

        return observe

    # ---- a call -------------------------------------------------------------------------------------------------

    async def call(self, service: Service, method: Method, call: Call, request: bytes, read: Callable[[bytes], T]) -> T:
        """The reply, as `read` makes it of bytes; it raises ValueError for those that are none.

        Raises:
            Refused: the callee's refusal, or `Unavailable` for a failure on the way (see the module).
        """
        return await self._answered(service, method, call, lambda at: self._once(at, method, call, request, read))

    async def converse(self, service: Service, method: Method, call: Call, requests: Messages) -> Conversation:
        """A call that streams, as far as its first reply: until then it is sent again as any other, unless requests that
        cannot be had twice are gone.

        Raises: as `call`.
        """

        message = None if method.client_streaming else await anext(requests)

        async def begun(at: Place) -> Conversation:
            if at.link is None:
                raise Lost("the connection is closed", processed=False)
            return await Conversation.begin(
                at, at.link, self._pool.requests.head(method.path, call), method, message, requests, self._tasks
            )

        def fresh() -> bool:
            return not (method.client_streaming and requests.pulled)

        return await self._answered(service, method, call, begun, fresh)

    async def _answered(
        self,
        service: Service,
        method: Method,
        call: Call,
        attempt: Callable[[Place], Awaitable[T]],
        fresh: Callable[[], bool] = lambda: True,
    ) -> T:
        """What `attempt` makes at one address or another. It is made once only when it is not `fresh` any more."""
        pool = self._pool
        pool.start()
        self._budget.earn()
        tried: set[Place] = set()
        attempts, rounds = 0, 0
        while True:
            place = pool.pick(service, tried)
            if place is None:
                if pool.hopeful(service, tried):
                    await pool.change()
                    continue
                if not tried or rounds:
                    raise pool.nobody(service)
                rounds = 1  # nothing was done so far: once more, over connections that may be new
                tried.clear()
                continue
            began = time.monotonic()
            try:
                reply = await attempt(place)
                place.answered()
                self._judge(place, method, True)
                return reply
            except Lost as lost:
                failure: Refused = self.lost(place, method, call, lost)
                self._judge(place, method, not lost.processed)
                tried.add(place)
                if not lost.processed and fresh():
                    continue
            except Unavailable as refusal:
                place.answered()
                if refusal.reason != UNREACHABLE:
                    self._judge(place, method, refusal.reason == CROWDED)
                    raise
                if not fresh():
                    raise
                place.ask_again()  # it was there, and is not any more
                tried.add(place)
                continue
            except Refused as refusal:
                place.answered()
                self._judge(place, method, not (refusal.code in FAILED or self._late(call, began)))
                if not attempts or refusal.reason != _IN_FLIGHT:
                    raise
                failure = refusal  # our own first attempt, which is still at it
            except asyncio.CancelledError:
                if self._late(call, began):
                    self._judge(place, method, False)
                raise
            if attempts >= AGAIN or not fresh() or not repeatable(method, call):
                raise failure
            attempts += 1
            pause = random.uniform(0, PAUSE * 2.0**attempts)
            if call.deadline - time.monotonic() <= pause:
                raise failure
            if not self._budget.spend():
                self._unpaid.add()
                raise failure
            self._again.add()
            await asyncio.sleep(pause)
            if pool.pick(service, tried) is None:
                tried.clear()

    def _judge(self, place: Place, method: Method, well: bool) -> None:
        if self._pool.judge(place, method, well):
            self._ejections.add()

    def _late(self, call: Call, began: float) -> bool:
        """Whether a call's time is up, of which the callee had enough."""
        now = time.monotonic()
        return now >= call.deadline - _MOMENT and now - began >= self._pool.outliers.limits.late

    def lost(self, place: Place, method: Method, call: Call, lost: Lost) -> Unavailable:
        """Accounts for an exchange that brought no answer, and says what its caller gets for it."""
        self._failures.bind(self.address, "unknown" if lost.processed else "unprocessed").add()
        log.warning(
            "a call brought no answer",
            method=method.path[1:],
            request_id=call.request_id,
            address=str(place.address),
            why=lost.why,
            processed=lost.processed,
        )
        place.troubled(lost.why)
        message = f"Whether {method.service} did it is not known: there was no answer to be understood."
        return Unavailable(message, reason=OUTCOME_UNKNOWN)

    async def _once(self, place: Place, method: Method, call: Call, request: bytes, read: Callable[[bytes], T]) -> T:
        link = place.link
        if link is None:
            raise Lost("the connection is closed", processed=False)
        place.in_flight += 1
        try:
            return read(message_of(await link.ask(self._pool.requests.head(method.path, call), request)))
        except ValueError as error:
            raise Lost(f"the reply cannot be read: {error}", processed=True) from None
        finally:
            place.in_flight -= 1


def place(remote: Remote, service: Service, method: Method) -> Serve:
    """One method of a service in another process."""
    wire = remote.pipeline.wire
    write, read = wire.encoder(method.request), wire.decoder(method.reply)
    observe = remote.observer(method)
    clock = time.monotonic

    async def send(call: Call, message: Any) -> Any:
        started = clock()
        try:
            request = write(message)
        except ValueError as error:
            refusal: Refused = not_carried(error)
        else:
            if len(request) <= MESSAGE_LIMIT:
                try:
                    reply = await remote.call(service, method, call, request, read)
                    observe(call, Status.OK, started)
                    return reply
                except Refused as error:
                    refusal = error
                except asyncio.CancelledError:
                    observe(call, Status.CANCELLED, started)
                    raise
            else:
                refusal = too_large("request")
        observe(call, status.STATUS[refusal.code], started)
        raise refusal

    return send


def place_stream(remote: Remote, service: Service, method: Method) -> Streamed:
    """One method, that streams, of a service in another process."""
    write, read = loopback.outgoing(remote.pipeline, method), remote.pipeline.wire.decoder(method.reply)
    observe = remote.observer(method)
    clock = time.monotonic

    async def send(call: Call, requests: Messages) -> AsyncGenerator[Any, None]:
        started, said = clock(), Status.CANCELLED
        try:
            talk = await remote.converse(service, method, call, requests.turned(write))
            try:
                while (message := await talk.next()) is not None:
                    try:
                        reply = read(message)
                    except ValueError as error:
                        raise Lost(f"a reply cannot be read: {error}", processed=True) from None
                    yield reply
            except Lost as lost:
                raise remote.lost(talk.place, method, call, lost) from None
            finally:
                await talk.close()
            said = Status.OK
        except Refused as refusal:
            said = status.STATUS[refusal.code]
            raise
        finally:
            observe(call, said, started)

    return send
