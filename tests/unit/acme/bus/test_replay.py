"""Replays: in order, once each, against newcomers and other processes, and given up by a person alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from acme import Unavailable, work
from acme.bus import dead_letters, inbox, partition
from acme.ports import Row, Statements
from tests.hearing import NAME, Broken, Ear, at, event
from tests.services import Stage
from tests.waiting import until


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "FIRST_PAUSE", 0.002)


class Moody:
    """A handler's script that fails for a project until it is mended."""

    def __init__(self) -> None:
        self.error: BaseException | None = Broken()

    async def __call__(self, each: Any) -> None:
        if each.aggregate == "prj_bad" and self.error is not None:
            raise self.error


async def parked(
    stage: Stage, *, keys: Sequence[str] = ("prj_bad", "prj_1", "prj_bad", "prj_bad")
) -> tuple[Ear, Moody]:
    """An ear with dead letters of one key: evt_0, which failed, evt_2 and evt_3, which wait."""
    moody = Moody()
    ear = Ear(stage, moody, attempts=2)
    records = [at(event(stage, number, key), number) for number, key in enumerate(keys)]
    async with ear.working(*records) as worker:

        async def done() -> bool:
            return worker.position == len(keys)

        await until(done)
    ear.heard.clear()
    return ear, moody


async def ids(ear: Ear) -> list[int]:
    return [row["id"] for row in await ear.letters()]


async def order(stage: Stage, numbers: Sequence[int]) -> None:
    with stage.units.outside():
        async with work():
            await dead_letters.order_replay(stage.units.database, NAME, numbers, stage.clock.now())


async def discard(stage: Stage, numbers: Sequence[int]) -> int:
    with stage.units.outside():
        async with work():
            return await dead_letters.discard(stage.units.database, NAME, numbers, stage.clock.now())
    raise AssertionError("the block has ended")


async def test_nothing_is_replayed_unless_somebody_asks(stage: Stage) -> None:
    ear, moody = await parked(stage)
    moody.error = None
    await ear.replayer.turn()
    assert (ear.heard, len(await ear.letters())) == ([], 3)


async def test_the_letters_of_a_key_are_replayed_in_order_and_then_it_is_free(stage: Stage) -> None:
    ear, moody = await parked(stage)
    moody.error = None
    await order(stage, (await ids(ear))[1:2])
    await ear.replayer.turn()
    assert ear.heard == ["evt_0", "evt_2", "evt_3"]
    assert await ear.things() == ["evt_1", "evt_0", "evt_2", "evt_3"]
    assert (await ear.letters(), await ear.parked()) == ([], [])
    async with ear.working(at(event(stage, 4, "prj_bad"), 4), position=4) as worker:

        async def done() -> bool:
            return worker.position == 5

        await until(done)
    assert (await ear.things())[-1] == "evt_4"


async def test_what_was_replayed_has_no_effect_when_the_bus_delivers_it_again(stage: Stage) -> None:
    ear, moody = await parked(stage)
    moody.error = None
    await order(stage, await ids(ear))
    await ear.replayer.turn()
    async with ear.working(*(at(event(stage, n, "prj_bad"), n) for n in (0, 2, 3))) as worker:

        async def done() -> bool:
            return worker.position == 4

        await until(done)
    assert len(await ear.things()) == 4


async def test_a_replay_that_fails_ends_with_that_letter_until_somebody_asks_again(stage: Stage) -> None:
    ear, moody = await parked(stage)
    moody.error = KeyError("another fault")
    await order(stage, await ids(ear))
    await ear.replayer.turn()
    await ear.replayer.turn()
    assert ear.heard == ["evt_0"]
    first, *waiting = await ear.letters()
    assert (first["error"], first["attempts"], first["replays"], first["begun"]) == ("KeyError", 3, 1, 0)
    assert [row["error"] for row in waiting] == ["", ""]
    moody.error = None
    await order(stage, [first["id"]])
    await ear.replayer.turn()
    assert await ear.letters() == []


async def test_a_replay_waits_for_what_is_nobodys_fault(stage: Stage) -> None:
    ear, moody = await parked(stage)
    moody.error = Unavailable("not now")
    await order(stage, await ids(ear))
    await ear.replayer.turn()
    await ear.replayer.turn()
    assert ear.heard == ["evt_0", "evt_0"]
    first = (await ear.letters())[0]
    assert (first["error"], first["replays"], first["begun"]) == ("Broken", 0, 0)
    moody.error = None
    await ear.replayer.turn()
    assert await ear.letters() == []


async def test_a_letter_that_ends_its_processes_is_not_replayed_for_ever(stage: Stage) -> None:
    ear, _ = await parked(stage)
    await order(stage, await ids(ear))
    hangs = asyncio.Event()

    async def script(each: Any) -> None:
        await hangs.wait()

    ear.script = script
    for life in range(2):
        task = stage.tasks.loop("replay", ear.replayer.turn, pause=0.01)

        async def begun(life: int = life) -> bool:
            return len(ear.heard) == life + 1

        await until(begun)
        task.cancel()
        await asyncio.wait([task])

    async def told() -> bool:
        await ear.replayer.turn()  # nothing comes of it while the lost one's locks are there
        return bool((await ear.letters())[0]["error"] == "ProcessLost")

    await until(told)
    assert (len(ear.heard), (await ear.letters())[0]["replays"]) == (2, 1)


