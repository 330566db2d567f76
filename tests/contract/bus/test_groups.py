"""What every driver behind `ports.Bus` promises of consumer groups."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack

import pytest

from acme.errors import Conflict
from acme.ports import Bus, Fenced, Received, TopicPartition, UnknownTopic
from tests.contract.bus.conftest import Declare
from tests.contract.bus.hearing import Hearing, ends, poll_until, receive
from tests.contract.bus.rigs import Rig, fresh, numbered, record

Another = Callable[[], Bus]


def values(records: list[Received]) -> list[int]:
    return sorted(int(one.value or b"") for one in records)


async def test_a_member_hears_its_partitions_first_and_then_reads_them_in_order(
    rig: Rig, bus: Bus, declared: Declare
) -> None:
    topic = await declared(3)
    await bus.append("users", numbered(topic, range(100)))
    hearing = Hearing()
    async with bus.subscribe(fresh("group"), [topic], hearing) as member:
        found = await receive(member, 100, limit=rig.turn)
        assert hearing.owned == {TopicPartition(topic, number): 0 for number in range(3)}
    assert values(found) == list(range(100))
    for number in range(3):
        offsets = [one.offset for one in found if one.partition == number]
        assert offsets == list(range(len(offsets)))


async def test_what_is_appended_while_a_member_waits_wakes_it(
    rig: Rig, bus: Bus, another: Another, declared: Declare
) -> None:
    topic, hearing = await declared(2), Hearing()
    async with bus.subscribe(fresh("group"), [topic], hearing) as member:
        await poll_until(lambda: len(hearing.owned) == 2, member, limit=rig.turn)
        waiting = asyncio.gather(member.poll(rig.turn))
        await another().append("users", [record(topic, value=b"news")])
        [found] = await waiting
        assert [one.value for one in found] == [b"news"]


async def test_a_poll_waits_no_longer_than_it_may_and_gives_no_more_than_it_may(
    rig: Rig, bus: Bus, declared: Declare
) -> None:
    topic, hearing = await declared(2), Hearing()
    async with bus.subscribe(fresh("group"), [topic], hearing) as member:
        await poll_until(lambda: len(hearing.owned) == 2, member, limit=rig.turn)
        began = time.monotonic()
        assert list(await member.poll(0.2)) == []
        assert 0.15 < time.monotonic() - began < rig.turn
        await bus.append("users", numbered(topic, range(50)))
        found: list[Received] = []
        while len(found) < 50:
            part = await member.poll(rig.turn, limit=7)
            assert 1 <= len(part) <= 7
            found += part
        assert values(found) == list(range(50))


async def test_who_comes_back_goes_on_where_the_group_committed(
    rig: Rig, bus: Bus, another: Another, declared: Declare
) -> None:
    topic, group = await declared(3), fresh("group")
    await bus.append("users", numbered(topic, range(60)))
    async with bus.subscribe(group, [topic], Hearing()) as member:
        first = await receive(member, 60, limit=rig.turn)
        read = {TopicPartition(topic, 0): 5, TopicPartition(topic, 1): 7}
        await member.commit(read)
    assert dict(await bus.committed(group)) == read
    hearing = Hearing()
    async with another().subscribe(group, [topic], hearing) as member:
        again = await receive(member, 60 - 12, limit=rig.turn)
        assert hearing.owned == {**read, TopicPartition(topic, 2): 0}
    assert values(again) == values([one for one in first if one.offset >= read.get(one.place, 0)])


async def test_a_group_that_is_new_begins_at_the_earliest_or_at_the_latest(
    rig: Rig, bus: Bus, declared: Declare
) -> None:
    topic = await declared(1)
    await bus.append("users", numbered(topic, range(10)))
    hearing = Hearing()
    async with bus.subscribe(fresh("late"), [topic], hearing, start="latest") as member:
        await poll_until(lambda: bool(hearing.owned), member, limit=rig.turn)
        await bus.append("users", numbered(topic, [10]))
        assert values(await receive(member, 1, limit=rig.turn)) == [10]
    async with bus.subscribe(fresh("early"), [topic], Hearing(), start="earliest") as member:
        assert values(await receive(member, 11, limit=rig.turn)) == list(range(11))


async def test_groups_know_nothing_of_each_other(rig: Rig, bus: Bus, declared: Declare) -> None:
    topic, one, two = await declared(2), fresh("one"), fresh("two")
    await bus.append("users", numbered(topic, range(10)))
    for group in (one, two):
        async with bus.subscribe(group, [topic], Hearing()) as member:
            found = await receive(member, 10, limit=rig.turn)
            if group == one:
                await member.commit(ends(found))
    assert sum((await bus.committed(one)).values()) == 10
    assert dict(await bus.committed(two)) == {}
    assert dict(await bus.committed(fresh("nobody"))) == {}


async def test_one_member_may_read_several_topics(rig: Rig, bus: Bus, declared: Declare) -> None:
    one, two = await declared(2), await declared(3)
    await bus.append("users", [*numbered(one, range(10)), *numbered(two, range(10, 20))])
    async with bus.subscribe(fresh("group"), [one, two], Hearing()) as member:
        found = await receive(member, 20, limit=rig.turn)
    assert values([record for record in found if record.topic == one]) == list(range(10))
    assert values([record for record in found if record.topic == two]) == list(range(10, 20))


async def test_a_partition_that_is_paused_is_left_out_until_it_is_resumed(
    rig: Rig, bus: Bus, declared: Declare
) -> None:
    topic, hearing = await declared(2), Hearing()
    async with bus.subscribe(fresh("group"), [topic], hearing) as member:
        await poll_until(lambda: len(hearing.owned) == 2, member, limit=rig.turn)
        held = TopicPartition(topic, 0)
        member.pause(held)
        await bus.append("users", numbered(topic, range(40)))
        count = (await bus.ends(topic))[1].end
        assert 0 < count < 40
        found = await receive(member, count, limit=rig.turn)
        assert {one.partition for one in found} == {1}
        assert list(await member.poll(0.2)) == []
        member.resume(held)
        found += await receive(member, 40 - count, limit=rig.turn)
        assert values(found) == list(range(40))


async def test_a_partition_that_is_paused_half_way_goes_on_where_it_was(rig: Rig, bus: Bus, declared: Declare) -> None:
    topic = await declared(1)
    place = TopicPartition(topic, 0)
    await bus.append("users", numbered(topic, range(30)))
    async with bus.subscribe(fresh("group"), [topic], Hearing()) as member:
        found = await receive(member, 5, limit=rig.turn, most=5)
        assert len(found) >= 5
        member.pause(place)
        await bus.append("users", numbered(topic, range(30, 35)))
        assert list(await member.poll(0.2)) == []
        member.resume(place)
        found += await receive(member, 35 - len(found), limit=rig.turn)
    assert [one.offset for one in found] == list(range(35))


async def test_seek_says_what_comes_next(rig: Rig, bus: Bus, declared: Declare) -> None:
    topic = await declared(1)
    place = TopicPartition(topic, 0)
    await bus.append("users", numbered(topic, range(30)))
    async with bus.subscribe(fresh("group"), [topic], Hearing()) as member:
        await receive(member, 30, limit=rig.turn)
        member.seek(place, 12)
        assert [one.offset for one in await receive(member, 18, limit=rig.turn)] == list(range(12, 30))


async def test_a_commit_never_goes_backwards(rig: Rig, bus: Bus, declared: Declare) -> None:
    topic, group = await declared(1), fresh("group")
    place = TopicPartition(topic, 0)
    await bus.append("users", numbered(topic, range(10)))
    async with bus.subscribe(group, [topic], Hearing()) as member:
        await receive(member, 10, limit=rig.turn)
        await member.commit({place: 8})
        await member.commit({place: 3})
        await member.commit({})
        assert dict(await bus.committed(group)) == {place: 8}


async def test_a_commit_for_what_is_not_ours_is_fenced_whole(rig: Rig, bus: Bus, declared: Declare) -> None:
    topic, other, group = await declared(1), await declared(1), fresh("group")
    await bus.append("users", numbered(topic, range(10)))
    async with bus.subscribe(group, [topic], Hearing()) as member:
        await receive(member, 10, limit=rig.turn)
        with pytest.raises(Fenced):
            await member.commit({TopicPartition(topic, 0): 3, TopicPartition(other, 0): 1})
    assert dict(await bus.committed(group)) == {}


async def test_whoever_subscribes_to_a_topic_that_was_not_declared_hears_its_name(bus: Bus) -> None:
    unknown = fresh("unknown")
    with pytest.raises(UnknownTopic) as caught:
        async with bus.subscribe(fresh("group"), [unknown], Hearing()):
            pytest.fail("it was let in")
    assert caught.value.args[0] == unknown


async def test_members_share_the_partitions_and_read_everything_once(
    rig: Rig, bus: Bus, another: Another, declared: Declare
) -> None:
    topic, group = await declared(6), fresh("group")
    hearings = [Hearing() for _ in range(3)]
    async with AsyncExitStack() as stack:
        members = [
            await stack.enter_async_context(client.subscribe(group, [topic], hearing))
            for client, hearing in zip((bus, another(), another()), hearings, strict=True)
        ]
        await poll_until(
            lambda: [len(hearing.owned) for hearing in hearings] == [2, 2, 2], *members, limit=3 * rig.turn
        )
        assert len(set().union(*(hearing.owned for hearing in hearings))) == 6
        await bus.append("users", numbered(topic, range(200), keys=50))
        found: list[Received] = []
        await poll_until(lambda: len(found) >= 200, *members, limit=rig.turn, into=found)
    assert values(found) == list(range(200))


async def test_a_partition_is_handed_over_after_revoked_returned_and_where_it_was_committed(
    rig: Rig, bus: Bus, another: Another, declared: Declare
) -> None:
    topic, group = await declared(2), fresh("group")
    await bus.append("users", numbered(topic, range(100)))
    found: list[Received] = []
    release = asyncio.Event()

    async def drain(places: Collection[TopicPartition]) -> None:
        await release.wait()
        await one.commit({place: ends(found)[place] for place in places})

    first, second = Hearing(drain), Hearing()
    async with bus.subscribe(group, [topic], first, drain=rig.turn) as one:
        found += await receive(one, 100, limit=rig.turn)
        async with another().subscribe(group, [topic], second) as two:

            async def wait_for_the_call() -> None:
                await poll_until(lambda: bool(first.kinds("revoked")), two, limit=rig.turn)
                assert not second.owned
                release.set()
                await poll_until(lambda: bool(second.owned), two, limit=2 * rig.turn)

            await asyncio.gather(wait_for_the_call(), poll_until(lambda: bool(second.owned), one, limit=3 * rig.turn))
            for place, position in second.owned.items():
                assert position == ends(found)[place]
        drained = next(at for kind, _, at in first.heard if kind == "drained")
        taken = next(at for kind, places, at in second.heard if kind == "assigned" and places)
        assert drained <= taken
        release.set()


async def test_the_end_of_a_block_revokes_everything_and_tells_the_group(
    rig: Rig, bus: Bus, another: Another, declared: Declare
) -> None:
    topic, group = await declared(4), fresh("group")
    first, second = Hearing(), Hearing()
    async with another().subscribe(group, [topic], second) as stays:
        async with bus.subscribe(group, [topic], first) as goes:
            await poll_until(lambda: (len(first.owned), len(second.owned)) == (2, 2), goes, stays, limit=3 * rig.turn)
            going = asyncio.Event()

            async def keep_polling() -> None:
                while not going.is_set():
                    await stays.poll(0.05)

            polling = asyncio.gather(keep_polling())
        going.set()
        await polling
        assert first.owned == {}
        await poll_until(lambda: len(second.owned) == 4, stays, limit=rig.turn)


async def test_a_listener_that_does_not_end_its_work_is_not_waited_for(
    rig: Rig, bus: Bus, another: Another, declared: Declare
) -> None:
    topic, group = await declared(2), fresh("group")
    for_ever = asyncio.Event()

    async def hang(_places: Collection[TopicPartition]) -> None:
        await for_ever.wait()

    first, second = Hearing(hang), Hearing()
    async with bus.subscribe(group, [topic], first, drain=rig.drain) as one:
        await poll_until(lambda: len(first.owned) == 2, one, limit=rig.turn)
        async with another().subscribe(group, [topic], second) as two:
            await poll_until(lambda: len(second.owned) == 1, one, two, limit=rig.drain + 2 * rig.turn)
            for_ever.set()


async def test_who_does_not_poll_is_given_up_and_fenced_and_told(
    rig: Rig, bus: Bus, another: Another, declared: Declare
) -> None:
    topic, group = await declared(2), fresh("group")
    await bus.append("users", numbered(topic, range(20)))
    first, second = Hearing(), Hearing()
    async with bus.subscribe(group, [topic], first, drain=rig.drain) as asleep:
        read = await receive(asleep, 20, limit=rig.turn)
        async with another().subscribe(group, [topic], second) as awake:
            again: list[Received] = []
            await poll_until(
                lambda: len(second.owned) == 2 and len(again) == 20,
                awake,
                limit=rig.crash + 2 * rig.turn,
                into=again,
            )
            assert values(again) == list(range(20))
            await awake.commit(dict.fromkeys(ends(again), 4))
            with pytest.raises(Fenced):
                await asleep.commit(ends(read))
            assert dict(await bus.committed(group)) == dict.fromkeys(ends(again), 4)
            await poll_until(lambda: (len(first.owned), len(second.owned)) == (1, 1), asleep, awake, limit=3 * rig.turn)
            assert first.kinds("lost") == [frozenset(ends(read))]


async def test_what_a_group_has_committed_is_set_while_nobody_is_there(rig: Rig, bus: Bus, declared: Declare) -> None:
    topic, group = await declared(2), fresh("group")
    await bus.append("users", numbered(topic, range(50)))
    async with bus.subscribe(group, [topic], Hearing()) as member:
        await member.commit(ends(await receive(member, 50, limit=rig.turn)))
        with pytest.raises(Conflict):
            await bus.reset(group, {TopicPartition(topic, 0): 0})
    assert sum((await bus.committed(group)).values()) == 50
    back = {TopicPartition(topic, 0): 3, TopicPartition(topic, 1): 0}
    await bus.reset(group, back)
    assert dict(await bus.committed(group)) == back
    async with bus.subscribe(group, [topic], Hearing()) as member:
        assert len(await receive(member, 47, limit=rig.turn)) == 47
    await bus.reset(fresh("new"), {TopicPartition(topic, 0): 7})


async def test_a_member_with_a_name_finds_its_partitions_when_it_comes_back(
    rig: Rig, bus: Bus, another: Another, declared: Declare
) -> None:
    topic, group = await declared(4), fresh("group")
    stays, goes, comes = Hearing(), Hearing(), Hearing()
    async with another().subscribe(group, [topic], stays, member="stays") as one:
        async with bus.subscribe(group, [topic], goes, member="goes") as two:
            await poll_until(lambda: (len(stays.owned), len(goes.owned)) == (2, 2), one, two, limit=3 * rig.turn)
            had, kept, heard = set(goes.owned), set(stays.owned), len(stays.heard)
        async with another().subscribe(group, [topic], comes, member="goes") as two:
            await poll_until(lambda: set(comes.owned) == had, one, two, limit=2 * rig.turn)
            assert set(stays.owned) == kept
            assert len(stays.heard) == heard, "its partitions were moved"
