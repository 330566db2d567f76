"""The placement "process": each plugin of a platform in the test run's process for it (`Server.worker`).

A process hosts a plugin for each platform anew (`worker.py`), on that platform's databases, clock and master key.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from acme.plugin import Plugin
from acme.runtime.discovery import discover
from acme.runtime.runfolder import RunFolder
from acme.testing.server import Server
from acme.testing.worker import Answer, Order

HOST_LIMIT: Final = 30.0
"""Seconds for a plugin to come up, or to go."""


@asynccontextmanager
async def hosting(
    server: Server, plugins: Iterable[Plugin], values: Mapping[str, Any], data: Path
) -> AsyncIterator[dict[str, str]]:
    """Hosts each plugin in its process, and yields their addresses by name. `data` is the platform's data folder.

    Raises:
        AssertionError: a plugin is not installed, or did not come up.
    """
    plugins = tuple(plugins)
    _check_installed(plugins)
    folder = RunFolder(data)
    try:
        addresses = {plugin.name: folder.address(f"{plugin.name}.grpc") for plugin in plugins}
    finally:
        folder.close()
    async with AsyncExitStack() as stack:
        answers: list[tuple[str, str, asyncio.StreamReader]] = []
        for name in addresses:
            others = {other: address for other, address in addresses.items() if other != name}
            order = Order(name, tuple(addresses), {**values, "services": others, "worker": {"listen": addresses[name]}})
            path = server.worker(name).path
            answers.append((name, path, await stack.enter_async_context(_ordered(path, order))))
        for name, path, answer in answers:  # they wait for each other: all begin, then all are up
            async with asyncio.timeout(HOST_LIMIT):
                line = await answer.readline()
            error = msgspec.json.decode(line, type=Answer).error if line else f"it ended:\n{_log(path)}"
            if error:
                raise AssertionError(f"{name} did not come up in a process of its own: {error}")
        yield addresses


@asynccontextmanager
async def _ordered(path: str, order: Order) -> AsyncIterator[asyncio.StreamReader]:
    """Gives an order; yields where the answer comes. Returns when all of it is torn down."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(msgspec.json.encode(order) + b"\n")
        yield reader
    finally:
        writer.write_eof()
        async with asyncio.timeout(HOST_LIMIT):
            await reader.read()
        writer.close()


def _log(path: str) -> str:
    return Path(f"{path}.log").read_text(errors="replace")


def _check_installed(plugins: Iterable[Plugin]) -> None:
    """A process of its own finds a plugin by its entry point, and cannot be handed an object."""
    installed = {entry.name: plugin for entry, plugin in discover().usable()}
    for plugin in plugins:
        if installed.get(plugin.name) is not plugin:
            raise AssertionError(f'the placement "process" needs installed plugins, and {plugin.name} is none')
