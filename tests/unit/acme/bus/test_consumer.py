"""What a handler hears, and what is committed with it: with batches, garbage, and two owners of one partition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from acme import events, mail
from acme.bus import partition
from acme.bus.consumer import fingerprint
from acme.contracts.projects.v1 import ProjectCreated
from tests.hearing import PLACE, Broken, Ear, at, event
from tests.services import Stage
from tests.waiting import until


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "FIRST_PAUSE", 0.002)


async def done(worker: partition.PartitionWorker, position: int) -> None:
    async def there() -> bool:
        return worker.position >= position

    await until(there)


async def test_a_handler_knows_whose_event_it_is_and_why_it_came(stage: Stage) -> None:
    told: list[Any] = []

    async def script(each: Any) -> None:
        told.append(each)

    ear = Ear(stage, script)
    sent = event(stage, 7, request_id="req_1", traceparent="00-aa-bb-01", principal_kind="user", principal_id="usr_ann")
    async with ear.working(at(sent, 4)) as worker:
        await done(worker, 5)
    (each,) = told
    assert each.message == ProjectCreated(project_id="prj_1")
    assert (each.id, each.source, each.organization, each.aggregate) == ("evt_7", "projects", "org_1", "prj_1")
    assert (each.principal_kind, each.principal_id) == ("user", "usr_ann")
    assert (each.request_id, each.traceparent) == ("req_1", "00-aa-bb-01")
    assert (each.topic, each.partition, each.offset) == (*PLACE, 4)
    assert abs((each.occurred_at - stage.clock.now()).total_seconds()) < 60


async def test_what_a_handler_announces_carries_the_request_that_it_goes_back_to(stage: Stage) -> None:
    async def script(each: Any) -> None:
        events.add(ProjectCreated(project_id="prj_2"))
        mail.add(to="ann@example.com", subject="Heard", text="It was heard.")

    ear = Ear(stage, script)
    async with ear.working(at(event(stage, 1, request_id="req_9", traceparent="00-cc-dd-01"), 0)) as worker:
        await done(worker, 1)
    (row,) = await stage.sql("SELECT headers FROM acme.outbox")
    assert (row["headers"]["request_id"], row["headers"]["traceparent"]) == ("req_9", "00-cc-dd-01")
    assert row["headers"]["principal_id"] == "things"
    assert (await stage.counts())[2] == 1


async def test_a_call_of_another_service_inside_is_refused(stage: Stage) -> None:
    said: list[str] = []

    async def script(each: Any) -> None:
        with pytest.raises(RuntimeError) as refused:
            await stage.create(placement="local")
        said.append(str(refused.value))

    ear = Ear(stage, script)
    async with ear.working(at(event(stage, 1), 0)) as worker:
        await done(worker, 1)
    assert "inside a unit of work" in said[0]


async def test_undecodable_bytes_are_set_aside_at_once_with_their_key(stage: Stage) -> None:
    ear = Ear(stage)
    garbage = replace(at(event(stage, 0, "prj_bad"), 0), value=b"garbage")
    future = at(event(stage, 1, "prj_new"), 1)
    assert future.value is not None
    future = replace(future, value=b"\0\x7f\xff\xff\xff" + future.value[5:])
    follows = at(event(stage, 2, "prj_bad"), 2)
    async with ear.working(garbage, future, follows, at(event(stage, 3), 3)) as worker:
        await done(worker, 4)
    assert await ear.things() == ["evt_3"]
    assert [(row["event_id"], row["error"], row["value"]) for row in await ear.letters()] == [
        ("evt_0", "Undecodable", b"garbage"),
        ("evt_1", "UnknownSchema", future.value),
        ("evt_2", "", follows.value),
    ]
    assert await ear.parked() == [b"org_1:prj_bad", b"org_1:prj_new"]


@pytest.mark.parametrize("key", [None, b"", b"k" * 5000], ids=["none", "empty", "huge"])
async def test_garbage_without_a_usable_key_parks_nothing(stage: Stage, key: bytes | None) -> None:
    ear = Ear(stage)
    garbage = replace(at(event(stage, 0), 0), key=key, value=b"\xff", headers=(("ce_id", b"\0" * 9000), ("n\0", b"\0")))
    async with ear.working(garbage, replace(garbage, offset=1), at(event(stage, 2), 2)) as worker:
        await done(worker, 3)
    letters = await ear.letters()
    assert [row["event_id"] for row in letters] == ["acme.projects.events/3/0", "acme.projects.events/3/1"]
    assert [row["parked_key"] for row in letters] == [None, None]
    assert (await ear.parked(), await ear.things()) == ([], ["evt_2"])


async def test_a_batch_is_one_unit_of_work(stage: Stage) -> None:
    ear = Ear(stage, batch=10)
    records = [at(event(stage, number), number) for number in range(25)]
    async with ear.working(*records) as worker:
        await done(worker, 25)
    assert await ear.things() == [f"evt_{number}" for number in range(25)]
    units = {row[0] for row in await stage.sql("SELECT xmin::text FROM things")}
    assert len(units) == 3


async def test_a_batch_that_fails_is_repeated_one_by_one(stage: Stage) -> None:
    async def script(each: Any) -> None:
        if each.aggregate == "prj_bad":
            raise Broken

    ear = Ear(stage, script, batch=4, attempts=2)
    order = ["prj_1", "prj_bad", "prj_2", "prj_bad"]
    records = [at(event(stage, number, project), number) for number, project in enumerate(order)]
    async with ear.working(*records) as worker:
        await done(worker, 4)
    assert await ear.things() == ["evt_0", "evt_2"]
    assert [(row["event_id"], row["error"]) for row in await ear.letters()] == [("evt_1", "Broken"), ("evt_3", "")]
    assert ear.heard == ["evt_0", "evt_1", "evt_0", "evt_1", "evt_1", "evt_2"]


async def test_a_repetition_within_a_batch_is_heard_once(stage: Stage) -> None:
    ear = Ear(stage, batch=5)
    records = [at(event(stage, number // 2), number) for number in range(4)]
    async with ear.working(*records) as worker:
        await done(worker, 4)
    assert ear.heard == await ear.things() == ["evt_0", "evt_1"]


async def test_two_owners_at_the_same_time_have_the_effect_of_one_in_order(stage: Stage) -> None:
    first, second = Ear(stage), Ear(stage)
    records = [at(event(stage, number), number) for number in range(60)]
    async with first.working(*records) as one, second.working(*records) as other:
        await done(one, 60)
        await done(other, 60)
    assert sorted(first.heard + second.heard) == sorted(await first.things())
    assert await first.things() == [f"evt_{number}" for number in range(60)]


async def test_a_key_that_one_owner_parks_is_parked_for_a_batch_of_the_other(stage: Stage) -> None:
    """The other has claimed a later event of the key in the same statement that waits for the first one's parking."""
    fails = Ear(stage, attempts=1)
    records = [at(event(stage, number), number) for number in range(3)]
    other = Ear(stage, batch=3)

    async def script(each: Any) -> None:
        raise Broken

    fails.script = script
    heard = fails.handling.read(fails.handling.reader.wanted(records[0]))  # type: ignore[arg-type]  # it is wanted
    failure = await fails.handling.hear([heard])  # type: ignore[list-item]  # it was decoded
    assert failure is not None
    holding, go = asyncio.Event(), asyncio.Event()
    bury = fails.handling._bury

    async def slowly(*args: Any) -> None:
        await bury(*args)
        holding.set()
        await go.wait()

    fails.handling._bury = slowly  # type: ignore[method-assign,assignment]  # holds the parking open until the other waits for it
    parking = stage.tasks.spawn("park", _finished(fails.handling.park(heard.mail, failure, 1)))  # type: ignore[union-attr]  # see above
    await asyncio.wait_for(holding.wait(), 10)

    async def waits() -> bool:
        return bool(await stage.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

    async with other.working(*records) as worker:
        await until(waits)
        go.set()
        await done(worker, 3)
        await parking
    assert other.heard == []
    assert [(row["event_id"], row["error"]) for row in await other.letters()] == [
        ("evt_0", "Broken"),
        ("evt_1", ""),
        ("evt_2", ""),
    ]


async def _finished(work: Any) -> None:
    assert await work is None


def test_the_fingerprint_tells_faults_apart_and_not_their_texts() -> None:
    def of(error: BaseException) -> str:
        return fingerprint("things.ear", error, "tests")

    def raised(make: Callable[[], Exception]) -> Exception:
        try:
            raise make()
        except Broken as error:
            return error

    def elsewhere() -> Exception:
        try:
            raise Broken("one")
        except Broken as error:
            return error

    assert of(raised(lambda: Broken("one"))) == of(raised(lambda: Broken("another")))
    assert of(raised(lambda: Broken("one"))) != of(elsewhere())
    assert of(Broken()) != of(KeyError())
    assert of(Broken()) != fingerprint("things.eye", Broken(), "tests")
