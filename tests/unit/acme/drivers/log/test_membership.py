"""How partitions pass from hand to hand: the pure part, and what the database makes of several members."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acme.drivers.clock import MovableClock
from acme.drivers.log import group_store
from acme.drivers.log.bus import Log
from acme.drivers.log.group_store import MemberRow, PositionRow
from acme.drivers.log.membership import Membership, Standing, settled
from acme.ports import Topic
from tests.contract.bus.rigs import numbered
from tests.unit.acme.drivers.log.conftest import Open

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def member(name: str, *, drain: float = 5.0, life: str | None = "") -> MemberRow:
    return MemberRow(name, f"life of {name}" if life == "" else life, ["t"], drain)


def position(number: int, owner: str | None = None, target: str | None = None, **fields: Any) -> PositionRow:
    row = PositionRow(number, "t", number, owner and f"life of {owner}", target, None, None, None, 3, 9)
    return row._replace(**fields)


def test_what_is_free_is_taken_and_what_is_anothers_is_waited_for() -> None:
    before = [position(0), position(1, "old", "old"), position(2, "old", "old")]
    after = settled(before, [member("new"), member("old")], member("new"), (), "earliest", NOW)
    assert [row.owner for row in after] == ["life of new", "life of old", "life of old"]
    assert [row.target for row in after] == ["new", "old", "old"]
    assert after[0].began == 3


def test_a_target_that_changes_says_by_when_its_owner_has_to_give_up() -> None:
    before = [position(number, "old", "old") for number in range(2)]
    members = [member("new"), member("old", drain=7.0)]
    after = settled(before, members, member("new"), (), "earliest", NOW)
    moved = next(row for row in after if row.target == "new")
    assert (moved.owner, moved.yield_by) == ("life of old", NOW + timedelta(seconds=7))
    # Looking again does not give it more time, and when it is over the target takes it.
    later = settled(after, members, member("new"), (), "earliest", NOW + timedelta(seconds=3))
    assert later == after
    taken = settled(after, members, member("new"), (), "earliest", NOW + timedelta(seconds=7))
    assert sorted((row.owner, row.yield_by) for row in taken) == [("life of new", None), ("life of old", None)]


def test_what_its_owner_gives_up_is_free_at_once() -> None:
    before = [position(0, "old", "new", yield_by=NOW + timedelta(seconds=9)), position(1, "old", "old")]
    members = [member("new"), member("old")]
    [given, kept] = settled(before, members, member("old"), {0}, "earliest", NOW)
    assert (given.owner, given.yield_by, kept.owner) == (None, None, "life of old")
    [taken, _] = settled([given, kept], members, member("new"), (), "earliest", NOW)
    assert taken.owner == "life of new"


def test_a_partition_that_comes_back_while_it_is_given_up_begins_anew() -> None:
    [row] = settled([position(0, "me", "me")], [member("me")], member("me"), {0}, "earliest", NOW)
    assert (row.owner, row.yield_by) == ("life of me", None)


def test_what_a_dead_life_owned_is_free() -> None:
    [row] = settled([position(0, "dead", "dead")], [member("me")], member("me"), (), "latest", NOW)
    assert (row.owner, row.target, row.began) == ("life of me", "me", 9)


def test_a_member_that_is_awaited_back_keeps_its_partitions_from_others() -> None:
    members = [member("away", life=None), member("me")]
    rows = [position(0, None, "away"), position(1, "me", "me")]
    assert settled(rows, members, member("me"), (), "earliest", NOW) == rows


async def enter(bus: Log, number: int, clock: MovableClock, name: str = "", lease: float = 10.0) -> Membership:
    membership = Membership(clock, number, ["t"], name, "earliest", 5.0, lease)
    await bus._link.run(membership.enter)
    return membership


async def look(bus: Log, membership: Membership, released: set[int] | None = None) -> Standing | None:
    return await bus._link.run(lambda connection: membership.look(connection, released or set()))


async def group(bus: Log, partitions: int = 2) -> int:
    await bus.declare([Topic("t", partitions=partitions)])
    return await bus._link.run(lambda connection: group_store.group(connection, "g"))


def owned(standing: Standing | None) -> list[int]:
    assert standing is not None
    return [number for number, one in standing.owned.items() if not one.yielding]


async def test_a_lease_that_runs_out_frees_its_partitions_and_the_life_is_over(
    opened: Open, clock: MovableClock
) -> None:
    bus = opened()
    number = await group(bus)
    dead, alive = await enter(bus, number, clock), await enter(bus, number, clock)
    assert len(owned(await look(bus, dead))) == 1
    clock.advance(timedelta(seconds=6))
    assert await bus._link.run(alive.beat) != "gone"
    clock.advance(timedelta(seconds=5))
    assert await bus._link.run(alive.beat) == "changed"
    assert len(owned(await look(bus, alive))) == 2
    assert await look(bus, dead) is None
    assert await bus._link.run(dead.beat) == "gone"
    assert not await bus._link.run(lambda connection: dead.commit(connection, {1: 5}))


async def test_a_lease_that_ran_out_unnoticed_is_renewed(opened: Open, clock: MovableClock) -> None:
    bus = opened()
    number = await group(bus)
    alone = await enter(bus, number, clock)
    clock.advance(timedelta(hours=1))
    assert len(owned(await look(bus, alone))) == 2


async def test_a_heartbeat_tells_whether_something_changed(opened: Open, clock: MovableClock) -> None:
    bus = opened()
    number = await group(bus)
    one = await enter(bus, number, clock)
    assert await bus._link.run(one.beat) == "same"
    await enter(bus, number, clock)
    assert await bus._link.run(one.beat) == "changed"
    await look(bus, one)
    assert await bus._link.run(one.beat) == "same"


async def test_a_new_life_of_a_name_takes_over_at_once_and_the_former_one_is_fenced(
    opened: Open, clock: MovableClock
) -> None:
    bus = opened()
    number = await group(bus)
    former, other = await enter(bus, number, clock, "a"), await enter(bus, number, clock, "b")
    standing = await look(bus, former)
    assert standing is not None
    await look(bus, former, {place for place, one in standing.owned.items() if one.yielding})
    had, others = owned(await look(bus, former)), owned(await look(bus, other))
    again = await enter(bus, number, clock, "a")
    assert owned(await look(bus, again)) == had
    assert owned(await look(bus, other)) == others
    assert await look(bus, former) is None
    await bus.append("users", numbered("t", range(10)))
    assert not await bus._link.run(lambda connection: former.commit(connection, dict.fromkeys(had, 1)))
    assert await bus._link.run(lambda connection: again.commit(connection, dict.fromkeys(had, 1)))


async def test_a_name_that_left_is_awaited_for_the_length_of_a_lease(opened: Open, clock: MovableClock) -> None:
    bus = opened()
    number = await group(bus)
    goes, stays = await enter(bus, number, clock, "a"), await enter(bus, number, clock)
    standing = await look(bus, goes)
    assert standing is not None
    await look(bus, goes, {place for place, one in standing.owned.items() if one.yielding})
    await bus._link.run(goes.leave)
    assert len(owned(await look(bus, stays))) == 1
    clock.advance(timedelta(seconds=6))
    await bus._link.run(stays.beat)
    clock.advance(timedelta(seconds=5))
    assert len(owned(await look(bus, stays))) == 2


@pytest.mark.parametrize("start", ["earliest", "latest"])
async def test_a_position_beyond_the_end_begins_as_if_there_were_none(
    opened: Open, clock: MovableClock, start: Any
) -> None:
    """The database is an older copy."""
    bus = opened()
    number = await group(bus, 1)
    await bus.append("users", numbered("t", range(5)))
    [place] = (await bus._topics(["t"]))["t"].partitions
    await bus._link.run(lambda connection: group_store.reset(connection, number, {place: 100}))
    membership = Membership(clock, number, ["t"], "", start, 5.0, 10.0)
    standing = await bus._link.run(membership.enter)
    assert [one.position for one in standing.owned.values()] == [0 if start == "earliest" else 5]
