"""The addresses of one target: which there are, what is known of each, and which of them gets a call."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from acme.context import Call, Kind, Principal
from acme.contract import Method, Service
from acme.contracts.placement.v1 import DescribeRequest, Served, WorkerStub
from acme.dispatch.address import Address, parse
from acme.dispatch.agreed import DIFFERS, Agreed
from acme.dispatch.describe import CALLER
from acme.dispatch.dialed import Dialed
from acme.dispatch.exchange import Lost
from acme.dispatch.health import CHECK, is_serving
from acme.dispatch.outliers import Outliers
from acme.dispatch.place import Place, Settings, State
from acme.dispatch.replies import message_of
from acme.dispatch.requests import Requests
from acme.dispatch.serve import Pipeline
from acme.dispatch.status import MISMATCH, UNREACHABLE
from acme.errors import Code, Refused, Unavailable
from acme.ports import Cipher
from acme.tasks import Tasks
from acme.telemetry import logger

log: Final = logger(__name__)

Resolve = Callable[[str, int], Awaitable[Collection[str]]]
"""The addresses of a host name, for connections to a port.

Raises:
    OSError: it has none, or nobody can say.
"""


async def resolve(host: str, port: int) -> Collection[str]:
    """What the system's resolver says: /etc/hosts, DNS, whatever this machine is set up for."""
    infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return dict.fromkeys(str(where[0]) for *_, where in infos)


@dataclass(frozen=True, slots=True)
class View:
    """An address as `acme topology` shows it."""

    address: str
    state: str
    """ "ready", "connecting", "failing", "silent", "slow", "outlier", or, of a stranger that says so of itself, "not
    serving"."""
    why: str
    """What went wrong last, "" when nothing did."""
    in_flight: int
    stranger: bool
    """Whether it is a worker of another make, which describes nothing."""
    services: Mapping[str, str]
    """Service → "ok", "compatible", or "contract differs"."""
    versions: Mapping[str, str]
    """Plugin → version."""


