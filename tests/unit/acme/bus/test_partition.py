"""One partition: in order, once each, again where it fails, aside where it must, and never standing still for long."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from acme import Unavailable
from acme.bus import partition
from acme.ports import SerializationFailure
from tests.hearing import UNWANTED, Broken, Ear, at, event
from tests.services import Stage
from tests.waiting import until


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "FIRST_PAUSE", 0.002)


async def done(worker: partition.PartitionWorker, position: int) -> None:
    async def there() -> bool:
        return worker.position >= position

    await until(there)


async def test_events_are_heard_in_order_and_once_each(stage: Stage) -> None:
    ear = Ear(stage)
    records = [at(event(stage, number), number) for number in range(20)]
    async with ear.working(*records) as worker:
        await done(worker, 20)
    async with ear.working(*records) as again:
        await done(again, 20)
    assert ear.heard == await ear.things() == [f"evt_{number}" for number in range(20)]
    assert stage.count("acme_inbox_duplicates_total", messaging_consumer_group_name="things.ear") == 20


async def test_what_was_not_asked_for_counts_as_read_without_a_look_inside(stage: Stage) -> None:
    ear = Ear(stage)
    garbage = replace(at(event(stage, 1, message=UNWANTED), 1), value=b"garbage")
    tombstone = replace(at(event(stage, 2), 2), value=None)
    async with ear.working(at(event(stage, 0, message=UNWANTED), 0), garbage, tombstone) as worker:
        await done(worker, 3)
    assert (ear.heard, await ear.inbox(), await ear.letters()) == ([], 0, [])


async def test_a_failing_event_is_tried_again_in_place_and_nothing_overtakes_it(stage: Stage) -> None:
    async def script(each: Any) -> None:
        if each.id == "evt_0" and ear.heard.count("evt_0") < 3:
            raise Broken("with a secret in its text")

    ear = Ear(stage, script)
    async with ear.working(at(event(stage, 0), 0), at(event(stage, 1, "prj_2"), 1)) as worker:
        await done(worker, 2)
    assert ear.heard == ["evt_0", "evt_0", "evt_0", "evt_1"]
    assert await ear.things() == ["evt_0", "evt_1"]
    assert await ear.letters() == []


def test_pauses_double_up_to_a_limit_with_jitter() -> None:
    for number, most in ((1, 0.002), (4, 0.016), (60, 30.0)):
        seconds = {partition.pause(number) for _ in range(20)}
        assert most / 2 <= min(seconds) < max(seconds) <= most


async def test_a_key_that_fails_too_often_is_parked_and_other_keys_go_on(stage: Stage) -> None:
    async def script(each: Any) -> None:
        if each.aggregate == "prj_bad":
            raise Broken("with a secret in its text")

    ear = Ear(stage, script)
    order = ["prj_bad", "prj_1", "prj_bad", "prj_2", "prj_bad"]
    records = [at(event(stage, number, project), number) for number, project in enumerate(order)]
    async with ear.working(*records) as worker:
        await done(worker, 5)
    assert ear.heard == ["evt_0"] * 3 + ["evt_1", "evt_3"]
    assert await ear.things() == ["evt_1", "evt_3"]
    letters = await ear.letters()
    assert [(row["event_id"], row["error"], row["attempts"], row["offset"]) for row in letters] == [
        ("evt_0", "Broken", 3, 0),
        ("evt_2", "", 0, 2),
        ("evt_4", "", 0, 4),
    ]
    assert await ear.parked() == [b"org_1:prj_bad"]
    assert letters[0]["key"] == b"org_1:prj_bad"
    assert letters[0]["value"] == records[0].value
    assert tuple(zip(letters[0]["header_names"], letters[0]["header_values"], strict=True)) == records[0].headers
    assert len(letters[0]["fingerprint"]) == 12
    assert "secret" not in str([dict(row) for row in letters])


async def test_a_parked_event_that_comes_again_is_neither_handled_nor_parked_twice(stage: Stage) -> None:
    async def script(each: Any) -> None:
        raise Broken

    ear = Ear(stage, script)
    records = [at(event(stage, number), number) for number in range(3)]
    for _ in range(2):
        async with ear.working(*records) as worker:
            await done(worker, 3)
    assert ear.heard == ["evt_0"] * 3
    assert [row["event_id"] for row in await ear.letters()] == ["evt_0", "evt_1", "evt_2"]


async def test_a_handler_that_hangs_is_ended_and_parked_in_the_end(stage: Stage) -> None:
    async def script(each: Any) -> None:
        if each.aggregate == "prj_bad":
            await asyncio.Event().wait()

    ear = Ear(stage, script, timeout=0.05, attempts=2)
    async with ear.working(at(event(stage, 0, "prj_bad"), 0), at(event(stage, 1), 1)) as worker:
        await done(worker, 2)
    (letter,) = await ear.letters()
    assert (letter["error"], letter["attempts"]) == ("TimeoutError", 2)
    assert await ear.things() == ["evt_1"]


@pytest.mark.parametrize(
    "error", [Unavailable("not now"), SerializationFailure("again")], ids=lambda e: type(e).__name__
)
async def test_what_is_nobodys_fault_is_never_parked(stage: Stage, error: Exception) -> None:
    async def script(each: Any) -> None:
        if len(ear.heard) < 10:
            raise error

    ear = Ear(stage, script, attempts=2)
    async with ear.working(at(event(stage, 0), 0)) as worker:
        await done(worker, 1)
    assert (len(ear.heard), await ear.letters(), await ear.things()) == (10, [], ["evt_0"])


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError()], ids=lambda e: type(e).__name__)
async def test_a_handler_that_tries_to_end_the_process_or_its_worker_has_only_failed(
    stage: Stage, error: BaseException
) -> None:
    async def script(each: Any) -> None:
        if each.aggregate == "prj_bad":
            raise error

    ear = Ear(stage, script)
    async with ear.working(at(event(stage, 0, "prj_bad"), 0), at(event(stage, 1), 1)) as worker:
        await done(worker, 2)
    (letter,) = await ear.letters()
    assert letter["error"] == type(error).__name__
    assert await ear.things() == ["evt_1"]


async def test_the_worker_goes_no_further_beyond_its_commit_than_the_window(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "WINDOW", 4)
    ear = Ear(stage)
    # From 9 on there is a gap, as compaction leaves them: nothing in it has to be counted.
    offsets = [0, 1, 2, 3, 4, 5, 100]
    records = [at(event(stage, number), offset) for number, offset in enumerate(offsets)]
    async with ear.working(*records) as worker:
        await done(worker, 4)

        async def waits() -> bool:
            return worker.waits_for_commit

        await until(waits)
        assert len(ear.heard) == 4
        worker.settled(4)
        await done(worker, 100)
        await until(waits)
        assert (len(ear.heard), worker.position) == (6, 100)
        worker.settled(100)
        await done(worker, 101)
    assert len(await ear.things()) == 7


async def test_closing_ends_what_is_under_way_and_nothing_more(stage: Stage) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    async def script(each: Any) -> None:
        inside.set()
        await go.wait()

    ear = Ear(stage, script)
    async with ear.working(at(event(stage, 0), 0), at(event(stage, 1), 1)) as worker:
        await asyncio.wait_for(inside.wait(), 10)
        worker.close()
        go.set()
    assert (worker.position, await ear.things()) == (1, ["evt_0"])
    assert await stage.value("SELECT count(*) FROM acme.handling") == 0


async def test_closing_does_not_wait_for_a_pause(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "FIRST_PAUSE", 1000.0)

    async def script(each: Any) -> None:
        raise Broken

    async def failed() -> bool:
        return bool(ear.heard)

    ear = Ear(stage, script)
    async with ear.working(at(event(stage, 0), 0)) as worker:
        await until(failed)
    assert (worker.position, await ear.letters(), await ear.inbox()) == (0, [], 0)


async def test_an_event_that_ends_its_processes_is_parked_once_they_were_enough(stage: Stage) -> None:
    """Here a process that is lost is a worker that is cancelled; `test_killed.py` has real ones."""
    ear = Ear(stage, attempts=2)

    async def script(each: Any) -> None:
        if each.aggregate == "prj_bad":
            await asyncio.Event().wait()

    ear.script = script
    records = [at(event(stage, 0), 0), at(event(stage, 1, "prj_bad"), 1), at(event(stage, 2), 2)]
    for life in range(3):
        worker = ear.worker()
        for record in records:
            worker.put(record)
        task = stage.tasks.spawn("worker", worker.run())

        async def there(life: int = life) -> bool:
            return ear.heard.count("evt_1") == life + 1

        await until(there)
        task.cancel()
        await asyncio.wait([task])
    assert ear.heard.count("evt_0") == 1
    assert [row["lives"] for row in await stage.sql("SELECT lives FROM acme.attempts")] == [2]
    async with ear.working(*records) as worker:
        await done(worker, 3)
    (letter,) = await ear.letters()
    assert (letter["event_id"], letter["error"], letter["attempts"]) == ("evt_1", "ProcessLost", 2)
    assert await ear.things() == ["evt_0", "evt_2"]
    assert await stage.value("SELECT count(*) FROM acme.attempts") == 0


async def test_nothing_is_counted_after_a_process_that_stopped_in_order(stage: Stage) -> None:
    ear = Ear(stage)
    for number in range(2):
        async with ear.working(at(event(stage, number), number), position=number) as worker:
            await done(worker, number + 1)
            assert worker._suspects_until == 0