async def test_two_processes_replay_each_letter_once_and_in_order(stage: Stage) -> None:
    keys = ["prj_bad"] * 30
    ear, moody = await parked(stage, keys=keys)
    other = Ear(stage, moody)
    moody.error = None
    await order(stage, await ids(ear))

    async def both() -> None:
        await asyncio.gather(ear.replayer.turn(), other.replayer.turn())

    while await ear.letters():
        await both()
    assert await ear.things() == [f"evt_{number}" for number in range(30)]
    assert len(ear.heard) + len(other.heard) == 30


async def test_an_event_that_comes_during_a_replay_follows_it(stage: Stage) -> None:
    ear, moody = await parked(stage)
    moody.error = None
    await order(stage, await ids(ear))
    inside, go = asyncio.Event(), asyncio.Event()

    async def script(each: Any) -> None:
        if each.id == "evt_3":  # the last: with it the key is free
            inside.set()
            await go.wait()

    ear.script = script
    replay = stage.tasks.spawn("replay", ear.replayer.turn())
    await asyncio.wait_for(inside.wait(), 5)
    newcomer = Ear(stage)
    async with newcomer.working(at(event(stage, 4, "prj_bad"), 4), position=4) as worker:

        async def waits() -> bool:
            return bool(
                await stage.value(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database()"
                )
            )

        await until(waits)
        go.set()

        async def done() -> bool:
            return worker.position == 5

        await until(done)
    await replay
    assert (await ear.things())[-2:] == ["evt_3", "evt_4"]
    assert (await ear.letters(), await ear.parked()) == ([], [])


async def test_newcomers_and_replays_never_overtake_each_other(stage: Stage) -> None:
    ear, moody = await parked(stage, keys=["prj_bad"] * 5)
    moody.error = None
    await order(stage, await ids(ear))
    newcomers = Ear(stage)
    records = [at(event(stage, number, "prj_bad"), number) for number in range(5, 60)]
    replays = stage.tasks.loop("replay", ear.replayer.turn, pause=0.001)
    try:
        async with newcomers.working(*records, position=5) as worker:

            async def done() -> bool:
                return worker.position == 60 and not await ear.letters()

            await until(done, 90)
    finally:
        replays.cancel()
    assert await ear.things() == [f"evt_{number}" for number in range(60)]


async def test_a_replay_that_finds_its_key_held_by_newcomers_is_put_off_and_not_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear, moody = await parked(stage)
    moody.error = None
    await order(stage, await ids(ear))
    choose, held, go = dead_letters.next_replay, asyncio.Event(), asyncio.Event()
    newcomers: list[asyncio.Task[None]] = []

    async def newcomer() -> None:
        with stage.units.outside():
            async with work():
                await inbox.hold(stage.units.database, NAME, {("acme.projects.events", b"org_1:prj_bad")})
                held.set()
                await go.wait()

    async def meanwhile(statements: Statements, consumer: str) -> Row | None:
        """Just when the letter is chosen, a newcomer takes hold of its key."""
        letter = await choose(statements, consumer)
        newcomers.append(stage.tasks.spawn("newcomer", newcomer()))
        await asyncio.wait_for(held.wait(), 5)
        return letter

    for _ in range(ear.attempts + 2):
        with monkeypatch.context() as patch:
            patch.setattr(dead_letters, "next_replay", meanwhile)
            assert not await ear.replayer.next()
        go.set()
        await newcomers.pop()
        held.clear()
        go.clear()
    assert (ear.heard, (await ear.letters())[0]["begun"]) == ([], 0)
    await ear.replayer.turn()
    assert ear.heard == ["evt_0", "evt_2", "evt_3"]


async def test_a_letter_that_is_discarded_never_has_an_effect_and_what_waited_goes_on(stage: Stage) -> None:
    ear, moody = await parked(stage)
    assert await discard(stage, (await ids(ear))[:1]) == 1
    moody.error = None
    await ear.replayer.turn()
    async with ear.working(at(event(stage, 0, "prj_bad"), 0)) as worker:

        async def done() -> bool:
            return worker.position == 1

        await until(done)
    assert await ear.things() == ["evt_1", "evt_2", "evt_3"]
    assert (await ear.letters(), await ear.parked()) == ([], [])


async def test_a_letter_that_is_discarded_behind_one_that_failed_frees_nothing(stage: Stage) -> None:
    ear, moody = await parked(stage)
    assert await discard(stage, (await ids(ear))[1:2]) == 1
    moody.error = None
    await ear.replayer.turn()
    assert (ear.heard, len(await ear.letters())) == ([], 2)


async def test_all_letters_of_a_key_discarded_free_it(stage: Stage) -> None:
    ear, _ = await parked(stage)
    assert await discard(stage, await ids(ear)) == 3
    assert await ear.parked() == []


async def test_letters_without_a_key_are_replayed_one_by_one(stage: Stage) -> None:
    ear = Ear(stage)
    good = at(event(stage, 0), 0)
    garbage = [replace(good, offset=number, key=None, value=b"garbage") for number in range(3)]
    for number, each in enumerate(garbage):
        garbage[number] = replace(each, headers=tuple(h for h in each.headers if h[0] != "ce_id"))
    async with ear.working(*garbage) as worker:

        async def done() -> bool:
            return worker.position == 3

        await until(done)
    first, second, _ = await ids(ear)
    await stage.sql("UPDATE acme.dead_letters SET value = $2 WHERE id = $1", first, good.value)  # now it can be decoded
    await order(stage, [first, second])
    await ear.replayer.turn()
    assert ear.heard == ["acme.projects.events/3/0"]
    assert [(row["id"], row["replays"]) for row in await ear.letters()] == [(second, 1), (second + 1, 0)]
