"""Services in other processes: a pool of addresses, and how a call gets an answer from one of them.

    remote = Remote("grpc://projects:50051", pipeline, cipher, metrics, tasks)
    directory.connect(service, remote)

- Names are looked up again every `LOOK_UP` seconds and on every failure; each address has one connection. An address that
  fails is left out, and tried again after a backoff.
- Of two addresses picked at random, the one with fewer calls in flight gets the call (power of two choices): one that is
  slow, or stopped, is soon the worse choice.
- A connection that says nothing while it owes an answer is pinged; unanswered, it is passed over, then given up.
- Whoever connects asks what is served and which contract is meant by it (describe.py). A worker that does not know the
  question is a stranger's, and welcome; it is asked after its health (grpc.health.v1) instead.

What the caller sees of a failure on the way is an `Unavailable` of which the reason says what is known:

    unreachable          nothing was done: nobody was there, or the request was certainly not processed
    contract_mismatch    nothing was done: everyone who is there keeps another contract
    outcome_unknown      it may have been done: the connection broke, or the answer was not one

A request that was certainly not processed is sent to another address, whatever it does. Any other is sent again only if
doing it twice is doing it once: a method that is idempotent, or a call with an Idempotency-Key that its service keeps. At
most `AGAIN` times, never past the deadline, and only while the budget lasts: a tenth of all requests.
"""

from __future__ import annotations

import asyncio
import platform
import random
import socket
import ssl
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from grpclib.const import Status

from acme.context import Call, Kind, Principal
from acme.contract import Method, Service
from acme.contracts.placement.v1 import Served, WorkerStub
from acme.dispatch import status
from acme.dispatch.address import Address, parse
from acme.dispatch.again import AGAIN, PAUSE, Budget, repeatable
from acme.dispatch.describe import CALLER, digest
from acme.dispatch.dialed import Dialed
from acme.dispatch.health import CHECK, is_serving
from acme.dispatch.http2 import Header, Lost, own
from acme.dispatch.identity import Identity, fields, metadata, timeout_text
from acme.dispatch.place import Place, Settings, State
from acme.dispatch.replies import message_of
from acme.dispatch.serve import MESSAGE_LIMIT, Pipeline, Serve, not_carried, too_large
from acme.dispatch.status import MISMATCH, OUTCOME_UNKNOWN, UNREACHABLE
from acme.errors import Code, DeadlineExceeded, Refused, Unavailable
from acme.ports import Cipher
from acme.tasks import Tasks
from acme.telemetry import Metrics, logger

log: Final = logger(__name__)

T = TypeVar("T")

LOOK_UP: Final = 5.0
"""Seconds between two look-ups of the names."""
_IN_FLIGHT: Final = "idempotency_in_flight"
_AGENT: Final = f"acme-platform (python {platform.python_version()})".encode()


@dataclass(frozen=True, slots=True)
class View:
    """An address as `acme topology` shows it."""

    address: str
    state: str
    """ "ready", "connecting", "failing", "silent", or, of a stranger that says so of itself, "not serving"."""
    why: str
    """What went wrong last, "" when nothing did."""
    in_flight: int
    stranger: bool
    """Whether it is a worker of another make, which describes nothing."""
    services: Mapping[str, str]
    """Service → "ok", or "contract differs"."""
    versions: Mapping[str, str]
    """Plugin → version."""


