"""What operators do about events, past the API: look at topics, lag and dead letters, order replays, begin anew.

What changes anything leaves an audit record in the same transaction, in the database of the plugin whose consumer it is:
category OPERATOR, with the operating system's name of whoever it was. Replays are orders: they are carried out where the
plugin runs, because only there is its handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from acme.bus import dead_letters, inbox
from acme.bus.consumers import named
from acme.bus.record import ID, SOURCE, TYPE
from acme.codec.avro import Avro
from acme.codec.json import Json
from acme.contract import Contracts, Message
from acme.errors import Conflict
from acme.plugin import Consumer
from acme.ports import Bus, Received, Row, TopicPartition, UnknownTopic
from acme.runtime.visiting import CannotVisit, House, Visited
from acme.work import audit, work

MASK: Final = "(personal)"
"""In place of a value that the contract marks as personal."""
_AGAIN: Final = 0.5
"""Seconds between two looks at the ends of topics."""
_PAGE: Final = 500


class Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One record of a topic, decoded for people."""

    topic: str
    partition: int
    offset: int
    at: datetime
    id: str = ""
    type: str = ""
    source: str = ""
    key: str = ""
    event: Any = None
    """As JSON in the contract's own shape; None where it cannot be decoded, and for a tombstone."""
    error: str = ""
    """Why it cannot."""


class Behind(msgspec.Struct, frozen=True):
    """How a consumer stands in one topic."""

    consumer: str
    topic: str
    messages: int
    seconds: float
    """Age of the oldest event that it has not heard."""
    letters: int
    """Dead letters, of all its topics."""


class Letter(msgspec.Struct, frozen=True):
    """A dead letter, without its bytes."""

    id: str
    """"PLUGIN:NUMBER"."""
    consumer: str
    event_id: str
    type: str
    topic: str
    partition: int
    offset: int
    key: str
    state: Literal["failed", "waiting", "replaying"]
    error: str
    fingerprint: str
    attempts: int
    replays: int
    parked_at: datetime
    failed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Which:
    """Which letters are meant: all that match each of these."""

    letters: tuple[str, ...] = ()
    consumer: str = ""
    fingerprint: str = ""
    key: str = ""


class Decoded:
    """Shows records to people. What is personal is masked, unless it is asked for."""

    def __init__(self, contracts: Contracts, avro: Avro, *, personal: bool = False) -> None:
        self._contracts, self._avro, self._json, self._personal = contracts, avro, Json(contracts), personal

    def show(self, record: Received) -> Shown:
        """A record, decoded as far as that goes."""
        said = {name: value.decode(errors="replace") for name, value in record.headers}
        event, error = None, ""
        if record.value is not None:
            try:
                made = self._avro.decode(record.value)
                message = self._contracts.message_of(type(made))
                event = msgspec.json.decode(self._json.encoder(message)(made))
                event = event if self._personal else mask(event, message)
            except ValueError as failure:
                error = str(failure)
        return Shown(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
            id=said.get(ID, ""),
            type=said.get(TYPE, ""),
            source=said.get(SOURCE, ""),
            key=(record.key or b"").decode(errors="replace"),
            event=event,
            error=error,
        )


def mask(value: Any, message: Message) -> Any:
    """JSON of a message with `MASK` in place of what the contract marks as personal."""
    if not isinstance(value, dict):
        return value
    fields = {field.name: field for field in message.fields}
    masked: dict[str, Any] = {}
    for name, inner in value.items():
        field = fields.get(name)
        kind = None
        if field is not None:
            kind = field.value.message if field.is_map and field.value is not None else field.message
        if field is not None and field.pii:
            masked[name] = MASK
        elif kind is None:
            masked[name] = inner
        elif field is not None and field.is_map:
            masked[name] = {key: mask(each, kind) for key, each in inner.items()}
        else:
            masked[name] = [mask(each, kind) for each in inner] if isinstance(inner, list) else mask(inner, kind)
    return masked


def the_bus(house: House) -> Bus:
    """The platform's bus. Raises `CannotVisit` where it has none."""
    bus = house.bus()
    if bus is None:
        raise CannotVisit("this platform has no bus: [bus] url is outbox:")
    return bus


