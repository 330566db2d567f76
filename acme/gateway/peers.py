"""Who is connected: how many at all, how many from one address, who is too slow, and what bodies hold of the memory.

    accepted → room for one more? → for one more of its address? → a head, whole within `head_timeout` of its first byte (on
    a fresh connection, of its beginning) → … → idle, until `keepalive` or crowds end it → what the client leaves unread of
    the last answer goes after `write_timeout`

Connections whose heads come whole, as nearly all do, cost nothing: only those that wait for the rest of one are looked
through, twice a second. When nine tenths of the room are taken, those that have been idle longest end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from typing import Annotated, Any, Final, Protocol

import msgspec
from msgspec import Meta

from acme.errors import Unavailable
from acme.telemetry import CounterFamily, Metrics

TICK: Final = 0.5
"""Seconds between two looks, and so by how much a limit of time may be exceeded."""
CROWDED: Final = 0.9
"""Part of the room from which on idle connections end."""


class ConnectionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[gateway.connections]`: who may be connected."""

    most: Annotated[int, Meta(ge=10, le=1_000_000)] = 10_000
    """Connections at a time; one more is answered 503 at once. Fewer where the process may open fewer files."""
    per_address: Annotated[int, Meta(ge=1, le=1_000_000)] = 1000
    """Connections of one address (of IPv6, a /64) at a time. The balancers in `proxies` have no such limit."""
    bodies: Annotated[int, Meta(ge=8 * 1024 * 1024)] = 128 * 1024 * 1024
    """Bytes that request bodies take up at a time, of those that do not come in one piece; then 503."""
    answers: Annotated[int, Meta(ge=8 * 1024 * 1024)] = 128 * 1024 * 1024
    """Bytes of answers that wait for clients to read on; beyond, those end that have been reading longest."""


class Peer(Protocol):
    """A connection, as it is looked after."""

    network: str
    """What counts as one address."""
    since: float
    """When it began to wait for a head, by the loop's clock; 0 while it does not."""

    @property
    def rested(self) -> float | None:
        """Since when it has been idle, by a clock of its own; `None` while it is not."""

    def late(self) -> None:
        """Its head has not come in time."""

    def drop(self, why: str) -> None:
        """It ends now, whatever it was doing."""

    def rest(self) -> None:
        """It ends, being idle."""


