"""One address of another process: its connection, kept alive and made again, and what is known of who is there."""

from __future__ import annotations

import asyncio
import enum
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from acme.contracts.placement.v1 import Served
from acme.dispatch.address import Address
from acme.dispatch.dialed import Dialed
from acme.dispatch.exchange import Lost
from acme.dispatch.http2 import WINDOW
from acme.dispatch.outliers import Limits
from acme.errors import Refused
from acme.tasks import Tasks


class State(enum.Enum):
    """What can be said of an address."""

    CONNECTING = "connecting"
    """Nothing is known yet, or a connection that was good has just ended: it is worth waiting for."""
    READY = "ready"
    FAILING = "failing"
    """The last attempt failed: left out until one succeeds."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is expected of an address. Times are in seconds."""

    connect: float = 1.0
    """To connect and to be told what is served."""
    backoff: float = 0.1
    """Between a failed attempt and the next; doubled each time, less by jitter,"""
    most: float = 5.0
    """up to this."""
    quiet: float = 0.3
    """Between two pings, while there are calls;"""
    silent: float = 0.3
    """an answer that takes longer, and the peer gets no more calls while there is another;"""
    dead: float = 1.5
    """nothing at all for this long after a ping, and the connection is given up."""
    stranger: float = 4.0
    """Silence, while an answer is owed, after which a worker of another make is pinged, and the same again after which
    it is given up: many take more pings for an attack."""
    tick: float = 0.1
    """Between two looks."""
    troubles: int = 3
    """How many exchanges in a row may bring no answer before the address counts as failing."""
    health: float = 1.0
    """Between two questions after the health of a worker of another make."""
    look_up: float = 5.0
    """Between two look-ups of the names, and for one of them."""
    kick: float = 0.5
    """Seconds at least, between two attempts while calls ask for one."""
    outliers: Limits = field(default_factory=Limits)
    """When an address is left out for its answers."""

    @property
    def passed_over(self) -> float:
        """Seconds at most from the moment at which a worker of ours stands still until no more calls go to it."""
        return self.quiet + self.tick + self.silent

    @property
    def given_up(self) -> float:
        """The same until the calls that are with it are given up: sent elsewhere, or refused."""
        return self.quiet + self.dead + 2 * self.tick


