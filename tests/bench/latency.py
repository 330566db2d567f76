"""From a commit to the handlers of another plugin, over the embedded log: `python -m tests.bench.latency`.

A plugin announces 200 events a second, each in a unit of work of its own; another hears them one at a time, each in a unit
of work with its inbox row. The time is from when the commit has returned until the handler is called. Both plugins are in
one process first, and then in a process each, as `acme serve` has them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop

from acme import events, work
from acme.contracts.projects.v1 import ProjectSettingsUpdated
from acme.drivers.embedded import EmbeddedPostgres
from acme.plugin import Consumer, Event, Job, NoSettings, Plugin, Replicas, Resources
from acme.runtime.assembly import assemble
from acme.runtime.roles import Role
from acme.runtime.settings import load
from acme.telemetry import configure_logs
from tests.waiting import until

RATE: Final = 200.0
"""Events a second."""
WRITERS: Final = 8
"""Units of work at the same time at most: one that is late delays none of the others."""
WARM: Final = 0.2
"""Share of the time that comes before what counts."""
SECONDS: Final = 15.0
PATIENCE: Final = 30.0
"""Seconds until the last is heard."""


@asynccontextmanager
async def _nothing(_: Resources[NoSettings]) -> AsyncIterator[tuple[object, ...]]:
    yield ()


class Writing:
    """The plugin that announces."""

    def __init__(self, seconds: float) -> None:
        self.committed: dict[str, float] = {}
        """When, by event."""
        self.done = asyncio.Event()
        self._seconds = seconds
        job = Job("load", every=86_400.0, run=self._load, replicas=Replicas.EVERY)
        self.plugin = Plugin(
            name="writing", version="1", package="tests.bench", contracts=(), service=_nothing, jobs=(job,)
        )

    async def _load(self, _: Resources[NoSettings]) -> None:
        began = time.monotonic()
        await asyncio.gather(*(self._write(began, number) for number in range(WRITERS)))
        self.done.set()

    async def _write(self, began: float, number: int) -> None:
        while (due := began + number / RATE) < began + self._seconds:
            await asyncio.sleep(max(due - time.monotonic(), 0.0))
            name = f"prj_{number}"
            async with work():
                events.add(ProjectSettingsUpdated(project_id=name, version=1))
            self.committed[name] = time.monotonic()
            number += WRITERS


class Hearing:
    """The plugin that hears."""

    def __init__(self) -> None:
        self.heard: dict[str, float] = {}
        """When, by event."""
        consumer = Consumer("ear", (ProjectSettingsUpdated,), self._hear)
        self.plugin = Plugin(
            name="hearing", version="1", package="tests.bench", contracts=(), service=_nothing, consumers=(consumer,)
        )

    async def has_heard(self, events: int) -> bool:
        """Whether so many have come."""
        return len(self.heard) >= events

    async def _hear(self, _: Resources[NoSettings], event: Event[ProjectSettingsUpdated]) -> None:
        self.heard[event.aggregate] = time.monotonic()


@asynccontextmanager
async def hosting(values: dict[str, Any], name: str, *plugins: Plugin) -> AsyncIterator[None]:
    """A process of `acme serve`."""
    platform = {"data": f"{values['data']}/{name}", "public_url": "https://acme.test"}
    told = {key: value for key, value in values.items() if key != "data"}
    role = Role(gateway=False, host=frozenset(plugin.name for plugin in plugins), alone=False, name=name)
    async with assemble(load(values={**told, "platform": platform}, name="the bench"), plugins, role=role) as node:
        wrong = [entry.reason for entry in node.roster.entries.values() if entry.health != "up"]
        if wrong:
            raise RuntimeError(wrong[0])
        yield


async def hear(path: str) -> None:
    """The second process: says when it is there, is told how many events there are, and prints when it heard each."""
    ear = Hearing()
    values = json.loads(await asyncio.to_thread(Path(path).read_text))
    async with hosting(values, "hearing", ear.plugin):
        print("there", flush=True)
        number = int(await asyncio.to_thread(sys.stdin.readline))
        await until(partial(ear.has_heard, number), PATIENCE)
    print(json.dumps(ear.heard), flush=True)


async def within(values: dict[str, Any], seconds: float) -> list[float]:
    """Seconds of every event, both plugins in this process."""
    ear = Hearing()
    writing = Writing(seconds)
    async with hosting(values, "both", ear.plugin, writing.plugin):
        await writing.done.wait()
        await until(partial(ear.has_heard, len(writing.committed)), PATIENCE)
    return _between(writing.committed, ear.heard)


async def between(values: dict[str, Any], seconds: float) -> list[float]:
    """Seconds of every event, the plugins in two processes."""
    order = Path(values["data"]) / "order.json"
    await asyncio.to_thread(order.write_text, json.dumps(values))
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.latency", str(order)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    assert other.stdout is not None
    if await other.stdout.readline() != b"there\n":
        raise RuntimeError("the other process did not start")
    writing = Writing(seconds)
    async with hosting(values, "writing", writing.plugin):
        await writing.done.wait()
        heard, _ = await other.communicate(b"%d\n" % len(writing.committed))
    return _between(writing.committed, json.loads(heard))


def _between(committed: dict[str, float], heard: dict[str, float]) -> list[float]:
    """Seconds of each, in order, without those of the warming up."""
    if missing := committed.keys() - heard.keys():
        raise RuntimeError(f"{len(missing)} of {len(committed)} events were not heard")
    first, last = min(committed.values()), max(committed.values())
    return sorted(heard[name] - at for name, at in committed.items() if at >= first + WARM * (last - first))


async def measure(folder: Path, seconds: float) -> dict[str, list[float]]:
    """By where the plugins are; each on a server of its own, so that none hears what is another's."""
    found = {}
    for name, run in (("in one process", within), ("in two processes", between)):
        server = EmbeddedPostgres(folder / name.replace(" ", "-"))
        await server.start()
        try:
            values = {
                "data": str(folder),
                "database": {"url": server.url("postgres")},
                "worker": {"listen": "grpc://127.0.0.1:0"},
                "secrets": {"master_key": base64.b64encode(secrets.token_bytes(32)).decode()},
            }
            found[name] = await run(values, seconds)
        finally:
            await server.stop()
    return found


def report(seconds: float = SECONDS) -> None:
    """Prints the figures."""
    configure_logs(json=True, level="error")
    with tempfile.TemporaryDirectory(prefix="acme-bench-", ignore_cleanup_errors=True) as folder:
        found = uvloop.run(measure(Path(folder), seconds))
    print(f"\nFrom a commit to another plugin's handler, {RATE:g} events/s, embedded log, ms:\n")
    for name, times in found.items():
        p50, p99 = (_share(times, share) * 1000 for share in (0.5, 0.99))
        print(f"{p50:10.1f} p50 {p99:8.1f} p99 {times[-1] * 1000:8.1f} most, {len(times)} events  {name}")


def _share(times: Sequence[float], share: float) -> float:
    return times[min(int(len(times) * share), len(times) - 1)]


def main() -> None:
    """Measures this alone; with an argument, it is the second process."""
    if len(sys.argv) > 1:
        configure_logs(json=True, level="error")
        uvloop.run(hear(sys.argv[1]))
    else:
        report()


if __name__ == "__main__":
    main()
