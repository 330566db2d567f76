"""Connections whose TLS handshake is not done: they count from the first, as all connections do.

asyncio's servers tell of a connection over TLS when its handshake has succeeded; before, nobody would know how many there
are, nor whose. So they are accepted here, find room or none among the peers of the gateway, and become connections of their
`Server` by a handshake. Who finds no room, or takes too long, is cut off without a word.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final, cast

from acme.gateway.addresses import network
from acme.gateway.peers import Peers
from acme.gateway.server import Server
from acme.tasks import Tasks
from acme.telemetry import logger

log: Final = logger(__name__)

GOODBYE: Final = 1.0
"""Seconds for the other side to end TLS as well, once we have (close_notify); most never do."""
_PAUSE: Final = 0.1
"""Seconds until the next connection is accepted where the system had no room for one, such as for its file."""


class Handshakes:
    """What accepts the connections of one listener."""

    def __init__(
        self, listener: socket.socket, server: Server, context: ssl.SSLContext, peers: Peers, tasks: Tasks, limit: float
    ) -> None:
        """Begins. A handshake may take `limit` seconds."""
        listener.setblocking(False)
        self._listener, self._server, self._context, self._peers = listener, server, context, peers
        self._tasks, self._limit = tasks, limit
        self._accepting = tasks.spawn("accept", self._accept())
        self._accepting.add_done_callback(lambda _: listener.close())

    def close(self) -> None:
        """Accepts no more. Handshakes that have begun go on."""
        self._accepting.cancel()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                raw, address = await loop.sock_accept(self._listener)
            except OSError as error:
                log.error("a connection cannot be accepted", error=str(error))
                await asyncio.sleep(_PAUSE)
                continue
            one = Handshake(self._server, self._peers, address[0].removeprefix("::ffff:") if address else "")
            if one.admitted:
                self._tasks.spawn("handshake", self._shake(one, raw))
            else:
                raw.close()

    async def _shake(self, one: Handshake, raw: socket.socket) -> None:
        one.task = asyncio.current_task()
        if raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            await loop.connect_accepted_socket(
                lambda: one,
                raw,
                ssl=self._context,
                ssl_handshake_timeout=self._limit,
                ssl_shutdown_timeout=GOODBYE,
            )
        except OSError:  # a handshake that is refused is counted where its reason is known
            if loop.time() - begun >= self._limit:
                one.slow()
        finally:
            one.over()


class Handshake(asyncio.Protocol):
    """One of the gateway's peers, until it is a connection."""

    def __init__(self, server: Server, peers: Peers, address: str) -> None:
        self.network, self.since = network(address), 0.0
        self.task: asyncio.Task[None] | None = None
        self._server, self._peers = server, peers
        self.admitted = not peers.full and peers.admit(self, address)

    @property
    def rested(self) -> float | None:
        """It is never idle."""
        return None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake has succeeded: what comes from now on comes to a connection like others."""
        self.over()
        connection = self._server()
        cast(asyncio.Transport, transport).set_protocol(connection)
        connection.connection_made(transport)

    def over(self) -> None:
        """It takes up no room any more."""
        self._peers.gone(self)

    def slow(self) -> None:
        """Counts that it took too long."""
        self._peers.cut.bind("slow_handshake").add()

    def late(self) -> None:
        """It takes too long."""
        self.slow()
        self.rest()

    def drop(self, why: str) -> None:
        """It ends now."""
        self.rest()

    def rest(self) -> None:
        """It ends."""
        if self.task is not None:
            self.task.cancel()
