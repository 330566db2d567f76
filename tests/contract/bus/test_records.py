"""What every driver behind `ports.Bus` promises of topics and records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from acme.drivers.partitions import partition
from acme.ports import Bus, Received, Record, Topic, TopicPartition, UnknownTopic
from tests.contract.bus.conftest import Declare
from tests.contract.bus.rigs import Rig, fresh, numbered, record


async def everything(bus: Bus, topic: str) -> dict[int, list[Received]]:
    """All records by partition."""
    found: dict[int, list[Received]] = {}
    for number, (start, end) in (await bus.ends(topic)).items():
        records = found[number] = []
        while start < end:
            part = await bus.read(TopicPartition(topic, number), start)
            assert part, f"nothing at {start}, and the end is {end}"
            records += part
            start = part[-1].offset + 1
    return found


def told(one: Record | Received) -> tuple[object, ...]:
    return one.key, one.value, one.headers, one.timestamp


async def test_a_record_is_read_as_it_was_appended(bus: Bus, declared: Declare) -> None:
    topic = await declared(1)
    headers = (("content-type", b"application/avro"), ("twice", b""), ("twice", b"\x00\xff"))
    given = [
        record(topic, "organisation:ägg", b"\x00\x00\x00\x00\x07value", headers=headers),
        record(topic, b"\xff\x00", b""),
    ]
    await bus.append("users", given)
    read = await bus.read(TopicPartition(topic, 0), 0)
    assert [told(one) for one in read] == [told(one) for one in given]
    assert [(one.topic, one.partition, one.offset) for one in read] == [(topic, 0, 0), (topic, 0, 1)]
    assert read[1].place == TopicPartition(topic, 0)


async def test_a_tombstone_and_an_empty_value_are_two_things(bus: Bus, declared: Declare) -> None:
    topic = await declared(1)
    await bus.append("users", [record(topic, value=None), record(topic, value=b"")])
    assert [one.value for one in await bus.read(TopicPartition(topic, 0), 0)] == [None, b""]


async def test_an_empty_key_has_a_partition_and_an_order(bus: Bus, declared: Declare) -> None:
    topic = await declared(5)
    await bus.append("users", [record(topic, b"", b"%d" % number) for number in range(20)])
    found = await everything(bus, topic)
    assert [one.value for one in found[partition(b"", 5)]] == [b"%d" % number for number in range(20)]


async def test_a_key_is_in_the_partition_that_kafkas_producer_would_choose(bus: Bus, declared: Declare) -> None:
    topic = await declared(12)
    keys = [b"21", b"foobar", b"abc", b"organisation:aggregate", *(b"key-%d" % number for number in range(50))]
    await bus.append("users", [record(topic, key) for key in keys])
    found = await everything(bus, topic)
    assert {one.key: number for number, records in found.items() for one in records} == {
        key: partition(key, 12) for key in keys
    }


async def test_records_of_a_key_keep_their_order_within_an_append_and_between_appends(
    bus: Bus, declared: Declare
) -> None:
    topic = await declared(3)
    for first in (0, 500, 1000):
        await bus.append("users", numbered(topic, range(first, first + 500)))
    values: dict[bytes | None, list[int]] = {}
    for records in (await everything(bus, topic)).values():
        for one in records:
            values.setdefault(one.key, []).append(int(one.value or b""))
    assert values == {f"key-{key}".encode(): list(range(key, 1500, 7)) for key in range(7)}


async def test_one_append_may_be_of_several_topics(bus: Bus, declared: Declare) -> None:
    one, two = await declared(2), await declared(3)
    await bus.append("users", [record(one, "a"), record(two, "b"), record(one, "c")])
    assert sum(map(len, (await everything(bus, one)).values())) == 2
    assert sum(map(len, (await everything(bus, two)).values())) == 1


async def test_an_append_of_nothing_is_nothing(bus: Bus, declared: Declare) -> None:
    topic = await declared(1)
    await bus.append("users", [])
    assert (await bus.ends(topic))[0] == (0, 0)


async def test_a_record_may_have_a_mebibyte(bus: Bus, declared: Declare) -> None:
    topic = await declared(1)
    big = bytes(range(256)) * 4096
    await bus.append("users", [record(topic, "big", big), record(topic, "small"), record(topic, "big", big)])
    read: list[Received] = []
    while len(read) < 3:
        part = await bus.read(TopicPartition(topic, 0), len(read))
        assert part
        read += part
    assert [one.value for one in read] == [big, b"value", big]


async def test_a_batch_may_be_of_more_bytes_than_anybody_wants_to_hold_at_once(bus: Bus, declared: Declare) -> None:
    topic = await declared(1)
    await bus.append("users", [record(topic, f"{number}", bytes(100_000)) for number in range(200)])
    assert (await bus.ends(topic))[0] == (0, 200)
    assert [one.key for one in (await everything(bus, topic))[0]] == [b"%d" % number for number in range(200)]


async def test_reading_goes_on_anywhere_and_ends_at_the_end(bus: Bus, declared: Declare) -> None:
    topic = await declared(1)
    place = TopicPartition(topic, 0)
    for first in (0, 10):
        await bus.append("users", numbered(topic, range(first, first + 10)))
    few = [one.offset for one in await bus.read(place, 7, limit=5)]
    assert 1 <= len(few) <= 5
    assert few == list(range(7, 7 + len(few)))
    assert [one.offset for one in await bus.read(place, 19)] == [19]
    assert list(await bus.read(place, 20)) == []
    assert (await bus.ends(topic))[0] == (0, 20)


async def test_the_ends_of_a_topic_name_every_partition(bus: Bus, declared: Declare) -> None:
    topic = await declared(4)
    await bus.append("users", [record(topic, "21")])
    ends = await bus.ends(topic)
    assert {number: tuple(one) for number, one in ends.items()} == {
        number: (0, 1 if number == partition(b"21", 4) else 0) for number in range(4)
    }


async def test_whoever_asks_for_a_topic_that_was_not_declared_hears_its_name(bus: Bus, declared: Declare) -> None:
    known, unknown = await declared(1), fresh("unknown")
    for asked in (
        bus.append("users", [record(known), record(unknown)]),
        bus.read(TopicPartition(unknown, 0), 0),
        bus.ends(unknown),
        bus.reset("group", {TopicPartition(unknown, 0): 1}),
    ):
        with pytest.raises(UnknownTopic) as caught:
            await asked
        assert caught.value.args[0] == unknown


async def test_declaring_again_changes_nothing_and_another_number_of_partitions_is_refused(
    bus: Bus, declared: Declare
) -> None:
    topic, other = await declared(3), fresh("other")
    await bus.append("users", [record(topic)])
    await bus.declare([Topic(topic, partitions=3, replication=1)])
    with pytest.raises(ValueError, match=topic) as caught:
        await bus.declare([Topic(topic, partitions=4, replication=1)])
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(await bus.ends(topic)) == [0, 1, 2]
    await bus.declare([Topic(topic, partitions=3, replication=1), Topic(other, partitions=2, replication=1)])
    assert sorted(await bus.ends(other)) == [0, 1]


async def test_several_processes_may_declare_the_same_topics_at_once(another: Callable[[], Bus]) -> None:
    topics = [Topic(fresh("topic"), partitions=4, replication=1) for _ in range(3)]
    clients = [another() for _ in range(4)]
    await asyncio.gather(*(client.declare(topics) for client in clients))
    for topic in topics:
        assert sorted(await clients[0].ends(topic.name)) == [0, 1, 2, 3]


async def test_a_topic_that_another_process_declared_is_there_for_everybody(
    bus: Bus, another: Callable[[], Bus]
) -> None:
    name = fresh("topic")
    with pytest.raises(UnknownTopic):
        await bus.append("users", [record(name)])
    await another().declare([Topic(name, partitions=1, replication=1)])
    await bus.append("users", [record(name)])
    assert len(await bus.read(TopicPartition(name, 0), 0)) == 1


async def test_many_who_append_at_once_leave_no_gap_and_each_keeps_its_order(
    another: Callable[[], Bus], declared: Declare
) -> None:
    topic = await declared(3)
    clients = [another() for _ in range(4)]

    async def write(client: Bus, writer: int) -> None:
        for turn in range(10):
            await client.append(
                f"source-{writer}", [record(topic, f"{writer}/{n % 5}", b"%d" % (turn * 20 + n)) for n in range(20)]
            )

    await asyncio.gather(*(write(client, 2 * n + m) for n, client in enumerate(clients) for m in range(2)))
    found = await everything(clients[0], topic)
    assert sum(map(len, found.values())) == 8 * 200
    values: dict[bytes | None, list[int]] = {}
    for records in found.values():
        assert [one.offset for one in records] == list(range(len(records)))
        for one in records:
            values.setdefault(one.key, []).append(int(one.value or b""))
    assert all(of_key == sorted(of_key) for of_key in values.values())


async def test_a_record_that_is_appended_again_is_there_once_where_the_driver_can_tell(
    rig: Rig, bus: Bus, another: Callable[[], Bus], declared: Declare
) -> None:
    topic = await declared(3)
    other = another()
    records = numbered(topic, range(100))
    await bus.append("users", records[:50])
    await asyncio.gather(bus.append("users", records), other.append("users", records), other.append("users", records))
    found = [one for part in (await everything(bus, topic)).values() for one in part]
    assert {one.value for one in found} == {one.value for one in records}
    firsts: dict[bytes | None, list[int]] = {}
    for one in found:
        if (number := int(one.value or b"")) not in firsts.setdefault(one.key, []):
            firsts[one.key].append(number)
    assert all(numbers == sorted(numbers) for numbers in firsts.values()), "a later one was first"
    if rig.deduplicates:
        assert len(found) == 100


async def test_an_id_says_something_within_its_source_only(bus: Bus, declared: Declare) -> None:
    topic = await declared(1)
    one = record(topic)
    await bus.append("users", [one])
    await bus.append("projects", [one])
    assert (await bus.ends(topic))[0] == (0, 2)


async def test_the_state_of_a_bus_that_works_is_ok(bus: Bus, declared: Declare) -> None:
    await bus.ends(await declared(1))
    assert bus.state == "ok"
