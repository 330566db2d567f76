"""The inbox's SQL: what is claimed, what is counted, and what is forgotten."""

from __future__ import annotations

from datetime import timedelta

from acme import work
from acme.bus import inbox
from tests.services import Stage

KEYS = [("topic", b"a"), ("topic", b"b")]


async def claim(stage: Stage, *ids: str) -> inbox.Claimed:
    with stage.units.outside():
        async with work():
            return await inbox.claim(stage.units.database, "c", ids, KEYS, stage.clock.now())
    raise AssertionError("the block has ended")


async def test_an_event_is_claimed_once_by_each_consumer(stage: Stage) -> None:
    assert await claim(stage, "evt_1", "evt_2") == (frozenset({"evt_1", "evt_2"}), False)
    assert await claim(stage, "evt_2", "evt_3") == (frozenset({"evt_3"}), False)
    other = await inbox.claim(stage.units.database, "d", ["evt_1"], KEYS, stage.clock.now())
    assert other.fresh == {"evt_1"}


async def test_a_claim_says_whether_a_key_is_parked_and_holding_says_which(stage: Stage) -> None:
    database = stage.units.database
    await inbox.park(database, "c", "topic", b"b", stage.clock.now())
    await inbox.park(database, "c", "topic", b"b", stage.clock.now())
    assert (await claim(stage, "evt_1")).parked
    assert await inbox.hold(database, "c", KEYS) == {("topic", b"b")}
    assert await inbox.hold(database, "d", KEYS) == frozenset()


async def test_who_finds_the_mark_of_another_suspects_a_loss(stage: Stage) -> None:
    database = stage.units.database
    assert not await inbox.suspect(database, "c", "topic", 1, "one")
    assert not await inbox.suspect(database, "c", "topic", 2, "one")
    assert await inbox.suspect(database, "c", "topic", 1, "two")
    await inbox.clean(database, "c", "topic", 1, "one")  # no longer its own
    assert await inbox.suspect(database, "c", "topic", 1, "three")
    await inbox.clean(database, "c", "topic", 1, "three")
    assert not await inbox.suspect(database, "c", "topic", 1, "four")


async def test_each_life_counts_once_for_an_event(stage: Stage) -> None:
    database, now = stage.units.database, stage.clock.now()
    assert [await inbox.begin(database, "c", "evt_1", who, now) for who in ("one", "one", "two")] == [1, 1, 2]
    await inbox.survived(database, "c", "evt_1")
    assert await inbox.begin(database, "c", "evt_1", "three", now) == 1
    await claim(stage, "evt_2")
    assert await inbox.begin(database, "c", "evt_2", "one", now) == 0


async def test_a_holder_that_stops_in_order_leaves_no_counts(stage: Stage) -> None:
    database, now = stage.units.database, stage.clock.now()
    await inbox.suspect(database, "c", "topic", 1, "one")
    await inbox.begin(database, "c", "evt_1", "one", now)
    await inbox.clean(database, "c", "topic", 1, "one")
    assert await inbox.begin(database, "c", "evt_1", "two", now) == 1


async def test_what_is_old_is_forgotten_in_portions(stage: Stage) -> None:
    database = stage.units.database
    await claim(stage, *(f"evt_{number}" for number in range(5)))
    assert await inbox.prune(database, "c", stage.clock.now() - timedelta(hours=1), 10) == 0
    until = stage.clock.now() + timedelta(seconds=1)
    assert [await inbox.prune(database, "c", until, 2) for _ in range(4)] == [2, 2, 1, 0]
    await claim(stage, "evt_9")
    assert await inbox.forget(database, "d") == 0
    assert await inbox.forget(database, "c") == 1
    assert await inbox.depth(database, "c") == 0
