"""All consumers of a plugin: what they tell operators, and the housekeeping."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from acme.bus import group, partition
from tests.hearing import NAME, TOPIC, Broken, Ear
from tests.services import Stage
from tests.unit.acme.bus.groups import PARTITIONS, Opener, append, effects, listening
from tests.waiting import until


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "FIRST_PAUSE", 0.002)
    monkeypatch.setattr(group, "COMMIT", 0.05)
    monkeypatch.setattr(group, "POLL", 0.02)


async def test_lag_and_letters_are_told_in_the_metrics(
    stage: Stage, log: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acme.bus import consumers as listeners

    monkeypatch.setattr(listeners, "LOOK", 0.02)
    monkeypatch.setattr(listeners, "STUCK", 0.0)
    go = asyncio.Event()

    async def script(each: Any) -> None:
        if each.id == "evt_0":
            raise Broken
        await go.wait()

    ear = Ear(stage, script, attempts=1, timeout=60)
    await append(stage, log, range(10), keys=2)
    stage.clock.advance(timedelta(minutes=1))
    try:
        async with listening(ear, log) as consumers:

            async def told() -> bool:
                return (
                    stage.count("acme_consumer_lag_messages") == 5
                    and stage.count("acme_dlq_depth", messaging_consumer_group_name=NAME) == 5
                )

            await until(told)
            assert 60 <= stage.count("acme_consumer_lag_seconds") < 120
            assert stage.count("acme_consumer_stuck_partitions") == 1
            assert consumers.notes() == {NAME: f"1 partitions of {TOPIC} stand still"}
            go.set()
            await effects(ear, 5)

            async def caught_up() -> bool:
                return stage.count("acme_consumer_lag_messages") == 0 and not consumers.notes()

            await until(caught_up)
    finally:
        stage.clock.advance(timedelta(minutes=-1))


async def test_the_inbox_forgets_what_no_bus_can_deliver_any_more(
    stage: Stage, log: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acme.bus import consumers as listeners

    async def script(each: Any) -> None:
        if each.id == "evt_1":
            raise Broken

    ear = Ear(stage, script, attempts=1)
    await append(stage, log, [0, 1])
    async with listening(ear, log):
        await effects(ear, 1)

        async def two() -> bool:
            return await ear.inbox() == 2

        await until(two)
    stage.clock.advance(timedelta(days=14, hours=1))
    monkeypatch.setattr(listeners, "SWEEP", 0.02)
    try:
        async with listening(ear, log):

            async def forgotten() -> bool:
                rows = await stage.sql("SELECT event_id FROM acme.inbox")
                return [row[0] for row in rows] == ["evt_1"]  # a dead letter is remembered for as long as it is there

            await until(forgotten)
    finally:
        stage.clock.advance(timedelta(days=-14, hours=-1))


async def test_a_process_that_was_lost_is_told_of_once_and_not_for_each_partition(stage: Stage, log: Opener) -> None:
    ear = Ear(stage)
    await stage.sql(
        "INSERT INTO acme.handling SELECT $1, $2, partition, 'lost' FROM generate_series(0, $3) partition",
        NAME,
        TOPIC,
        PARTITIONS - 1,
    )
    with capture_logs() as lines:
        for _ in range(2):
            await append(stage, log, range(10))
            async with listening(ear, log) as consumers:
                await effects(ear, 10)
                for _ in range(3):
                    await consumers._listening[0]._look()
    told = [line for line in lines if line["event"].startswith("a process was lost")]
    assert sum(line["partitions"] for line in told) == PARTITIONS
    assert len(told) <= 2  # the loop's first look, and ours
    assert {line["consumer"] for line in told} == {NAME}
