"""One partition of an archived topic: which records make the next file, and how they get into the object store.

A file ends before the next multiple of `events`, so that everybody who archives the same records makes the same files; at
`BYTES` of values; and early, when the partition has been quiet for `idle` seconds, or its first record waits for `LONGEST`
times as long. Where to go on is what the last manifest says; the group's offsets on the bus are for operators only.

Objects are only created. Of two archivers, or of one that was killed and the next, whoever comes second finds an object: it
compares the records in it with those of the bus, one by one, and goes on from what is there, or stops loudly where they
differ. First the file, then the manifest: so a manifest vouches for a file that was there.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import msgspec

from acme.archives import Entry, Layout, Manifest, Stretch
from acme.archives.entries import Opened
from acme.archives.manifest import (
    ABSENT,
    LOST,
    digest,
    file_name,
    folder,
    manifest_name,
    place_of,
    read_manifest,
)
from acme.archives.reading import manifest_of
from acme.bus import record as names
from acme.bus.decoding import Reader
from acme.contract import Message
from acme.plugin import Event
from acme.ports import Bus, Clock, Ends, ObjectExists, ObjectStore, Received, TopicPartition

BYTES: Final = 32 << 20
"""Bytes of values after which a file ends: it is made in memory."""
LONGEST: Final = 12
"""So many times `idle` a record waits at most, however many others keep coming."""
READ: Final = 500
"""Records of one read."""
TAIL: Final = 10
"""Offsets at the end among which the newest record is looked for: there need not be one at the last."""
CHUNK: Final = 200
"""Records that are decoded and sealed before other tasks have their turn."""

Seal = Callable[[Sequence[Event[Any]]], Awaitable[Sequence[Any]]]


class Astray(Exception):
    """What the archive has and what the bus has do not belong together. Nothing was written; a person has to look."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When files end, and for how long they are locked: `[archive]`."""

    events: int
    idle: float
    lock: float


@dataclass(frozen=True, slots=True)
class Run:
    """Records that make a file."""

    records: tuple[Received, ...]
    gaps: tuple[Stretch, ...]
    next: int