class Peers:
    """The connections of one gateway."""

    def __init__(self, metrics: Metrics) -> None:
        """What `limit` says holds; until then, the defaults."""
        self._settings, self._write = ConnectionSettings(), 30.0
        self.head_timeout = 10.0
        """Seconds for the head of a request."""
        self._room, self._exempt = self._settings.most, tuple[str, ...]()
        self._connected: set[Peer] = set()
        self._by_network: dict[str, int] = {}
        self.waiting: set[Peer] = set()
        """Those whose next head has begun and is not whole, and those that have not sent any yet."""
        self._leaving: dict[Peer, float] = {}
        self.sift: Callable[[Any, Any, Any], bytes | None] | None = None
        """While there is too much to do: (connection, message, payload) → the refusal of a request that has come, if it is
        one of those for which there is no time (`overload.py`)."""
        self.skim: Callable[[Any, bytes], bytes | None] | None = None
        """The same before it is parsed, with what has come; empty where it waits in line."""
        self.refusal: Callable[[Any, bytes], bytes] = lambda connection, data: b""
        """Of what has waited in line for too long."""
        self.refused: Callable[[str], None] = lambda limit: None
        """Hears of each that finds no room, and which limit it was."""
        self._looking = False
        self.held = self.unsent = 0
        """Bytes of request bodies that are being taken; and of answers that are being read."""
        self._reading: dict[Peer, int] = {}
        self._refused = metrics.counter(
            "acme_gateway_refused_connections_total", "Connections that found no room.", ("limit",)
        )
        self.cut: CounterFamily = metrics.counter(
            "acme_gateway_cut_connections_total", "Connections that ended because the client was too slow.", ("reason",)
        )
        for name in ("most", "per_address"):
            self._refused.bind(name)
        for name in ("slow_handshake", "slow_head", "slow_body", "slow_read", "crowded"):
            self.cut.bind(name)
        metrics.gauge("acme_gateway_connections", "Open connections of clients.", (), lambda: {(): float(len(self))})
        metrics.gauge(
            "acme_gateway_body_bytes", "Bytes that request bodies take up.", (), lambda: {(): float(self.held)}
        )
        metrics.gauge(
            "acme_gateway_answer_bytes",
            "Bytes of answers that wait for clients to read on.",
            (),
            lambda: {(): float(self.unsent)},
        )

    def __len__(self) -> int:
        return len(self._connected)

    def limit(
        self, settings: ConnectionSettings, head: float, write: float, proxies: Iterable[str], files: int
    ) -> None:
        """What holds from now on: for heads and for unread answers so many seconds, no more than `files` open at a time.
        Who is connected already stays."""
        self._settings, self.head_timeout, self._write = settings, head, write
        self._exempt = tuple(proxies)
        self._room = min(settings.most, files)

    @property
    def full(self) -> bool:
        """Whether there is no room for anybody. Counts who was turned away for it."""
        if len(self._connected) < self._room:
            return False
        self._turned_away("most")
        self._look_soon()
        return True

    def admit(self, peer: Peer, address: str) -> bool:
        """Whether it may stay; then it has to say `gone` in the end."""
        name = peer.network
        known = self._by_network.get(name, 0)
        if known >= self._settings.per_address and not self._exempted(address):
            self._turned_away("per_address")
            return False
        self._by_network[name] = known + 1
        self._connected.add(peer)
        self.begin(peer)
        return True

    def _turned_away(self, limit: str) -> None:
        self._refused.bind(limit).add()
        self.refused(limit)

    def begin(self, peer: Peer) -> None:
        """It waits for a head."""
        peer.since = asyncio.get_running_loop().time()
        self.waiting.add(peer)
        self._look_soon()

    def leave(self, peer: Peer) -> None:
        """It ends, with something unsent."""
        self._leaving[peer] = asyncio.get_running_loop().time() + self._write
        self._look_soon()

    def gone(self, peer: Peer) -> None:
        """It has ended."""
        if peer in self._connected:
            self._connected.remove(peer)
            left = self._by_network[peer.network] - 1
            if left:
                self._by_network[peer.network] = left
            else:
                del self._by_network[peer.network]
        self.waiting.discard(peer)
        self._leaving.pop(peer, None)

    def hold(self, size: int) -> None:
        """Counts so many bytes of a body more.

        Raises:
            Unavailable: there is no room for them (503).
        """
        if self.held + size > self._settings.bodies:
            raise Unavailable("Too much is being sent at a time: try again.", reason="overloaded")
        self.held += size

    def unread(self, peer: Peer, size: int) -> None:
        """So many bytes of its answer wait; it says `read` when they do not any more. Whoever has been reading longest ends
        where there are too many."""
        self._reading[peer] = size
        self.unsent += size
        while self.unsent > self._settings.answers and len(self._reading) > 1:
            slowest = next(iter(self._reading))
            self.read(slowest)
            slowest.drop("slow_read")

    def read(self, peer: Peer) -> None:
        """Nothing of its answer waits."""
        self.unsent -= self._reading.pop(peer, 0)

    def look(self) -> None:
        """Ends what is too slow, and what is idle where it is crowded; and looks again as long as there is anything."""
        now = asyncio.get_running_loop().time()
        for peer in [peer for peer in self.waiting if now - peer.since > self.head_timeout]:
            self.waiting.discard(peer)
            peer.late()
        for peer in [peer for peer, due in self._leaving.items() if due < now]:
            del self._leaving[peer]
            peer.drop("slow_read")
        excess = len(self._connected) - int(self._room * CROWDED)
        if excess > 0:
            idle = [(rested, peer) for peer in self._connected if (rested := peer.rested) is not None]
            for _, peer in sorted(idle, key=lambda each: each[0])[:excess]:
                self.cut.bind("crowded").add()
                peer.rest()
        self._looking = False
        if self.waiting or self._leaving or excess > 0:
            self._look_soon()

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(TICK, self.look)

    def _exempted(self, address: str) -> bool:
        if not address:
            return True  # of a socket without addresses, to which one end alone connects
        found = ip_address(address)
        return any(found in ip_network(each) for each in self._exempt)