def topics(house: House) -> list[str]:
    """Names of all topics that the contracts declare."""
    return sorted({message.event.topic for message in house.contracts.messages.values() if message.event is not None})


async def tail(
    bus: Bus, names: Sequence[str], *, count: int | None, follow: bool, poll: float = _AGAIN
) -> AsyncIterator[Received]:
    """The last `count` records of the topics, by the time they were sent, or all; then those that come, if wanted.

    Raises:
        UnknownTopic: there is no such topic.
    """
    positions: dict[TopicPartition, int] = {}
    found: list[Received] = []
    for name in names:
        for number, ends in (await bus.ends(name)).items():
            place = TopicPartition(name, number)
            positions[place] = ends.end
            first = ends.start if count is None else max(ends.start, ends.end - count)
            found += [record async for record in _between(bus, place, first, ends.end)]
    found.sort(key=lambda record: (record.timestamp, record.topic, record.partition, record.offset))
    for record in found[len(found) - count :] if count is not None and count < len(found) else found:
        yield record
    while follow:
        await asyncio.sleep(poll)
        for place, position in positions.items():
            for record in await bus.read(place, position, limit=_PAGE):
                positions[place] = record.offset + 1
                yield record


async def _between(bus: Bus, place: TopicPartition, first: int, end: int) -> AsyncIterator[Received]:
    while first < end:
        records = await bus.read(place, first, limit=_PAGE)
        if not records:
            return
        for record in records:
            if record.offset < end:
                yield record
        first = records[-1].offset + 1


async def lag(house: House, bus: Bus, only: str = "") -> list[Behind]:
    """How all consumers stand, or one."""
    found = []
    for name, visited in (await _listeners(house, only)).items():
        consumer = named(visited.plugin)[name]
        committed, letters = await bus.committed(name), await inbox.depth(visited.database, name)
        for topic in _topics_of(house, consumer):
            messages, oldest = 0, None
            for number, ends in (await _ends(bus, topic)).items():
                place = TopicPartition(topic, number)
                begin = ends.end if consumer.start == "latest" else ends.start
                position = max(committed.get(place, begin), ends.start)
                if position < ends.end:
                    messages += ends.end - position
                    first = await bus.read(place, position, limit=1)
                    oldest = min([each.timestamp for each in first] + ([oldest] if oldest is not None else []))
            seconds = max(0.0, house.clock.time() - oldest / 1000) if oldest is not None else 0.0
            found.append(Behind(name, topic, messages, round(seconds, 1), letters))
    return found


async def _ends(bus: Bus, topic: str) -> Mapping[int, Any]:
    try:
        return await bus.ends(topic)
    except UnknownTopic:
        return {}


async def list_letters(house: House, which: Which) -> list[Letter]:
    """Dead letters, of all plugins that can be visited.

    Raises:
        CannotVisit: a letter or consumer that is not there.
    """
    found: list[Letter] = []
    for name, visited in (await _listeners(house, which.consumer)).items():
        plugin = visited.plugin.name
        numbers = [_number(letter)[1] for letter in which.letters if _number(letter)[0] == plugin]
        if which.letters and not numbers:
            continue
        after, key = 0, which.key.encode() if which.key else None
        while rows := await dead_letters.letters(
            visited.database, name, fingerprint=which.fingerprint, key=key, ids=numbers, after=after
        ):
            found += [_letter(plugin, row) for row in rows]
            after = rows[-1]["id"]
    missing = sorted(set(which.letters) - {letter.id for letter in found})
    if missing:
        raise CannotVisit(f"there is no letter {', '.join(missing)}")
    return found


async def show_letter(house: House, letter: str) -> tuple[Letter, Received]:
    """One dead letter, and the record that it holds.

    Raises:
        CannotVisit: there is none.
    """
    (summary,) = await list_letters(house, Which((letter,)))
    plugin, number = _number(letter)
    row = await dead_letters.letter((await house.plugin(plugin)).database, number)
    if row is None:
        raise CannotVisit(f"there is no letter {letter}")
    return summary, inbox.received(row)


async def order_replay(house: House, letters: Sequence[Letter], operator: str) -> None:
    """Asks for letters to be handled again, each with all of its key, once the plugin runs."""

    async def order(visited: Visited, consumer: str, numbers: list[int]) -> None:
        await dead_letters.order_replay(visited.database, consumer, numbers, house.clock.now())

    await _each_consumer(house, letters, "events.dlq.replay", operator, order)


