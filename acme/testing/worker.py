"""A worker process of the test kit: `python -P -m acme.testing.worker SOCKET`.

Hosts one plugin for one platform after another, or for several at a time, as `acme serve --only` would for one: so that a
test run pays for the start of its processes once. Whoever connects to SOCKET sends one line of JSON (`Order`), reads one
(`Answer`) when the plugin can be called, and keeps the connection as long as it wants the plugin; the worker closes it when
all is torn down. The process ends with its standard input.

What a run's conftest does to its own process before any test, such as making hashes cheap, a file can do to these: the
environment variable ACME_TEST_WORKER_FIRST names a Python file that each of them runs before it takes orders.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import sys
from typing import Any

import msgspec
import uvloop

from acme.plugin import Plugin
from acme.runtime.assembly import assemble
from acme.runtime.discovery import discover
from acme.runtime.roles import Role
from acme.runtime.settings import load
from acme.tasks import Tasks
from acme.telemetry import Metrics, configure_logs
from acme.testing.vouched import Vouched


class Order(msgspec.Struct, frozen=True):
    """What is to be hosted."""

    host: str
    """Name of the plugin."""
    plugins: tuple[str, ...]
    """Names of all plugins of the platform, which have to be installed."""
    values: dict[str, Any]
    """The configuration: nested tables."""


class Answer(msgspec.Struct, frozen=True):
    """How it went."""

    error: str = ""
    """"" when the plugin is up."""


class Worker:
    """Takes orders."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._installed: dict[str, Plugin] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from the order to the end."""
        try:
            order = msgspec.json.decode(await reader.readline(), type=Order)
            error = await self._tasks.outcome(f"hosting {order.host}", self._host(order, reader, writer))
            if error is not None:
                writer.write(msgspec.json.encode(Answer(f"{type(error).__name__}: {error}")) + b"\n")
        finally:
            writer.close()

    async def _host(self, order: Order, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        plugins = [self._find(name) for name in order.plugins]
        role = Role(gateway=False, host=frozenset({order.host}), alone=False, name=order.host)
        config = load(values=order.values, name="the test")
        async with assemble(config, plugins, role=role, tokens=Vouched) as node:
            writer.write(msgspec.json.encode(Answer(node.roster.entries[order.host].reason)) + b"\n")
            await reader.read()

    def _find(self, name: str) -> Plugin:
        if not self._installed:
            self._installed = {entry.name: plugin for entry, plugin in discover().usable()}
        return self._installed[name]


async def run(path: str) -> None:
    """Takes orders until the standard input ends."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def look() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            loop.remove_reader(sys.stdin.fileno())
            ended.set()

    async with Tasks("worker", Metrics()) as tasks:
        listener = await asyncio.start_unix_server(Worker(tasks).serve, f"{path}.new", limit=1 << 20)
        os.rename(f"{path}.new", path)  # a socket has a name before it listens: whoever sees this one can connect
        loop.add_reader(sys.stdin.fileno(), look)
        await ended.wait()
        listener.close()


if __name__ == "__main__":
    if first := os.environ.get("ACME_TEST_WORKER_FIRST"):
        runpy.run_path(first)
    configure_logs(json=True, level="warning")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(sys.argv[1]))
