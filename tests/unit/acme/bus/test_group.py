"""A consumer as a member of its group, on the log in PostgreSQL: all of it together, with members that come and go."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from acme.bus import group, partition
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing.server import Server
from tests.hearing import NAME, TOPIC, Ear, event
from tests.services import Stage
from tests.unit.acme.bus.groups import Opener, append, by_key, committed, effects, listening
from tests.waiting import until


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "FIRST_PAUSE", 0.002)
    monkeypatch.setattr(group, "COMMIT", 0.05)
    monkeypatch.setattr(group, "POLL", 0.02)


async def test_every_event_has_its_effect_in_order_for_each_key_and_is_committed(stage: Stage, log: Opener) -> None:
    ear = Ear(stage)
    async with listening(ear, log):
        await append(stage, log, range(100))
        await effects(ear, 100)
    assert all(numbers == sorted(numbers) for numbers in (await by_key(ear)).values())
    assert len(ear.heard) == 100
    assert await committed(log) == 100
    assert stage.count("messaging_client_consumed_messages_total", messaging_destination_name=TOPIC) == 100
    assert stage.count("messaging_process_duration_seconds_count", messaging_consumer_group_name=NAME) == 100


async def test_who_comes_after_goes_on_where_the_other_stopped(stage: Stage, log: Opener) -> None:
    first, second = Ear(stage), Ear(stage)
    await append(stage, log, range(20))
    async with listening(first, log):
        await effects(first, 20)
    await append(stage, log, range(20, 40))
    async with listening(second, log):
        await effects(second, 40)
    assert (len(first.heard), len(second.heard)) == (20, 20)


async def test_members_that_come_and_go_change_nothing_about_the_effects(stage: Stage, log: Opener) -> None:
    ears = [Ear(stage) for _ in range(3)]
    async with listening(ears[0], log):
        await append(stage, log, range(100))
        async with listening(ears[1], log):
            await append(stage, log, range(100, 200))
            async with listening(ears[2], log):
                await append(stage, log, range(200, 300))
                await effects(ears[0], 300)
            await append(stage, log, range(300, 400))
        await append(stage, log, range(400, 500))
        await effects(ears[0], 500)
    assert sorted(id for ear in ears for id in ear.heard) == sorted(f"evt_{number}" for number in range(500))
    assert all(numbers == sorted(numbers) for numbers in (await by_key(ears[0])).values())


async def test_a_partition_that_goes_to_another_is_drained_and_committed_before(stage: Stage, log: Opener) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def script(each: Any) -> None:
        inside.set()
        await go.wait()

    first, second = Ear(stage, script), Ear(stage)
    await append(stage, log, range(4), keys=4)
    async with listening(first, log, at_once=8):
        await asyncio.wait_for(inside.wait(), 10)
        async with listening(second, log):

            async def joined() -> bool:
                return bool(await stage.value("SELECT count(*) FROM acme.handling"))

            await until(joined)
            go.set()
            await effects(first, 4)
    assert sorted(first.heard + second.heard) == [f"evt_{number}" for number in range(4)]


async def test_whoever_was_fenced_commits_nothing_and_does_no_harm(
    stage: Stage, log: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first hangs inside its handler for longer than its membership lasts, as a process that stands still does."""
    inside, go = asyncio.Event(), asyncio.Event()

    async def script(each: Any) -> None:
        inside.set()
        await go.wait()

    first, second = Ear(stage, script, timeout=60), Ear(stage)
    await append(stage, log, [0])
    async with listening(first, log) as consumers:
        await asyncio.wait_for(inside.wait(), 10)
        # Its polls stand still, and with them its membership.
        member = consumers._listening[0].member
        standing = asyncio.Event()

        async def stands(*args: Any) -> None:
            await standing.wait()

        monkeypatch.setattr(member, "_due", lambda: True)
        monkeypatch.setattr(member, "_commit", stands)
        async with listening(second, log):

            async def taken() -> bool:
                return bool(second.measures.groups[NAME].standing()) and bool(
                    await stage.value(
                        "SELECT count(*) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    )
                )

            await until(taken, 15)
            go.set()
            await effects(second, 1)
            monkeypatch.undo()
            standing.set()
            await append(stage, log, range(1, 20))
            await effects(second, 20)
    assert all(numbers == sorted(numbers) for numbers in (await by_key(first)).values())


async def test_a_slow_handler_pauses_its_partition_and_bounds_what_is_held(
    stage: Stage, log: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "RECORDS", 10)
    inside, go = asyncio.Event(), asyncio.Event()

    async def script(each: Any) -> None:
        if each.aggregate == "prj_0":
            inside.set()
            await go.wait()

    ear = Ear(stage, script, timeout=60)
    async with listening(ear, log) as consumers:
        await append(stage, log, range(200), keys=1)
        await asyncio.wait_for(inside.wait(), 10)
        member = consumers._listening[0].member
        most = 0

        async def paused() -> bool:
            nonlocal most
            most = max([most, *(worker.waiting for worker in member.workers.values())])
            return bool(member._paused)

        await until(paused)
        polls = time.monotonic() + 0.3
        while time.monotonic() < polls:
            await paused()
            await asyncio.sleep(0.01)
        assert 10 <= most <= 20
        go.set()
        await effects(ear, 200)

        async def goes_on() -> bool:
            return not member._paused

        await until(goes_on)
    assert (await by_key(ear))["prj_0"] == list(range(200))


async def test_the_database_may_be_away_for_a_while(stage: Stage, log: Opener, postgres: Server) -> None:
    ear = Ear(stage, attempts=2)
    name = stage.url.rpartition("/")[2].partition("?")[0]
    async with listening(ear, log):
        await append(stage, log, range(20))
        await effects(ear, 20)
        async with postgres.connection() as server:
            await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            await append(stage, log, range(20, 40))

            async def failing() -> bool:
                failed = stage.count("messaging_process_duration_seconds_count", messaging_consumer_group_name=NAME)
                return failed > stage.count("messaging_process_duration_seconds_count", error_type="") + 5

            try:
                await until(failing)
            finally:
                await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await effects(ear, 40)
    assert await ear.letters() == []
    assert all(numbers == sorted(numbers) for numbers in (await by_key(ear)).values())


async def test_the_bus_may_be_away_for_a_while(stage: Stage, log: Opener, postgres: Server) -> None:
    ear = Ear(stage)
    async with listening(ear, log):
        await append(stage, log, range(20))
        await effects(ear, 20)
        async with postgres.connection() as server:
            name = log.url.rpartition("/")[2].partition("?")[0]
            await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            await server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await append(stage, log, range(20, 40))
        await effects(ear, 40, 20)
    assert len(ear.heard) == 40


async def test_a_handler_that_kills_its_process_is_parked_and_the_rest_goes_on(
    stage: Stage, log: Opener, tmp_path: Path
) -> None:
    """Real processes, one after the other, until one survives."""
    await append(stage, log, [0], keys=1)
    async with Tasks("relay", Metrics()) as tasks:
        bus = log(tasks)
        await bus.append("projects", [event(stage, 1, "prj_bad"), event(stage, 2, "prj_bad"), event(stage, 3)])
    lives, ear = 0, Ear(stage)
    while not await ear.letters():
        lives += 1
        assert lives <= 5, "the event is never parked"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.unit.acme.bus.killed", stage.url, log.url, str(tmp_path / "clock")),
            stdin=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )

        async def over(process: asyncio.subprocess.Process = process) -> bool:
            return process.returncode is not None or len(await ear.letters()) == 2

        try:
            await until(over, 30)
            if process.returncode is None:
                await effects(ear, 2, 20)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            await process.wait()
    assert process.returncode == 0
    assert [(row["event_id"], row["error"]) for row in await ear.letters()] == [("evt_1", "ProcessLost"), ("evt_2", "")]
    assert await ear.things() == ["evt_0", "evt_3"] or await ear.things() == ["evt_3", "evt_0"]
    assert lives == 4  # one that nobody counted, two that were, and the one that parked it