class PartitionArchive:
    """Archives one partition, a file a step. Any number of these may do the same partition."""

    def __init__(
        self,
        place: TopicPartition,
        layout: Layout,
        message: Message,
        reader: Reader,
        bus: Bus,
        store: ObjectStore,
        clock: Clock,
        rules: Rules,
        seal: Seal,
    ) -> None:
        self._place, self._layout, self._message, self._reader = place, layout, message, reader
        self._bus, self._store, self._clock, self._rules, self._seal = bus, store, clock, rules, seal
        self._previous = ""
        self.position: int | None = None
        """The offset that the next file begins at; None before the first step."""
        self.oldest: float | None = None
        """Time of the first record that is not archived, in seconds since the epoch; None while all are."""
        self.lost = 0
        """Offsets from `position` on that the bus has dropped."""
        self._looked: tuple[int, int] = (-1, -1)
        self._newest = 0.0

    async def step(self, ends: Ends) -> Manifest | None:
        """Writes the next file, if it is time; None where it is not.

        Raises:
            Astray: see there; so does the next step.
            acme.archives.Damaged, acme.codec.avro.UnknownSchema: an object that is there cannot be read.
            acme.errors.Unavailable: the bus, the store or what `seal` needs is away.
        """
        at = await self._resumed() if self.position is None else self.position
        if ends.end < at:
            raise Astray(f"{at} offsets are archived, and the bus has {ends.end}: it is another log, or an older copy")
        self.lost = max(ends.start - at, 0)
        if ends.end == at:
            self.oldest = None
            return None
        if not await self._due(at, ends):
            return None
        manifest = await self._write(at, ends)
        self.oldest = None if manifest.next >= ends.end else self.oldest
        return manifest

    async def _resumed(self) -> int:
        """Looks up the last manifest."""
        last = ""
        async for facts in self._store.list(folder(*self._place)):
            place = place_of(facts.name)
            if place is not None and place.manifest:
                last = facts.name
        if last:
            manifest = _manifest(last, await self._store.get(last))
            self._previous, self.position = manifest[1], manifest[0].next
        else:
            self.position = 0
        return self.position

    async def _due(self, at: int, ends: Ends) -> bool:
        first = max(at, ends.start)
        if self._looked != (first, ends.end):
            oldest = await self._bus.read(self._place, first, limit=1)
            newest = await self._bus.read(self._place, max(first, ends.end - TAIL), limit=TAIL)
            self.oldest = oldest[0].timestamp / 1000 if oldest else None
            self._newest = newest[-1].timestamp / 1000 if newest else self._clock.time()
            self._looked = (first, ends.end)
        if self.oldest is None:  # there is nothing left but what was lost
            return True
        now, idle = self._clock.time(), self._rules.idle
        return ends.end >= self._boundary(first) or now >= self._newest + idle or now >= self.oldest + idle * LONGEST

    def _boundary(self, offset: int) -> int:
        return (offset // self._rules.events + 1) * self._rules.events

    async def _write(self, at: int, ends: Ends) -> Manifest:
        run = await self._collect(at, min(self._boundary(max(at, ends.start)), ends.end), most=BYTES)
        entries = await self._entries(run)
        name = file_name(*self._place, at)
        content = await asyncio.to_thread(self._layout.write, self._place.partition, at, run.next, run.gaps, entries)
        unproven, locked = 0, self._locked()
        try:
            await self._store.create(name, content, locked_until=locked)
        except ObjectExists:
            content = await self._store.get(name)
            unproven = await self._compare(name, at, await asyncio.to_thread(self._layout.read, content))
        opened = await asyncio.to_thread(self._layout.read, content)
        manifest = await asyncio.to_thread(manifest_of, opened, content, self._previous, unproven)
        said = manifest.content()
        beside = manifest_name(*self._place, at)
        try:
            await self._store.create(beside, said, locked_until=locked)
        except ObjectExists:
            said = await self._store.get(beside)
            theirs = _manifest(beside, said)[0]
            if msgspec.structs.replace(theirs, unproven=0) != msgspec.structs.replace(manifest, unproven=0):
                raise Astray(f"{beside} is there, and does not say what is in the file beside it") from None
            manifest = theirs
        self._previous, self.position, self.lost = digest(said), manifest.next, 0
        return manifest

    def _locked(self) -> Any:
        return self._clock.now() + timedelta(seconds=self._rules.lock) if self._rules.lock else None

    async def _collect(self, at: int, until: int, *, most: int | None) -> Run:
        """The records from `at` to before `until`; fewer where these have more than `most` bytes."""
        found: list[Received] = []
        asked, size = at, 0
        while asked < until:
            batch = [each for each in await self._bus.read(self._place, asked, limit=READ) if each.offset < until]
            if not batch:
                break
            for each in batch:
                if found and most is not None and size >= most:
                    until = each.offset
                    break
                found.append(each)
                size += len(each.value or b"")
            asked = batch[-1].offset + 1
        gaps = await self._gaps(at, [each.offset for each in found], until)
        return Run(tuple(found), gaps, until)

    async def _gaps(self, at: int, offsets: Sequence[int], until: int) -> tuple[Stretch, ...]:
        """The offsets that are not there, and why."""
        holes = []
        for offset in [*offsets, until]:
            if offset > at:
                holes.append((at, offset))
            at = offset + 1
        if not holes:
            return ()
        start = (await self._bus.ends(self._place.topic))[self._place.partition].start  # retention may be at it
        gaps = []
        for begin, end in holes:
            lost = min(max(start, begin), end)
            gaps += [Stretch(begin, lost, LOST)] if lost > begin else []
            gaps += [Stretch(lost, end, ABSENT)] if end > lost else []
        return tuple(gaps)

    async def _entries(self, run: Run) -> list[Entry]:
        """What is written for these records."""
        entries: list[Entry] = []
        for begin in range(0, len(run.records), CHUNK):
            chunk = run.records[begin : begin + CHUNK]
            events = [self._event(each) for each in chunk]
            heard = [event for event in events if event is not None]
            sealed = list(await self._seal(heard)) if heard else []
            if len(sealed) != len(heard) or any(type(each) is not self._message.cls for each in sealed):
                raise TypeError(f"what seals {self._message.name} has to return one of it for each that it gets")
            rest = iter(sealed)
            entries += [
                _entry(each, event, next(rest) if event is not None else None)
                for each, event in zip(chunk, events, strict=True)
            ]
            await asyncio.sleep(0)
        return entries

    def _event(self, record: Received) -> Event[Any] | None:
        mail = self._reader.wanted(record)
        if mail is None:
            return None
        try:
            return self._reader.read(mail)
        except ValueError:
            return None

    async def _compare(self, name: str, at: int, theirs: Opened) -> int:
        """Whether a file that is there holds what the bus has; how many of its records the bus has no more.

        Raises:
            Astray: it holds something else.
        """
        span = theirs.span
        if (span.topic, span.partition, span.start) != (*self._place, at):
            raise Astray(f"{name} is another file's copy")
        start, end = (await self._bus.ends(self._place.topic))[self._place.partition]
        if span.next > end:
            raise Astray(f"{name} goes on to offset {span.next - 1}, and the bus has {end}")
        ours = {entry.offset: entry for entry in await self._entries(await self._collect(at, span.next, most=None))}
        unproven = 0
        for entry in theirs.entries:
            mine = ours.pop(entry.offset, None)
            if mine is None and entry.offset < start:
                unproven += 1
            elif mine is None or not self._same(mine, entry):
                raise Astray(f"{name} is there, and its record at offset {entry.offset} is not what the bus has")
        if ours:
            raise Astray(f"{name} is there, and lacks the record at offset {min(ours)}")
        return unproven

    def _same(self, mine: Entry, theirs: Entry) -> bool:
        """Whether two entries are equal, but for personal data that one of them has no more: its key may be destroyed."""
        if mine.message is not None and theirs.message is not None:
            one, other = copy.copy(mine.message), copy.copy(theirs.message)
            for field in self._message.fields:
                if field.pii and not (getattr(one, field.attr) and getattr(other, field.attr)):
                    setattr(one, field.attr, getattr(other, field.attr) and getattr(one, field.attr))
                    setattr(other, field.attr, getattr(one, field.attr))
            mine, theirs = replace(mine, message=one), replace(theirs, message=other)
        return self._layout.encode(mine) == self._layout.encode(theirs)


def _entry(record: Received, event: Event[Any] | None, message: Any) -> Entry:
    said = {name: value.decode(errors="replace") for name, value in record.headers if name in (names.ID, names.TYPE)}
    return Entry(
        offset=record.offset,
        timestamp=record.timestamp,
        id=said.get(names.ID, "") or f"{record.topic}/{record.partition}/{record.offset}",
        key=record.key,
        type=said.get(names.TYPE, ""),
        message=message,
        raw=record.value if event is None else None,
    )


def _manifest(name: str, content: bytes) -> tuple[Manifest, str]:
    try:
        return read_manifest(content), digest(content)
    except (ValueError, msgspec.DecodeError) as error:
        raise Astray(f"{name} is no manifest ({error})") from None
