"""The worker processes of a test run: one a plugin, started when the first platform needs it, shared by all that follow.

A process hosts a plugin for each platform anew (`worker.py`), on that platform's databases, clock and master key.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from acme.drivers import processes
from acme.plugin import Plugin
from acme.runtime.discovery import discover
from acme.runtime.runfolder import RunFolder
from acme.testing.worker import Answer, Order

START_LIMIT: Final = 30.0
"""Seconds for a process to take orders."""
HOST_LIMIT: Final = 30.0
"""Seconds for a plugin to come up, or to go."""


class Workers:
    """A context manager. Its processes end with it, or with us, however we end."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            if process.stdin is not None:
                process.stdin.close()
        for process in self._running.values():
            try:
                process.wait(HOST_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()
        if self._folder is not None:
            self._folder.cleanup()

    @asynccontextmanager
    async def hosting(
        self, plugins: Iterable[Plugin], values: Mapping[str, Any], data: Path
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
            answers = []
            for plugin in plugins:
                others = {name: address for name, address in addresses.items() if name != plugin.name}
                tables = {**values, "services": others, "worker": {"listen": addresses[plugin.name]}}
                order = Order(plugin.name, tuple(addresses), tables)
                answers.append(await stack.enter_async_context(self._ordered(order)))
            for plugin, answer in zip(
                plugins, answers, strict=True
            ):  # they wait for each other: all begin, then all are up
                async with asyncio.timeout(HOST_LIMIT):
                    line = await answer.readline()
                error = msgspec.json.decode(line, type=Answer).error if line else f"it ended:\n{self._log(plugin.name)}"
                if error:
                    raise AssertionError(f"{plugin.name} did not come up in a process of its own: {error}")
            yield addresses

    @asynccontextmanager
    async def _ordered(self, order: Order) -> AsyncIterator[asyncio.StreamReader]:
        """Gives an order; yields where the answer comes. Returns when all of it is torn down."""
        reader, writer = await asyncio.open_unix_connection(self._socket(order.host))
        try:
            writer.write(msgspec.json.encode(order) + b"\n")
            yield reader
        finally:
            writer.write_eof()
            async with asyncio.timeout(HOST_LIMIT):
                await reader.read()
            writer.close()

    def _socket(self, name: str) -> str:
        """Where the process of a plugin takes orders; started if need be."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="acme-workers-")
        path = Path(self._folder.name) / name
        process = self._running.get(name)
        if process is None or process.poll() is not None:
            path.unlink(missing_ok=True)
            with Path(f"{path}.log").open("ab") as log:
                process = self._running[name] = subprocess.Popen(  # noqa: S603 - our own module, in a folder we just made
                    [sys.executable, "-P", "-m", "acme.testing.worker", str(path)],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    preexec_fn=processes.die_with_parent(signal.SIGKILL),
                )
            until = time.monotonic() + START_LIMIT
            while not path.exists():
                if process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(f"the worker process of {name} did not start:\n{self._log(name)}")
                time.sleep(0.01)
        return str(path)

    def _log(self, name: str) -> str:
        folder = self._folder.name if self._folder is not None else ""
        return Path(folder, f"{name}.log").read_text(errors="replace")


def _check_installed(plugins: Iterable[Plugin]) -> None:
    """A process of its own finds a plugin by its entry point, and cannot be handed an object."""
    installed = {entry.name: plugin for entry, plugin in discover().usable()}
    for plugin in plugins:
        if installed.get(plugin.name) is not plugin:
            raise AssertionError(f'the placement "process" needs installed plugins, and {plugin.name} is none')