class Place:
    """One address. `describe` asks a fresh connection what is served there: by service, `None` when a stranger's worker
    does not know the question; that one's health is asked by `healthy`, again and again. `changed` is called whenever
    `state` does."""

    def __init__(
        self,
        address: Address,
        named: Address,
        peer: str,
        tls: ssl.SSLContext | None,
        settings: Settings,
        describe: Callable[[Dialed], Awaitable[Mapping[str, Served] | None]],
        healthy: Callable[[Dialed], Awaitable[bool]],
        changed: Callable[[Place], None],
        tasks: Tasks,
    ) -> None:
        self.address, self.named, self.peer = address, named, peer
        """The address; the one it was found by; the name that the peer's certificate has to bear."""
        self.state = State.CONNECTING
        self.why = ""
        """What went wrong last."""
        self.link: Dialed | None = None
        self.in_flight = 0
        self.services: Mapping[str, Served] | None = None
        self.healthy = True
        """What a stranger's worker says of itself."""
        self._examined = 0.0
        self._tls, self._settings, self._describe, self._healthy, self._changed = (
            tls,
            settings,
            describe,
            healthy,
            changed,
        )
        self._tasks = tasks
        self._failures = 0
        self._troubles = 0
        self._useful = False
        self._tried = 0.0
        self._woken = asyncio.Event()
        self._retired = False
        self._asked = 0.0
        self.asking = False
        """Whether what is served is being asked again."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connects, and connects again, until `retire` or `close`."""
        self._task = self._tasks.spawn(f"place.{self.address}", self._keep())

    def retire(self) -> None:
        """The address is not in use any more: calls in flight finish, then the connection ends."""
        self._retired = True
        if self._task is not None:
            self._task.cancel()
        link, self.link = self.link, None
        if link is not None:
            link.retire()

    async def close(self) -> None:
        """Ends the connection; calls in flight are lost."""
        self._retired = True
        link, self.link = self.link, None
        if link is not None:
            link.abort("closed from this side")
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def silent(self) -> bool:
        """Whether nothing has come from the peer since it was pinged."""
        pinged = self.link.pinged if self.link is not None else 0.0
        return pinged != 0.0 and time.monotonic() - pinged > self._settings.silent

    def slow(self) -> bool:
        """Whether the way there and back, or the peer's loop, is slow: it took too long for the last ping."""
        return self.link is not None and self.link.lag() > self._settings.silent

    def answered(self) -> None:
        """An exchange ended as it should, whatever the answer."""
        self._troubles, self._useful = 0, True

    def troubled(self, why: str) -> None:
        """An exchange brought no answer. Several in a row, and the address is left out for a while."""
        self._troubles += 1
        if self._troubles >= self._settings.troubles and self.link is not None:
            self.link.abort(why)

    def kick(self) -> None:
        """Somebody needs this address now: the pause before the next attempt is cut short."""
        if self.state is State.FAILING and time.monotonic() - self._tried >= self._settings.kick:
            self._woken.set()

    def ask_again(self) -> None:
        """Somebody needs a service that is not here, and may be by now: asks what is served, but not all the time."""
        now = time.monotonic()
        if self.link is not None and not self.asking and now - self._asked >= self._settings.kick:
            self.asking, self._asked = True, now
            self._tasks.spawn(f"place.{self.address}.describe", self._describe_again(self.link))

    async def _examine(self, link: Dialed) -> None:
        try:
            async with asyncio.timeout(self._settings.connect):
                healthy = await self._healthy(link)
        except (Lost, Refused, TimeoutError):
            healthy = False
        if self.link is link and healthy != self.healthy:
            self.healthy = healthy
            self._changed(self)

    async def _describe_again(self, link: Dialed) -> None:
        try:
            async with asyncio.timeout(self._settings.connect):
                services = await self._describe(link)
            if self.link is link:
                self.services = services
        except (Lost, Refused, TimeoutError) as error:
            self.why = str(error) or type(error).__name__
        finally:
            self.asking = False
            self._changed(self)

    # ---- the connection -----------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        settings = self._settings
        while not self._retired:
            self._tried = time.monotonic()
            try:
                async with asyncio.timeout(settings.connect):
                    link = await self._connect()
            except (OSError, Lost, Refused, TimeoutError) as error:
                if time.monotonic() - self._tried > settings.connect + 5 * settings.tick:
                    continue  # it was we who were not there, beyond our own limit: its answer may have been in time
                await self._failed(str(error) or type(error).__name__)
                continue
            began, self._useful = time.monotonic(), False
            self._set(State.READY, link=link)
            why = await self._until_lost(link)
            idle = not (self._useful or link.exchanges) and time.monotonic() - began < settings.dead
            if idle or self._troubles >= settings.troubles:
                self.link, self._troubles = None, 0  # it connects, and that is all
                await self._failed(why)
            else:
                self._failures = 0
                self.why = why
                self._set(State.CONNECTING)

    async def _failed(self, why: str) -> None:
        settings = self._settings
        self._failures += 1
        self.why = why
        self._set(State.FAILING)
        pause = min(settings.backoff * 2.0 ** min(self._failures - 1, 16), settings.most)
        self._woken.clear()
        try:
            async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):
                await self._woken.wait()
        except TimeoutError:
            pass

    def _set(self, state: State, link: Dialed | None = None) -> None:
        self.state, self.link = state, link
        self._changed(self)

    async def _connect(self) -> Dialed:
        ended = asyncio.Event()

        def make() -> Dialed:
            return Dialed(WINDOW, lambda link, why: ended.set(), ended.set)

        loop = asyncio.get_running_loop()
        address = self.address
        link: Dialed
        if address.path:
            _, link = await loop.create_unix_connection(make, address.path)
        else:
            name = self.peer if self._tls is not None else None
            _, link = await loop.create_connection(
                make, address.host, address.port, ssl=self._tls, server_hostname=name
            )
        self._ended = ended
        try:
            self.services = await self._describe(link)
            self.healthy = self.services is not None or await self._healthy(link)
            self._examined = time.monotonic()
        except BaseException:
            link.abort("it was not described")
            raise
        return link

    async def _until_lost(self, link: Dialed) -> str:
        """Waits for the end of the connection, or for the peer to send us away, and says why. Pings meanwhile."""
        settings = self._settings
        strange = self.services is None
        dead = settings.stranger if strange else settings.dead
        while not self._ended.is_set():
            looked = time.monotonic()
            try:
                async with asyncio.timeout(settings.tick):
                    await self._ended.wait()
            except TimeoutError:
                now = time.monotonic()
                if now - looked > 5 * settings.tick:
                    pass  # it was we who were not there: what came meanwhile has yet to be read
                elif link.pinged:
                    if now - link.pinged > dead:
                        link.abort("the peer does not answer")
                elif strange and now - self._examined > settings.health:
                    self._examined = now
                    self._tasks.spawn(f"place.{self.address}.health", self._examine(link))
                elif self._ping_due(link, now, strange):
                    link.ping()
        return link.why

    def _ping_due(self, link: Dialed, now: float, strange: bool) -> bool:
        if strange:
            return bool(link.exchanges) and now - max(link.heard, link.began) > self._settings.stranger
        used = link.exchanges or link.began > link.asked or self.slow()  # who is passed over has no calls to tell by
        return bool(used) and not link.owed and now - link.asked > self._settings.quiet
