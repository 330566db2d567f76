"""The bus is away for a while, under load: requests succeed as always, the outbox grows, and drains after; nothing is lost.

AWAY_SECONDS says for how long. Kafka's broker is killed or stands still; the log's database lets nobody in.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from acme.contracts.projects.v1 import ProjectCreated
from acme.testing import Platform, Server
from acme.testing.client import Client
from tests.brokers.apache import ApacheKafka, programs
from tests.waiting import until

pytestmark = pytest.mark.engines

SECONDS = float(os.environ.get("AWAY_SECONDS", "20"))
BEFORE = 5.0
"""Seconds of load while all is well."""
CLIENTS = 4
EVERY = 0.1
"""Seconds between two requests of a client."""
SLOWER = 0.5
"""Least share of the requests a second that is served while the bus is away; the machine has others to serve."""
BACK = 60.0
"""Seconds in which the outboxes are empty again."""
SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
PLUGINS = ("users", "projects", "audit")


@dataclass
class Load:
    """People who make projects."""

    client: Client
    statuses: Counter[int] = field(default_factory=Counter)
    made: list[str] = field(default_factory=list)
    """Ids of projects whose making was acknowledged."""
    slowest: float = 0.0

    async def run(self, seconds: float) -> float:
        """Requests a second that succeeded."""
        before = len(self.made)
        until = time.monotonic() + seconds
        await asyncio.gather(*(self._one(until) for _ in range(CLIENTS)))
        return (len(self.made) - before) / seconds

    async def _one(self, until: float) -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            reply = await self.client.post("/v1/projects", {"name": f"Project {len(self.made)}"})
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.statuses[reply.status] += 1
            if reply.status == 201:
                self.made.append(reply.json["id"])
            await asyncio.sleep(max(EVERY - (time.monotonic() - began), 0.0))


@dataclass
class Trouble:
    """A bus that can be taken away."""

    url: str
    begin: Callable[[], Awaitable[None]]
    """Nobody reaches it."""
    end: Callable[[], Awaitable[None]]
    """It is back."""


Taken = Callable[[Server, Path], AbstractAsyncContextManager[Trouble]]


@asynccontextmanager
async def shut(server: Server, _: Path) -> AsyncIterator[Trouble]:
    """The log, whose database ends all sessions and lets nobody in."""
    async with server.database() as name, server.connection() as control:

        async def begin() -> None:
            await control.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await control.fetch(SESSIONS, name)

        async def end() -> None:
            await control.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

        yield Trouble(server.url(name), begin, end)


@asynccontextmanager
async def killed(_: Server, folder: Path) -> AsyncIterator[Trouble]:
    """Kafka, whose broker is killed."""
    with apache(folder) as broker:

        async def begin() -> None:
            broker.kill()

        async def end() -> None:
            await asyncio.to_thread(broker.start)

        yield Trouble(broker.url, begin, end)


@asynccontextmanager
async def frozen(_: Server, folder: Path) -> AsyncIterator[Trouble]:
    """Kafka, whose broker stands still: connections stay, and nothing is answered."""
    with apache(folder) as broker:

        async def begin() -> None:
            broker.freeze()

        async def end() -> None:
            broker.thaw()

        yield Trouble(broker.url, begin, end)


@contextmanager
def apache(folder: Path) -> Iterator[ApacheKafka]:
    try:
        broker = ApacheKafka(folder / "kafka", programs())
    except LookupError as error:
        pytest.skip(str(error))
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


async def pending(platform: Platform) -> float:
    """What waits in the outboxes, as operators see it; as far as it is told."""
    text = (await platform.client().get("/metrics")).body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("acme_outbox_pending{"))


@pytest.mark.parametrize("trouble", [shut, killed, frozen], ids=["log-shut", "kafka-killed", "kafka-frozen"])
async def test_requests_succeed_while_the_bus_is_away_and_what_they_announced_is_sent_when_it_is_back(
    postgres: Server,
    tmp_path: Path,
    measured: Callable[[str, object], None],
    capsys: pytest.CaptureFixture[str],
    trouble: Taken,
) -> None:
    async with trouble(postgres, tmp_path) as bus:
        settings = {"bus": {"url": bus.url, "replication": 1, "timeout": 5.0}}
        async with Platform.start(None, settings=settings, server=postgres) as platform:
            load = Load(platform.client(await platform.sign_up()))
            before = await load.run(BEFORE)

            async def empty() -> bool:
                return not any([await platform.outbox(plugin) for plugin in PLUGINS])

            await until(empty, BACK)
            known = len(load.made)
            await bus.begin()
            during = await load.run(SECONDS)
            waiting = len([each for each in await platform.outbox("projects") if isinstance(each, ProjectCreated)])
            told = await pending(platform)
            away = len(load.made) - known
            await bus.end()
            drained = await until(empty, BACK)
            after = await load.run(BEFORE)
            await until(empty, BACK)

            published = await platform.published("acme.projects.events")
            announced = Counter(each.project_id for each in published if isinstance(each, ProjectCreated))
            measured("requests/s before", round(before, 1))
            measured(f"requests/s while the bus was away for {SECONDS:g} s", round(during, 1))
            measured("requests/s after", round(after, 1))
            measured("ms of the slowest request", round(load.slowest * 1000))
            measured("events in the outbox in the end of it", waiting)
            measured("acme_outbox_pending then, all plugins", told)
            measured("seconds until it had drained", round(drained, 1))
            assert load.statuses == {201: len(load.made)}
            assert during > SLOWER * before
            assert waiting == away
            assert told >= away / 2, "operators see it grow"
            assert set(announced) == set(load.made)
            assert "loop failed" not in capsys.readouterr().out, "a bus that is away is no fault of ours"