async def discard(house: House, letters: Sequence[Letter], operator: str) -> None:
    """Gives letters up for good. What waited behind them is replayed once the plugin runs."""

    async def give_up(visited: Visited, consumer: str, numbers: list[int]) -> None:
        await dead_letters.discard(visited.database, consumer, numbers, house.clock.now())

    await _each_consumer(house, letters, "events.dlq.discard", operator, give_up)


async def reset(
    house: House,
    bus: Bus,
    consumer: str,
    to: Literal["earliest", "latest"],
    operator: str,
    *,
    again: bool,
    dry_run: bool,
) -> list[tuple[TopicPartition, int, int]]:
    """Sets where a consumer goes on: (partition, former offset, new offset) of those that change. With `again`, events
    that it has heard before have their effect once more.

    Raises:
        CannotVisit: there is no such consumer, or it runs.
    """
    ((name, visited),) = (await _listeners(house, consumer)).items()
    declared, committed = named(visited.plugin)[name], await bus.committed(name)
    changes = []
    for topic in _topics_of(house, declared):
        for number, ends in (await _ends(bus, topic)).items():
            place, new = TopicPartition(topic, number), ends.start if to == "earliest" else ends.end
            now = committed.get(place, ends.end if declared.start == "latest" else ends.start)
            if now != new:
                changes.append((place, now, new))
    if dry_run:
        return changes
    with visited.units.outside():
        async with work():
            if again:
                await inbox.forget(visited.database, name)
            said = ["again"] if again else []
            audit.add("events.reset", targets=[name], changes=[f"to {to}", *said], operator=operator)
            try:
                await bus.reset(name, {place: new for place, _, new in changes})
            except Conflict as error:
                raise CannotVisit(f"{name} runs: stop the processes that host {visited.plugin.name} first") from error
    return changes


def _topics_of(house: House, consumer: Consumer) -> list[str]:
    wanted = [house.contracts.message_of(cls).event for cls in consumer.messages]
    return sorted({event.topic for event in wanted if event is not None})


async def _each_consumer(
    house: House, letters: Sequence[Letter], action: str, operator: str, do: Callable[[Visited, str, list[int]], Any]
) -> None:
    """One transaction for each consumer, with its audit record."""
    for consumer in sorted({letter.consumer for letter in letters}):
        visited = await house.plugin(consumer.partition(".")[0])
        mine = [letter for letter in letters if letter.consumer == consumer]
        with visited.units.outside():
            async with work():
                await do(visited, consumer, [_number(letter.id)[1] for letter in mine])
                audit.add(action, targets=[consumer, *(letter.event_id for letter in mine[:100])], operator=operator)


async def _listeners(house: House, only: str) -> dict[str, Visited]:
    """Consumers by name, with their plugins."""
    known = {name: plugin.name for plugin in house.plugins.values() for name in named(plugin)}
    if only and only not in known:
        raise CannotVisit(f"there is no consumer {only}; there are: {', '.join(sorted(known)) or 'none'}")
    return {name: await house.plugin(plugin) for name, plugin in sorted(known.items()) if only in ("", name)}


def _number(letter: str) -> tuple[str, int]:
    plugin, _, number = letter.partition(":")
    if not number.isascii() or not number.isdecimal() or len(number) > 18:  # what a bigint holds
        raise CannotVisit(f"{letter!r} is no letter: PLUGIN:NUMBER is expected, as `acme events dlq list` shows it")
    return plugin, int(number)


def _letter(plugin: str, row: Row) -> Letter:
    waiting: Literal["failed", "waiting"] = "failed" if row["error"] else "waiting"
    return Letter(
        id=f"{plugin}:{row['id']}",
        consumer=row["consumer"],
        event_id=row["event_id"],
        type=row["type"],
        topic=row["topic"],
        partition=row["partition"],
        offset=row["offset"],
        key=(row["key"] or b"").decode(errors="replace"),
        state="replaying" if row["replay_at"] is not None else waiting,
        error=row["error"],
        fingerprint=row["fingerprint"],
        attempts=row["attempts"],
        replays=row["replays"],
        parked_at=row["parked_at"],
        failed_at=row["failed_at"],
    )
