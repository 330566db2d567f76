"""Where the gateway listens, and what it says there: HTTPS, plain HTTP, or where HTTPS is."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
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
        loop, settings = asyncio.get_running_loop(), self._settings
        given = serve, answer, settings, self.peers, self._new_id, made
        port: int = places[0].socket.getsockname()[1]
        for place in places:
            listener = place.socket
            if place.tls is not None:
                server = Server(*given, secured(settings), self._clients)
                limit = settings.tls.handshake
                self._listeners.append(Handshakes(listener, server, place.tls, self.peers, self._tasks, limit))
            else:
                server = Server(*given)
                if place.redirect is not None:
                    redirect = Redirect(place.redirect, self._redirected, settings.write_timeout)
                    server = Server(redirect.serve, redirect.refuse, settings, self.peers, self._new_id)
                self._listeners.append(await loop.create_server(server, sock=listener, backlog=1024))
            self._servers.append(server)
        return port

    def configure(self, settings: GatewaySettings) -> None:
        """Other settings from now on: what is said of HTTPS to new connections, whom certificates stand for to all."""
        self._settings = settings
        for server in self._servers:
            server.configure(settings)
        if self._clients is not None:
            self._clients.configure(settings.tls.identities)

    def shut(self) -> None:
        """No new connections, and no idle ones. Those in use end with their answer."""
        for listener in self._listeners:
            listener.close()
        for server in self._servers:
            server.close_idle()

    async def close(self) -> None:
        """No connections at all."""
        for listener in self._listeners:
            listener.close()
        await self._tasks.stop()
        for server in self._servers:
            await server.shutdown(0.1)


def secured(settings: GatewaySettings) -> Heads:
    """What answers over HTTPS begin with."""
    age = 0 if settings.tls.local else settings.tls.hsts
    return Heads(b"Strict-Transport-Security: max-age=%d\r\n" % age if age else b"")
