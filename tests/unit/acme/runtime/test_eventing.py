"""What a process does with its bus: while it is there, while it is away, and when it is not as it is to be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from acme_users import plugin as users

from acme import drivers
from acme.bus import relay as relays
from acme.config import ConfigError
from acme.contracts.users.v1 import UserCreated
from acme.drivers.clock import SystemClock
from acme.plugin import Consumer, Event, Plugin, Resources
from acme.ports import Bus, Received, Topic, TopicPartition
from acme.runtime import eventing
from acme.runtime.assembly import Node, assemble
from acme.runtime.databases import CannotStart
from acme.runtime.eventing import topics_of
from acme.runtime.settings import load
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import Client, Server
from tests.services import CONTRACTS
from tests.unit.acme.runtime.plugins import configured, made
from tests.unit.acme.runtime.test_stores import signed_up
from tests.waiting import BUSY, until

TOPIC = "acme.users.events"
NOBODY = "kafka://127.0.0.1:1"
"""Where no Kafka is."""


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[Bus]:
    """Another client of the log."""
    async with Tasks("look", Metrics()) as tasks:
        bus = drivers.open_bus(url, clock=SystemClock(), tasks=tasks, metrics=Metrics())
        try:
            yield bus
        finally:
            await bus.close()


async def on(bus: Bus) -> list[Received]:
    """What is on the topic of users."""
    found: list[Received] = []
    for partition, ends in (await bus.ends(TOPIC)).items():
        found += await bus.read(TopicPartition(TOPIC, partition), ends.start)
    return found


async def told(client: Client) -> str:
    """The state of the bus, as readiness shows it."""
    answer = (await client.get("/readyz")).expect(200)
    assert answer["ready"]
    return str(answer["stores"]["bus"])


@asynccontextmanager
async def started(
    server: Server, data: Path, url: str, *plugins: Plugin, **bus: Any
) -> AsyncIterator[tuple[Node, Client]]:
    """A node with users, whose bus is at `url`."""
    hosted = [users, *plugins]
    async with (
        configured(server, data, *hosted, values={"bus": {"url": url, **bus}}) as config,
        assemble(config, hosted) as node,
        Client(node.url) as client,
    ):
        yield node, client


async def waits(server: Server, node: Node) -> int:
    """Events and records in the outbox of users."""
    async with server.connection(urlsplit(node.config.database.urls["users"]).path[1:]) as connection:
        return int(await connection.fetchval("SELECT count(*) FROM acme.outbox"))


async def test_an_event_is_on_the_bus_long_before_the_relays_next_look(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "POLL", 600.0)
    async with (
        postgres.database() as log,
        started(postgres, tmp_path, postgres.url(log)) as (node, client),
        looking(postgres.url(log)) as bus,
    ):

        async def relayed() -> bool:
            return 'acme_outbox_pending{plugin="users"}' in node.metrics.render().decode()

        async def arrived() -> bool:
            return len(await on(bus)) > 0

        await until(relayed, BUSY)
        await signed_up(client)
        await until(arrived, 5 + BUSY)
        assert await told(client) == "ok"
        headers = dict((await on(bus))[0].headers)
        assert headers["ce_source"] == b"/local/users"


async def test_without_its_kafka_a_process_starts_and_serves_and_says_so(postgres: Server, tmp_path: Path) -> None:
    began = time.monotonic()
    async with started(postgres, tmp_path, NOBODY, timeout=2.0) as (node, client):
        assert time.monotonic() - began < 15 + BUSY
        await signed_up(client)
        assert (await told(client)).startswith("topics not declared yet; ")
        assert await waits(postgres, node) > 0

        async def shown() -> bool:
            lines = node.metrics.render().decode().splitlines()
            return any(line.startswith('acme_outbox_pending{plugin="users"}') and line[-2:] != " 0" for line in lines)

        await until(shown, BUSY)


async def test_what_was_committed_while_the_log_was_away_arrives_when_it_is_back(
    postgres: Server, tmp_path: Path
) -> None:
    async with postgres.database() as log:
        async with postgres.connection() as server:
            await server.execute(f"ALTER DATABASE {log} ALLOW_CONNECTIONS false")
        async with started(postgres, tmp_path, postgres.url(log)) as (node, client):
            await signed_up(client)
            assert (await told(client)).startswith("topics not declared yet; ")
            waiting = await waits(postgres, node)
            assert waiting > 0
            async with postgres.connection() as server:
                await server.execute(f"ALTER DATABASE {log} ALLOW_CONNECTIONS true")

            async def sent() -> bool:
                return await waits(postgres, node) == 0

            await until(sent, 10 + BUSY)
            assert await told(client) == "ok"
        async with looking(postgres.url(log)) as bus:
            assert len(await on(bus)) > 0


async def test_topics_with_other_partitions_keep_a_process_from_starting_and_the_reason_says_what_to_do(
    postgres: Server, tmp_path: Path
) -> None:
    async with postgres.database() as log, looking(postgres.url(log)) as bus:
        await bus.declare([Topic(TOPIC, partitions=3)])
        with pytest.raises(
            CannotStart, match=rf"\[bus\] topic {TOPIC} has 3 partitions, not 12: set its partitions to 3"
        ):
            async with started(postgres, tmp_path, postgres.url(log)):
                pass
        topics = {TOPIC: {"partitions": 3}}
        async with started(postgres, tmp_path, postgres.url(log), topics=topics) as (_, client):
            assert await told(client) == "ok"


async def test_topics_that_turn_out_wrong_when_the_bus_is_back_are_told_by_readiness(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventing, "AGAIN", 0.05)
    async with postgres.database() as log:
        async with looking(postgres.url(log)) as bus:
            await bus.declare([Topic(TOPIC, partitions=3)])
        async with postgres.connection() as server:
            await server.execute(f"ALTER DATABASE {log} ALLOW_CONNECTIONS false")
        async with started(postgres, tmp_path, postgres.url(log)) as (node, client):
            async with postgres.connection() as server:
                await server.execute(f"ALTER DATABASE {log} ALLOW_CONNECTIONS true")

            async def tells() -> bool:
                return "has 3 partitions, not 12" in await told(client)

            await until(tells, 5 + BUSY)
            await signed_up(client)
            assert await waits(postgres, node) > 0


async def test_a_process_that_ends_lets_a_handler_finish_and_commits_what_it_heard(
    postgres: Server, tmp_path: Path
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hear(resources: Resources[Any], event: Event[UserCreated]) -> None:
        begun.set()
        await ended.wait()

    ear = made("made", consumers=(Consumer("ear", (UserCreated,), hear),))
    async with postgres.database() as log:
        async with started(postgres, tmp_path, postgres.url(log), ear) as (_, client):
            await signed_up(client)
            async with asyncio.timeout(10 + BUSY):
                await begun.wait()
            asyncio.get_running_loop().call_later(0.3, ended.set)  # when the end has begun
        assert ended.is_set()
        async with looking(postgres.url(log)) as bus:
            [heard] = [each for each in await on(bus) if dict(each.headers)["ce_type"] == b"acme.users.v1.UserCreated"]
            assert (await bus.committed("made.ear"))[heard.place] > heard.offset


async def test_without_a_bus_events_stay_where_they_are(postgres: Server, tmp_path: Path) -> None:
    async with started(postgres, tmp_path, "outbox:") as (node, client):
        await signed_up(client)
        assert node.bus is None
        assert "bus" not in (await client.get("/readyz")).expect(200)["stores"]
        assert await waits(postgres, node) > 0


@pytest.mark.parametrize(
    ("bus", "wrong"),
    [
        ({"url": "kafka://ann:hush@h"}, r"bus\.url: an account does not belong in the URL"),
        ({"url": "kafkas://h", "authority": "/nowhere/ca.pem"}, r"bus\.authority, bus\.certificate, bus\.key: "),
    ],
)
async def test_what_the_driver_cannot_use_is_a_mistake_in_the_settings(
    postgres: Server, tmp_path: Path, bus: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(ConfigError, match=wrong) as caught:
        async with started(postgres, tmp_path, **bus):
            pass
    assert "hush" not in str(caught.value)


def test_every_topic_of_the_contracts_is_declared_as_the_settings_say() -> None:
    topics: Sequence[Topic] = topics_of(CONTRACTS, load(values={"bus": {"topics": {TOPIC: {"partitions": 3}}}}).bus)
    assert [topic.name for topic in topics] == ["acme.audit.log", "acme.projects.events", TOPIC]
    assert [topic.partitions for topic in topics] == [12, 12, 3]
