"""Answers operators on a port of its own, in any process: with a gateway, with plugins, or with both.

    monitor = Monitor(metrics, version)
    await monitor.start(listening_socket)      # first of all: alive, and not ready
    monitor.readiness = readiness              # once everything is up
    await monitor.close()                      # last of all

The paths are those of a gateway: `/healthz` (and `/livez`, as Kubernetes calls it) answers 200 as long as the event loop
turns, `/readyz` 200 or 503 with the reasons, `/metrics` Prometheus' text format; `/schemas` and `/subjects` are those of
`registry.py`. Nobody is asked who they are: the port is for operators, and not for the world.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec
from aiohttp import web

from acme.gateway.endpoints import Answer, Readiness, alive
from acme.gateway.registry import Registry
from acme.gateway.server import JSON
from acme.telemetry import Metrics

_STARTING: Final = msgspec.json.encode({"ready": False, "checks": {"started": "starting"}, "plugins": {}, "stores": {}})


class Monitor:
    """One listener."""

    def __init__(self, metrics: Metrics, version: str) -> None:
        self.readiness: Readiness | None = None
        """`None` until there is anything that could be ready."""
        self.registry: Registry | None = None
        """`None` until contracts are loaded."""
        living = alive(version)
        self._answers: Mapping[str, Callable[[], Answer]] = {
            "/healthz": living,
            "/livez": living,
            "/readyz": self._ready,
            "/metrics": lambda: (200, metrics.CONTENT_TYPE, metrics.render()),
        }
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accepts connections on a bound socket, which is closed with the monitor."""
        self._server = web.Server(self._answer, access_log=None)
        self._listener = await asyncio.get_running_loop().create_server(self._server, sock=listener)

    async def close(self) -> None:
        """Ends at once."""
        if self._listener is not None:
            self._listener.close()
        if self._server is not None:
            await self._server.shutdown(0.1)

    def _ready(self) -> Answer:
        return (503, JSON, _STARTING) if self.readiness is None else self.readiness.answer()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        answer = self._answers.get(request.path)
        if answer is None and self.registry is not None and request.path.startswith(Registry.PATHS):
            answer = partial(self.registry.answer, request.path)
        if answer is None:
            return web.Response(status=404, text=f"There are {', '.join((*self._answers, *Registry.PATHS))}.\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        status, kind, body = answer()
        return web.Response(status=status, headers={"Content-Type": kind, "Cache-Control": "no-store"}, body=body)
