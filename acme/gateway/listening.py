"""Where the gateway listens, and what it says there: HTTPS, plain HTTP, or where HTTPS is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from socket import socket
from typing import Any, Final

from acme.errors import Refused
from acme.gateway.clients import Clients
from acme.gateway.handshakes import Handshakes
from acme.gateway.headers import RequestIds
from acme.gateway.peers import Peers
from acme.gateway.redirect import Redirect
from acme.gateway.server import Heads, Reply, Request, Server
from acme.gateway.settings import GatewaySettings
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.tokens import Assertions


@dataclass(frozen=True, slots=True)
class Listening:
    """One listener."""

    socket: socket
    """Bound; closed with the gateway."""
    tls: ssl.SSLContext | None = None
    """What handshakes begin in; None: plain HTTP."""
    redirect: Callable[[str], str] | None = None
    """Name or address in a request's Host → the origin to go to instead, "" where it is none of ours. None: the API."""


class Doors:
    """All listeners of a gateway, from their first connection to their last."""

    def __init__(self, settings: GatewaySettings, assertions: Assertions | None, metrics: Metrics) -> None:
        self._settings = settings
        self._clients = None if assertions is None else Clients(settings.tls.identities, assertions)
        self._redirected = metrics.counter(
            "acme_gateway_redirects_total", "Answers of listeners that only say where HTTPS is.", ("status",)
        )
        self.peers: Final = Peers(metrics)
        self._new_id = RequestIds().new
        self._tasks = Tasks("gateway", metrics)
        """Handshakes."""
        self._servers: list[Server] = []
        self._listeners: list[asyncio.Server | Handshakes] = []
        self._contexts: list[ssl.SSLContext | None] = []
        """Place by place, as the servers."""
        self._standing_in: dict[int, list[asyncio.Server | Handshakes]] = {}

    @property
    def connections(self) -> int:
        """How many there are."""
        return sum(len(server.connections) for server in self._servers)

    async def open(
        self,
        serve: Callable[[Any], Awaitable[Any]],
        answer: Callable[[Any, Refused], Reply],
        made: type[Request],
        *places: Listening,
    ) -> int:
        """Accepts connections; the arguments are those of `Server`. Returns the port of the first place."""
        settings = self._settings
        given = serve, answer, settings, self.peers, self._new_id, made
        port: int = places[0].socket.getsockname()[1]
        for place in places:
            if place.tls is not None:
                server = Server(*given, secured(settings), self._clients)
            elif place.redirect is not None:
                redirect = Redirect(place.redirect, self._redirected, settings.write_timeout)
                server = Server(redirect.serve, redirect.refuse, settings, self.peers, self._new_id)
            else:
                server = Server(*given)
            self._servers.append(server)
            self._contexts.append(place.tls)
            self._listeners.append(await self._listen(server, place.tls, place.socket))
        return port

    async def _listen(self, server: Server, tls: ssl.SSLContext | None, on: socket) -> asyncio.Server | Handshakes:
        if tls is not None:
            return Handshakes(on, server, tls, self.peers, self._tasks, self._settings.tls.handshake)
        return await asyncio.get_running_loop().create_server(server, sock=on, backlog=1024)

    def configure(self, settings: GatewaySettings) -> None:
        """Other settings from now on: what is said of HTTPS to new connections, whom certificates stand for to all."""
        self._settings = settings
        for server in self._servers:
            server.configure(settings)
        if self._clients is not None:
            self._clients.configure(settings.tls.identities)

    async def stand_in(self, number: int, sockets: Iterable[socket]) -> None:
        """Accepts the connections of another process, the `number`th, as well: `sockets` are in the order of our places."""
        known = self._standing_in.setdefault(number, [])
        for server, tls, theirs in zip(self._servers, self._contexts, sockets, strict=True):
            known.append(await self._listen(server, tls, theirs.dup()))

    def step_back(self, number: int) -> None:
        """It accepts its connections itself again; those we have accepted stay with us."""
        for listener in self._standing_in.pop(number, ()):
            listener.close()

    def shut(self) -> None:
        """No new connections, and no idle ones. Those in use end with their answer."""
        for number in tuple(self._standing_in):
            self.step_back(number)
        for listener in self._listeners:
            listener.close()
        for server in self._servers:
            server.close_idle()

    async def close(self) -> None:
        """No connections at all."""
        for number in tuple(self._standing_in):
            self.step_back(number)
        for listener in self._listeners:
            listener.close()
        await self._tasks.stop()
        for server in self._servers:
            await server.shutdown(0.1)


def secured(settings: GatewaySettings) -> Heads:
    """What answers over HTTPS begin with."""
    age = 0 if settings.tls.local else settings.tls.hsts
    return Heads(b"Strict-Transport-Security: max-age=%d\r\n" % age if age else b"")