class Pool:
    """Connects to all addresses, and keeps them connected. `text` is one address or several; see `Remote` for the rest."""

    def __init__(
        self,
        text: str,
        pipeline: Pipeline,
        cipher: Cipher,
        tasks: Tasks,
        tls: ssl.SSLContext | None,
        peer: str,
        settings: Settings,
        resolve: Resolve,
    ) -> None:
        self._targets = parse(text)
        if any(target.tls for target in self._targets) != (tls is not None):
            raise ValueError(f"{text}: {'only grpcs:// takes' if tls else 'grpcs:// needs'} certificates")
        if tls is not None:
            tls.set_alpn_protocols(["h2"])
        self._name, self._lookup = text, resolve
        self._pipeline, self._tasks, self._tls, self._peer, self._settings = pipeline, tasks, tls, peer, settings
        authority = ",".join(dict.fromkeys(target.host or "localhost" for target in self._targets))
        self.requests: Final = Requests(cipher, pipeline.clock, authority, secure=tls is not None)
        self._worker = pipeline.contracts.service_of(WorkerStub).methods[0]
        self.agreed: Final = Agreed(pipeline.contracts)
        self._places: dict[Address, Place] = {}
        self.outliers: Final[Outliers[Place]] = Outliers(settings.outliers)
        self._told: dict[Address, str] = {}
        """Addresses that fail, and the reason that was logged."""
        self._started = False
        self._closed = False
        self._looked = False
        self._look = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._running: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins to connect. The first call does it too."""
        if not self._started and not self._closed:
            self._started = True
            self._running.append(self._tasks.spawn(f"remote.{self._name}", self._resolve()))

    async def settle(self, limit: float) -> tuple[View, ...]:
        """Connects, and says what is there once every address has been tried, or after `limit` seconds."""
        self.start()
        try:
            async with asyncio.timeout(limit):
                while not self._looked or any(p.state is State.CONNECTING for p in self._places.values()):
                    await self.change()
        except TimeoutError:
            pass
        return self.view()

    def view(self) -> tuple[View, ...]:
        """Every address and what is known of it."""
        return tuple(self._view(place) for place in self._places.values())

    def _view(self, place: Place) -> View:
        known = self._pipeline.contracts.services
        described = (place.services or {}).values()
        return View(
            address=str(place.address),
            state=_shown(place, self.outliers.away(place, time.monotonic())),
            why=place.why,
            in_flight=place.in_flight,
            stranger=place.state is State.READY and place.services is None,
            services={
                one.service: self.agreed.of(one, known[one.service]) for one in described if one.service in known
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
                gone = self._places.pop(address)
                self.outliers.forget(gone)
                gone.retire()
            self._looked = True
            self._wake()
            self._look.clear()
            try:
                async with asyncio.timeout(self._settings.look_up):
                    await self._look.wait()
                await asyncio.sleep(self._settings.backoff)  # a failure: look again soon, but not at once
            except TimeoutError:
                pass

    async def _addresses(self) -> dict[Address, Address]:
        """Every address there is now, and the one it was found by. A name that is not found keeps its old addresses: a
        name service that is down is no reason to lose those that work."""
        found: dict[Address, Address] = {}
        for target in self._targets:
            if target.path:
                found[target] = target
                continue
            try:
                async with asyncio.timeout(self._settings.look_up):
                    hosts = await self._lookup(target.host, target.port)
            except (OSError, TimeoutError) as error:
                log.warning("a name is not found", target=str(target), error=str(error) or type(error).__name__)
                found.update({a: target for a, place in self._places.items() if place.named == target})
                continue
            found.update((target.at(host, target.port), target) for host in hosts)
        return found

    async def _describe(self, link: Dialed) -> Mapping[str, Served] | None:
        """What a fresh connection leads to; `None` for a stranger's worker."""
        try:
            reply = await self._ask(link, self._worker.path)
        except Refused as refusal:
            if refusal.code in (Code.UNIMPLEMENTED, Code.UNAUTHENTICATED):
                return None
            raise Lost(f"it does not take us for one of its own: {refusal.message}", processed=False) from None
        read = self._pipeline.wire.decoder(self._worker.reply)
        try:
            described = {one.service: one for one in read(reply).services}
            if wanted := self.agreed.unknown(described.values()):
                question = bytes(DescribeRequest(wanted=wanted))
                for one in read(await self._ask(link, self._worker.path, question)).services:
                    self.agreed.learn(one)
        except ValueError as error:
            raise Lost(str(error), processed=False) from None
        return described

    async def _healthy(self, link: Dialed) -> bool:
        """What a stranger's worker says of its health; one that keeps no health service is taken for well."""
        try:
            reply = await self._ask(link, CHECK)
        except Refused as refusal:
            return refusal.code in (Code.UNIMPLEMENTED, Code.NOT_FOUND)
        return is_serving(reply)

    async def _ask(self, link: Dialed, path: str, question: bytes = b"") -> bytes:
        """A question of this pool's own."""
        until = time.monotonic() + self._settings.connect
        call = Call(path[1:], Principal(Kind.SERVICE, CALLER), "", until, CALLER)
        return message_of(await link.ask(self.requests.head(path, call), question))

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

    async def change(self) -> None:
        """Waits until something of an address has changed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    # ---- who gets a call ----------------------------------------------------------------------------------------

    def pick(self, service: Service, tried: Collection[Place]) -> Place | None:
        """The one of two with fewer calls in flight, of those that are there and have not been tried."""
        usable = [
            place for place in self._places.values() if place not in tried and _serves(place, service, self.agreed)
        ]
        if len(usable) > 1:
            now = time.monotonic()
            heard = [p for p in usable if not (p.silent() or p.slow() or self.outliers.away(p, now))] or usable
            usable = random.sample(heard, 2) if len(heard) > 2 else heard
            if len(usable) == 2:
                one, other = usable
                if one.in_flight == other.in_flight:
                    return random.choice(usable)
                return one if one.in_flight < other.in_flight else other
        return usable[0] if usable else None

    def judge(self, place: Place, method: Method, well: bool) -> bool:
        """Takes note of how a call ended there. Whether the address gets no calls for that from now on."""
        now = time.monotonic()
        if well:
            self.outliers.succeeded(place, method.path, now)
            return False
        seconds = self.outliers.failed(place, method.path, len(self._places), now)
        if seconds:
            log.warning(
                "an address fails where others do not",
                address=str(place.address),
                method=method.path[1:],
                seconds=seconds,
            )
        return seconds > 0

    def hopeful(self, service: Service, tried: Collection[Place]) -> bool:
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

    def nobody(self, service: Service) -> Unavailable:
        """Why there is nobody to call."""
        differing = [
            place
            for place in self._places.values()
            if place.state is State.READY and place.services is not None and service.name in place.services
        ]
        if differing and not any(_serves(place, service, self.agreed) for place in differing):
            return Unavailable(
                f"{service.name} runs with another contract than this process: bring both to one version.",
                reason=MISMATCH,
                retry_after=5.0,
            )
        return Unavailable(f"{service.name} cannot be reached.", reason=UNREACHABLE)


def _shown(place: Place, away: bool) -> str:
    if place.state is not State.READY:
        shown: str = place.state.value
        return shown
    if not place.healthy:
        return "not serving"
    if place.silent():
        return "silent"
    if place.slow():
        return "slow"
    return "outlier" if away else "ready"


def _serves(place: Place, service: Service, agreed: Agreed) -> bool:
    """Whether calls of a service may go there: it is there, and means by the contract what we do."""
    if place.state is not State.READY or place.link is None:
        return False
    if place.services is None:
        return place.healthy
    described = place.services.get(service.name)
    return described is not None and agreed.of(described, service) != DIFFERS