class Remote:
    """The addresses of one target: `address` is one or several, separated by commas (acme/dispatch/address.py).

    `tls` is for "grpcs", and brings our certificate and whom we believe. The peer's certificate has to be for `peer`, or
    for the host in the address when that is left out.
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
    ) -> None:
        self.address: Final = address
        self._targets = parse(address)
        if any(target.tls for target in self._targets) != (tls is not None):
            raise ValueError(f"{address}: {'only grpcs:// takes' if tls else 'grpcs:// needs'} certificates")
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        self.pipeline: Final = pipeline
        self._tasks, self._tls, self._peer = tasks, tls, peer
        self._settings = settings or Settings()
        self._identity = Identity(cipher, pipeline.clock)
        self._authority = ",".join(dict.fromkeys(t.host or "localhost" for t in self._targets)).encode()
        self._worker = pipeline.contracts.service_of(WorkerStub).methods[0]
        self._places: dict[Address, Place] = {}
        self._told: dict[Address, str] = {}
        """Addresses that fail, and the reason that was logged."""
        self._started = False
        self._closed = False
        self._looked = False
        self._look = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._running: list[asyncio.Task[None]] = []
        self._budget = Budget()
        self._durations = metrics.histogram(
            "rpc_client_call_duration_seconds",
            "Duration of calls to other processes, as their callers see them.",
            ("rpc_system_name", "rpc_method", "rpc_response_status_code"),
        )
        self._again = metrics.counter(
            "acme_remote_retries_total", "Calls sent to another process once more.", ("target",)
        ).bind(address)
        self._failures = metrics.counter(
            "acme_remote_failures_total", "Exchanges with other processes that brought no answer.", ("target", "kind")
        )

    # ---- addresses ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to connect. The first call does it too."""
        if not self._started and not self._closed:
            self._started = True
            self._running.append(self._tasks.spawn(f"remote.{self.address}", self._resolve()))

    async def settle(self, limit: float) -> tuple[View, ...]:
        """Connects, and says what is there once every address has been tried, or after `limit` seconds."""
        self.start()
        try:
            async with asyncio.timeout(limit):
                while not self._looked or any(p.state is State.CONNECTING for p in self._places.values()):
                    await self._change()
        except TimeoutError:
            pass
        return self.view()

    def view(self) -> tuple[View, ...]:
        """Every address and what is known of it."""
        return tuple(self._view(place) for place in self._places.values())

    def _view(self, place: Place) -> View:
        known = self.pipeline.contracts.services
        described = (place.services or {}).values()
        return View(
            address=str(place.address),
            state=_shown(place),
            why=place.why,
            in_flight=place.in_flight,
            stranger=place.state is State.READY and place.services is None,
            services={
                one.service: "ok" if one.digest == digest(known[one.service]) else "contract differs"
                for one in described
                if one.service in known
            },
            versions={one.plugin: one.plugin_version for one in described},
        )

    async def close(self) -> None:
        """Ends all connections; calls in flight are lost."""
        self._closed = True
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        for place in list(self._places.values()):
            await place.close()
        self._places.clear()
        self._wake()

    async def _resolve(self) -> None:
        """Keeps the places as the names say, until the end."""
        while True:
            found = await self._addresses()
            for address in found.keys() - self._places.keys():
                target = found[address]
                tls = self._tls if address.tls else None
                peer = self._peer or target.host
                place = Place(
                    address,
                    target,
                    peer,
                    tls,
                    self._settings,
                    self._describe,
                    self._healthy,
                    self._changed,
                    self._tasks,
                )
                self._places[address] = place
                place.start()
            for address in self._places.keys() - found.keys():
                self._places.pop(address).retire()
            self._looked = True
            self._wake()
            self._look.clear()
            try:
                async with asyncio.timeout(LOOK_UP):
                    await self._look.wait()
                await asyncio.sleep(self._settings.backoff)  # a failure: look again soon, but not at once
            except TimeoutError:
                pass

    async def _addresses(self) -> dict[Address, Address]:
        """Every address there is now, and the one it was found by. A name that is not found keeps its old addresses: a
        name service that is down is no reason to lose those that work."""
        found: dict[Address, Address] = {}
        loop = asyncio.get_running_loop()
        for target in self._targets:
            if target.path:
                found[target] = target
                continue
            try:
                async with asyncio.timeout(LOOK_UP):
                    infos = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            except (OSError, TimeoutError) as error:
                log.warning("a name is not found", target=str(target), error=str(error) or type(error).__name__)
                found.update({a: target for a, place in self._places.items() if place.named == target})
                continue
            for *_, where in infos:
                found[target.at(str(where[0]), target.port)] = target
        return found

    async def _describe(self, link: Dialed) -> Mapping[str, Served] | None:
        """What a fresh connection leads to; `None` for a stranger's worker."""
        try:
            reply = await self._ask(link, self._worker.path)
        except Refused as refusal:
            if refusal.code in (Code.UNIMPLEMENTED, Code.UNAUTHENTICATED):
                return None
            raise Lost(f"it does not take us for one of its own: {refusal.message}", processed=False) from None
        read = self.pipeline.wire.decoder(self._worker.reply)
        try:
            return {one.service: one for one in read(reply).services}
        except ValueError as error:
            raise Lost(str(error), processed=False) from None

    async def _healthy(self, link: Dialed) -> bool:
        """What a stranger's worker says of its health; one that keeps no health service is taken for well."""
        try:
            reply = await self._ask(link, CHECK)
        except Refused as refusal:
            return refusal.code in (Code.UNIMPLEMENTED, Code.NOT_FOUND)
        return is_serving(reply)

    async def _ask(self, link: Dialed, path: str) -> bytes:
        """A question of this pool's own."""
        until = time.monotonic() + self._settings.connect
        call = Call(path[1:], Principal(Kind.SERVICE, CALLER), "", until, CALLER)
        return message_of(await link.ask(self._head(path, call), b""))

    def _changed(self, place: Place) -> None:
        if place.state is State.FAILING:
            if self._told.get(place.address) != place.why:  # it is tried again and again
                log.warning("an address fails", address=str(place.address), why=place.why)
                self._told[place.address] = place.why
            self._look.set()
        elif place.state is State.READY:
            self._told.pop(place.address, None)
        self._wake()

    def _wake(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def _change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    def observer(self, method: Method) -> Callable[[Status, float], None]:
        """Measures calls of a method: status, seconds."""
        name, bind = method.path[1:], self._durations.bind
        well = bind("grpc", name, Status.OK.name).observe

        def observe(said: Status, seconds: float) -> None:
            if said is Status.OK:
                well(seconds)
            else:
                bind("grpc", name, said.name).observe(seconds)

        return observe

    # ---- a call -------------------------------------------------------------------------------------------------

    async def call(self, service: Service, method: Method, call: Call, request: bytes, read: Callable[[bytes], T]) -> T:
        """The reply, as `read` makes it of bytes; it raises ValueError for those that are none.

        Raises:
            Refused: the callee's refusal, or `Unavailable` for a failure on the way (see the module).
        """
        self.start()
        self._budget.earn()
        tried: set[Place] = set()
        attempts, rounds = 0, 0
        while True:
            place = self._pick(service, tried)
            if place is None:
                if self._hopeful(service, tried):
                    await self._change()
                    continue
                if not tried or rounds:
                    raise self._nobody(service)
                rounds = 1  # nothing was done so far: once more, over connections that may be new
                tried.clear()
                continue
            try:
                reply = await self._once(place, method, call, request, read)
                place.answered()
                return reply
            except Lost as lost:
                self._failures.bind(self.address, "unknown" if lost.processed else "unprocessed").add()
                log.warning(
                    "a call brought no answer",
                    method=method.path[1:],
                    request_id=call.request_id,
                    address=str(place.address),
                    why=lost.why,
                    processed=lost.processed,
                )
                tried.add(place)
                place.troubled(lost.why)
                if not lost.processed:
                    continue
                failure: Refused = Unavailable(
                    f"Whether {service.name} did it is not known: there was no answer to be understood.",
                    reason=OUTCOME_UNKNOWN,
                )
            except Unavailable as refusal:
                place.answered()
                if refusal.reason != UNREACHABLE:
                    raise
                place.ask_again()  # it was there, and is not any more
                tried.add(place)
                continue
            except Refused as refusal:
                place.answered()
                if not attempts or refusal.reason != _IN_FLIGHT:
                    raise
                failure = refusal  # our own first attempt, which is still at it
            if attempts >= AGAIN or not repeatable(method, call):
                raise failure
            attempts += 1
            pause = random.uniform(0, PAUSE * 2.0**attempts)
            if call.deadline - time.monotonic() <= pause or not self._budget.spend():
                raise failure
            self._again.add()
            await asyncio.sleep(pause)
            if self._pick(service, tried) is None:
                tried.clear()

    def _pick(self, service: Service, tried: Collection[Place]) -> Place | None:
        """The one of two with fewer calls in flight, of those that are there and have not been tried."""
        usable = [place for place in self._places.values() if place not in tried and _serves(place, service)]
        if len(usable) > 1:
            heard = [place for place in usable if not place.silent()] or usable
            usable = random.sample(heard, 2) if len(heard) > 2 else heard
            if len(usable) == 2:
                one, other = usable
                if one.in_flight == other.in_flight:
                    return random.choice(usable)
                return one if one.in_flight < other.in_flight else other
        return usable[0] if usable else None

    def _hopeful(self, service: Service, tried: Collection[Place]) -> bool:
        """Whether an address that is not there may be in a moment."""
        if not self._looked and not self._closed:
            return True
        hope = False
        for place in self._places.values():
            if place in tried:
                continue
            if place.state is State.READY and service.name not in (place.services or {}):
                place.ask_again()
            place.kick()
            hope = hope or place.asking or place.state is State.CONNECTING
        return hope

    def _nobody(self, service: Service) -> Unavailable:
        differing = [
            place
            for place in self._places.values()
            if place.state is State.READY and place.services is not None and service.name in place.services
        ]
        if differing and not any(_serves(place, service) for place in differing):
            return Unavailable(
                f"{service.name} runs with another contract than this process: bring both to one version.",
                reason=MISMATCH,
                retry_after=5.0,
            )
        return Unavailable(f"{service.name} cannot be reached.", reason=UNREACHABLE)

    async def _once(self, place: Place, method: Method, call: Call, request: bytes, read: Callable[[bytes], T]) -> T:
        link = place.link
        if link is None:
            raise Lost("the connection is closed", processed=False)
        place.in_flight += 1
        try:
            return read(message_of(await link.ask(self._head(method.path, call), request)))
        except ValueError as error:
            raise Lost(f"the reply cannot be read: {error}", processed=True) from None
        finally:
            place.in_flight -= 1

    def _head(self, path: str, call: Call) -> list[Header]:
        left = call.deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("There was no time left for the call.")
        sent = metadata(call)
        sent[b"acme-identity"] = self._identity.prove(call.service, path, sent)
        return [
            (b":method", b"POST"),
            (b":scheme", b"https" if self._tls is not None else b"http"),
            (b":path", path.encode()),
            (b":authority", self._authority),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc+proto"),
            (b"user-agent", _AGENT),
            own(b"grpc-timeout", timeout_text(left)),
            *fields(sent),
        ]


def place(remote: Remote, service: Service, method: Method) -> Serve:
    """One method of a service in another process."""
    wire = remote.pipeline.wire
    if method.client_streaming or method.server_streaming:
        return _not_carried_yet
    write, read = wire.encoder(method.request), wire.decoder(method.reply)
    observe = remote.observer(method)
    clock = time.perf_counter

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
                    observe(Status.OK, clock() - started)
                    return reply
                except Refused as error:
                    refusal = error
            else:
                refusal = too_large("request")
        observe(status.STATUS[refusal.code], clock() - started)
        raise refusal

    return send


async def _not_carried_yet(call: Call, message: Any) -> Any:
    raise status.refused(Code.UNIMPLEMENTED, f"{call.method} streams, and streams are not carried yet.")


def _shown(place: Place) -> str:
    if place.state is not State.READY:
        shown: str = place.state.value
        return shown
    if not place.healthy:
        return "not serving"
    return "silent" if place.silent() else "ready"


def _serves(place: Place, service: Service) -> bool:
    """Whether calls of a service may go there: it is there, and means by the contract what we do."""
    if place.state is not State.READY or place.link is None:
        return False
    if place.services is None:
        return place.healthy
    described = place.services.get(service.name)
    return described is not None and described.digest == digest(service)
