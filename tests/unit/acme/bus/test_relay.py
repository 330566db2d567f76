"""The relay, from a real outbox to a real log."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from acme.bus import relay as relays
from acme.bus.relay import Backlog, EventRefused, Relay
from acme.contract import Work
from acme.contracts.projects.v1 import Project, ProjectCreated
from acme.contracts.users.v1 import UserUpdated
from acme.errors import Unavailable
from acme.ports import Bus, Record, Topic, TopicPartition
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing.server import Server
from acme.work.unit import Scope, Unit
from tests.hearing import TOPIC
from tests.services import Stage
from tests.unit.acme.bus.groups import PARTITIONS, Opener
from tests.waiting import BUSY, sample, until

PENDING = 'acme_outbox_pending{plugin="things"}'
OLDEST = 'acme_outbox_oldest_age_seconds{plugin="things"}'
REFUSALS = 'acme_outbox_refusals_total{plugin="things"}'
SENT = "messaging_client_sent_messages_total{"


class Killed(BaseException):
    """The process ends here."""


@dataclass
class Troubled:
    """A log on a bad day: what `trouble` raises happens to an append; the log itself is real.

    `trouble(number, records)` gives records to append first, and what is raised then; None lets the append be.
    """

    log: Bus
    trouble: Callable[[int, Sequence[Record]], tuple[Sequence[Record], BaseException] | None] = lambda *_: None
    appends: list[list[Record]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    async def append(self, source: str, records: Sequence[Record]) -> None:
        self.appends.append(list(records))
        if (bad := self.trouble(len(self.appends), records)) is None:
            return await self.log.append(source, records)
        await self.log.append(source, bad[0])
        raise bad[1]


@dataclass
class Rig:
    """Relays of one outbox, and what has come of them."""

    stage: Stage
    log: Opener
    metrics: Metrics = field(default_factory=Metrics)

    def relay(self, bus: Bus | Troubled) -> Relay:
        backlog = Backlog(self.metrics, self.stage.clock)
        stage, known = self.stage, cast(Bus, bus)
        return Relay("things", "local", stage.pool, stage.units.database, known, self.metrics, backlog)

    @asynccontextmanager
    async def opened(self, **how: Any) -> AsyncIterator[tuple[Relay, Troubled]]:
        """One whose passes the test makes."""
        async with Tasks("relay", self.metrics) as tasks:
            bus = Troubled(self.log(tasks), **how)
            yield self.relay(bus), bus

    @asynccontextmanager
    async def running(self, **how: Any) -> AsyncIterator[tuple[Relay, Troubled]]:
        async with Tasks("run", self.metrics) as tasks, self.opened(**how) as (relay, bus):
            tasks.spawn("relay", relay.run())
            yield relay, bus
            await tasks.stop()

    async def announce(self, *events: tuple[str, int]) -> None:
        """Commits events, each of an aggregate and with a number."""
        unit: Unit = Scope(self.stage.units.service, Work.MANUAL).open()
        for key, number in events:
            unit.announce(ProjectCreated(project_id=key, project=Project(version=number)))
        await unit.finish()

    async def empty(self) -> bool:
        return not await self.stage.value("SELECT count(*) FROM acme.outbox")

    async def told(self) -> dict[str, list[int]]:
        """Numbers of the events on the log, in their order, by aggregate."""
        found: dict[str, list[int]] = {}
        async with Tasks("look", Metrics()) as tasks:
            bus = self.log(tasks)
            for partition, ends in (await bus.ends(TOPIC)).items():
                for received in await bus.read(TopicPartition(TOPIC, partition), ends.start, limit=100_000):
                    assert received.value is not None
                    event = self.stage.avro.decode(received.value)
                    found.setdefault(event.project_id, []).append(event.project.version)
        return found


@pytest.fixture
async def rig(stage: Stage, log: Opener, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """With relays that count at every turn, and try again soon."""
    monkeypatch.setattr(relays, "ROLL", 0.0)
    monkeypatch.setattr(relays, "AGAIN", 0.01)
    return Rig(stage, log)


async def test_events_of_an_aggregate_arrive_in_the_order_of_their_commits(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "BATCH", 7)
    for number in range(10):
        await rig.announce(*((f"prj_{key}", number) for key in range(5)))
    async with rig.opened() as (relay, _):
        while await relay.pass_once():
            pass
    assert await rig.told() == {f"prj_{key}": list(range(10)) for key in range(5)}
    assert await rig.empty()


async def test_a_batch_ends_at_so_many_bytes_and_what_is_larger_goes_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.announce(*((f"prj_{number:02}", number) for number in range(10)))
    size = await rig.stage.value("SELECT max(length(payload)) FROM acme.outbox")
    monkeypatch.setattr(relays, "BYTES", 3 * size)
    async with rig.opened() as (relay, bus):
        assert await relay.pass_once() == 10
        assert [len(batch) for batch in bus.appends] == [3, 3, 3, 1]
        bus.appends.clear()
        monkeypatch.setattr(relays, "BYTES", 1)
        await rig.announce(("prj_a", 1), ("prj_b", 1))
        assert await relay.pass_once() == 2
        assert [len(batch) for batch in bus.appends] == [1, 1]


@pytest.mark.parametrize("point", ["before anything was appended", "after a half", "after all"])
async def test_an_append_that_fails_loses_nothing_and_changes_no_order(
    rig: Rig, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "BATCH", 8)

    def trouble(number: int, records: Sequence[Record]) -> tuple[Sequence[Record], BaseException] | None:
        done = {"before anything was appended": 0, "after a half": len(records) // 2, "after all": len(records)}[point]
        return (records[:done], Unavailable("gone")) if number % 3 else None

    for number in range(10):
        await rig.announce(*((f"prj_{key}", number) for key in range(4)))
    async with rig.running(trouble=trouble) as (_, bus):
        await until(rig.empty, 10 + BUSY)
        assert len(bus.appends) > 10
    assert await rig.told() == {f"prj_{key}": list(range(10)) for key in range(4)}


async def test_a_process_that_dies_before_it_deletes_leaves_nothing_twice_on_the_log(rig: Rig) -> None:
    await rig.announce(("prj_1", 1), ("prj_2", 1), ("prj_1", 2))
    async with rig.opened(trouble=lambda _, records: (records, Killed())) as (relay, _):
        with pytest.raises(Killed):
            await relay.pass_once()
    assert not await rig.empty()
    await rig.announce(("prj_1", 3))
    async with rig.opened() as (next_one, _):
        await next_one.pass_once()
    assert await rig.told() == {"prj_1": [1, 2, 3], "prj_2": [1]}
    assert await rig.empty()


async def test_two_relays_at_once_turn_no_order_around_and_put_nothing_twice_on_the_log(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "BATCH", 5)
    keys, each = [f"prj_{number}" for number in range(4)], 20
    for key in keys:
        await rig.stage.sql("INSERT INTO things (id, note) VALUES ($1, '0')", key)

    async def write(chance: random.Random) -> None:
        for _ in range(each):
            unit: Unit = Scope(rig.stage.units.service, Work.MANUAL).open()
            key = chance.choice(keys)
            version = await unit.fetchval(
                "UPDATE things SET note = (note::int + 1)::text WHERE id = $1 RETURNING note::int", key
            )
            unit.announce(ProjectCreated(project_id=key, project=Project(version=version)))
            await asyncio.sleep(chance.random() * 0.01)
            await unit.finish()

    async with rig.running() as (_, one), rig.running() as (_, other):
        await asyncio.gather(*(write(random.Random(number)) for number in range(8)))
        await until(rig.empty, 10 + BUSY)
        handed = [record.id for bus in (one, other) for batch in bus.appends for record in batch]
        assert one.appends
        assert other.appends
        assert len(set(handed)) == 8 * each
    versions = {row["id"]: int(row["note"]) for row in await rig.stage.sql("SELECT id, note FROM things")}
    assert sum(versions.values()) == 8 * each
    assert await rig.told() == {key: list(range(1, last + 1)) for key, last in versions.items()}


async def test_while_its_bus_is_away_it_tells_what_waits_and_sends_it_when_the_bus_is_back(
    rig: Rig, postgres: Server
) -> None:
    name = urlsplit(rig.log.url).path.removeprefix("/")

    async def tells(relay: Relay, waiting: int) -> bool:
        return relay.running and sample(rig.metrics, PENDING) == waiting

    async with rig.running() as (relay, _):
        await rig.announce(*(("prj_1", number) for number in range(3)))
        await until(rig.empty, BUSY)
        async with postgres.connection() as server:
            await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            try:
                await server.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = $1 AND pid <> pg_backend_pid()",
                    name,
                )
                for more, waiting in ((range(3, 8), 5), (range(8, 12), 9)):
                    await rig.announce(*(("prj_1", number) for number in more))
                    await until(partial(tells, relay, waiting), 5 + BUSY)
            finally:
                await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await until(rig.empty, 5 + BUSY)
        assert relay.running
    assert await rig.told() == {"prj_1": list(range(12))}


async def test_it_looks_when_it_is_woken_long_before_its_next_look(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "POLL", 600.0)

    async def waits(relay: Relay) -> bool:
        return relay.running and PENDING in rig.metrics.render().decode()

    async with rig.running() as (relay, _):
        await until(partial(waits, relay))
        await rig.announce(("prj_1", 1))
        relay.wake()
        await until(rig.empty, BUSY)
    assert await rig.told() == {"prj_1": [1]}


async def test_without_being_woken_it_looks_by_itself(rig: Rig) -> None:
    async with rig.running():
        await rig.announce(("prj_1", 1))
        await until(rig.empty, relays.POLL + BUSY)


async def test_operators_see_what_waits_since_when_and_what_was_sent(rig: Rig) -> None:
    def away(number: int, records: Sequence[Record]) -> tuple[Sequence[Record], BaseException] | None:
        return None if back else ((), Unavailable("gone"))

    async def counted(rows: int) -> bool:
        return PENDING in rig.metrics.render().decode() and sample(rig.metrics, PENDING) == rows

    async def failure() -> bool:
        lines = rig.metrics.render().decode().splitlines()
        return any('error_type="Unavailable"' in line for line in lines if "duration" in line)

    back = False
    await rig.announce(("prj_1", 1), ("prj_1", 2))
    rig.stage.clock.advance(timedelta(seconds=90))
    async with rig.running(trouble=away) as (relay, _):
        await until(partial(counted, 2), BUSY)
        await until(failure, BUSY)
        assert 90 <= sample(rig.metrics, OLDEST) < 100 + BUSY
        back = True
        await until(partial(counted, 0), BUSY)
        assert sample(rig.metrics, OLDEST) == 0
        sent = [line for line in rig.metrics.render().decode().splitlines() if line.startswith(SENT)]
        assert len(sent) == 1
        assert 'messaging_system="acme_log"' in sent[0]
        assert f'messaging_destination_name="{TOPIC}"' in sent[0]
        assert sent[0].endswith(" 2.0")
    assert not relay.running
    assert PENDING not in rig.metrics.render().decode()


async def test_an_event_that_the_bus_refuses_is_named_and_waits_with_all_behind_it(
    rig: Rig,
) -> None:
    small = False
    refused = ValueError("a record is larger than the brokers of the event bus take")
    await rig.announce(*(("prj_1", number) for number in range(6)))
    ids = [row["event_id"] for row in await rig.stage.sql("SELECT event_id FROM acme.outbox ORDER BY id")]

    def too_large(number: int, records: Sequence[Record]) -> tuple[Sequence[Record], BaseException] | None:
        return ((), refused) if not small and ids[3] in {record.id for record in records} else None

    async def counted() -> bool:
        return sample(rig.metrics, REFUSALS) >= 3

    async with rig.running(trouble=too_large) as (_, bus):
        with capture_logs() as lines:
            await until(counted, BUSY)
        assert {(line["log_level"], line["event_id"]) for line in lines if "refuses" in line["event"]} == {
            ("error", ids[3])
        }
        assert await rig.told() == {"prj_1": [0, 1, 2]}
        assert await rig.stage.value("SELECT count(*) FROM acme.outbox") == 3
        # What is behind it is not sent again and again with it.
        assert {tuple(record.id for record in batch) for batch in bus.appends[1:]} == {(one,) for one in ids[:4]}
        small = True
        await until(rig.empty, BUSY)
        await rig.announce(("prj_1", 6), ("prj_1", 7))
        await until(rig.empty, BUSY)
        assert len(bus.appends[-1]) == 2
    assert await rig.told() == {"prj_1": list(range(8))}


async def test_an_event_of_a_topic_that_is_gone_is_refused_until_the_topic_is_there(rig: Rig) -> None:
    unit: Unit = Scope(rig.stage.units.service, Work.MANUAL).open()
    unit.announce(UserUpdated(user_id="usr_1"))
    await unit.finish()
    async with rig.opened() as (relay, bus):
        with pytest.raises(EventRefused) as caught:
            await relay.pass_once()
        assert caught.value.event_id == await rig.stage.value("SELECT event_id FROM acme.outbox")
        assert caught.value.reason == "there is no topic acme.users.events"
        await bus.declare([Topic("acme.users.events", partitions=PARTITIONS)])
        assert await relay.pass_once() == 1
    assert await rig.empty()
