"""`archived`: reads an archive from its first record to its last, and proves each on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final, Generic, TypeVar

import msgspec

from acme.archives.container import Damaged
from acme.archives.entries import Layout, Opened
from acme.archives.manifest import (
    Manifest,
    Place,
    digest,
    file_name,
    folder,
    manifest_name,
    place_of,
    read_manifest,
    root,
)
from acme.codec.avro import Avro, UnknownSchema, Upcaster
from acme.contract import Contracts, load, package_of
from acme.ports import ObjectMissing, ObjectStore

MessageT = TypeVar("MessageT")

HOME: Final = "acme.contracts"
UNDERWAY: Final = 60.0
"""Seconds that the manifest of a new file may take."""


class ArchiveBroken(Exception):
    """An archive is not as it was written. The text says how, and holds nothing of what is archived."""

    def __init__(self, name: str, text: str, *, missing: bool = False) -> None:
        super().__init__(f"{name}: {text}")
        self.name: Final = name
        """The first object that is wrong."""
        self.missing: Final = missing
        """Whether it is not there; else it is altered."""


@dataclass(frozen=True, slots=True)
class Archived(Generic[MessageT]):
    """One archived record."""

    message: MessageT | None
    """What was archived, as the contract is today; None for records of other types, and for those nobody could decode."""
    raw: bytes | None
    """The record's value, where there is no message; None for a tombstone."""
    topic: str
    partition: int
    offset: int
    key: bytes | None
    id: str
    """Of the event."""
    type: str
    """Full name of the message; "" where the record did not say."""
    at: datetime
    """Time of the record, to the millisecond."""
    file: str
    """Name of the object it is in."""


def manifest_of(opened: Opened, content: bytes, previous: str, unproven: int = 0) -> Manifest:
    """The manifest that belongs to a file."""
    span, times = opened.span, [entry.timestamp for entry in opened.entries]
    return Manifest(
        topic=span.topic,
        partition=span.partition,
        start=span.start,
        next=span.next,
        count=len(opened.entries),
        sha256=digest(content),
        size=len(content),
        root=root(opened.leaves),
        schema_id=span.schema_id,
        first_timestamp=min(times, default=None),
        last_timestamp=max(times, default=None),
        gaps=span.gaps,
        previous=previous,
        unproven=unproven,
    )


async def archived(
    store: ObjectStore, message: type[MessageT], *, upcasters: Iterable[Upcaster] = ()
) -> AsyncIterator[Archived[MessageT]]:
    """Every record that is archived of an event's topic, one partition after the other, in the order of their offsets.

        async for record in archived(resources.archive, AuditRecord): …

    Before a record is given out, its file is proved: the chain of manifests has led to it without a gap from offset 0; the
    file has the SHA-256 and size of its manifest; its records are as many, have the Merkle root and are at the offsets that
    the manifest says; and every offset is there or listed as missing. One file is in memory at a time. An archive that grows
    meanwhile is read as far as it goes: a last file that is younger than a minute may be without its manifest yet.
    `upcasters`: those of the plugin whose event it is (`Plugin.upcasters`).

    What nothing here can know is whether files at the end of a partition, or a whole partition, are gone together with their
    manifests: compare with what else is known of it (such as a database), and lock the objects (`[archive] lock`).

    Raises:
        ArchiveBroken: at the first object that is missing or altered, by the order of the names.
        acme.errors.Unavailable: the store is away.
        ValueError: the message is no event.
    """
    layout = _layout(message, upcasters)
    partition, following, previous, underway = -1, 0, "", ""
    async for place in _files(store, layout.topic):
        if place.partition != partition:
            partition, following, previous, underway = place.partition, 0, "", ""
        if place.start > following and not underway:
            raise ArchiveBroken(file_name(place.topic, partition, following), "it is missing", missing=True)
        name = file_name(place.topic, partition, place.start)
        if place.start < following:
            raise ArchiveBroken(name, f"the file before it goes on to offset {following - 1}")
        if underway:
            raise ArchiveBroken(underway, "it is missing", missing=True)
        proved = await _proved(store, layout, name, place, previous)
        if proved is None:
            underway = manifest_name(place.topic, partition, place.start)
            continue
        opened, (following, previous) = proved[0], (proved[0].span.next, proved[1])
        for entry in opened.entries:
            yield Archived(
                message=entry.message,
                raw=entry.raw,
                topic=layout.topic,
                partition=partition,
                offset=entry.offset,
                key=entry.key,
                id=entry.id,
                type=entry.type,
                at=datetime.fromtimestamp(entry.timestamp / 1000, UTC),
                file=name,
            )


def _layout(message: type, upcasters: Iterable[Upcaster]) -> Layout:
    contracts = _contracts(package_of(message))
    return Layout(Avro(contracts, upcasters), contracts.message_of(message))


@cache
def _contracts(package: str) -> Contracts:
    return load(*dict.fromkeys((HOME, package)))


async def _files(store: ObjectStore, topic: str) -> AsyncIterator[Place]:
    """The places of files, in the order of their names; also those that have nothing but a manifest."""
    last = None
    async for facts in store.list(folder(topic)):
        place = place_of(facts.name)
        if place is None or place.topic != topic:
            raise ArchiveBroken(facts.name, "no archive has an object of this name")
        if (place.partition, place.start) != last:
            last = (place.partition, place.start)
            yield place


async def _proved(
    store: ObjectStore, layout: Layout, name: str, place: Place, previous: str
) -> tuple[Opened, str] | None:
    """A file that is what its manifest says, and the manifest's SHA-256. None while the manifest is not written yet."""
    beside = manifest_name(place.topic, place.partition, place.start)
    content = await _get(store, name)
    try:
        said = await store.get(beside)
    except ObjectMissing:
        if (datetime.now(UTC) - (await store.facts(name)).modified_at).total_seconds() < UNDERWAY:
            return None
        raise ArchiveBroken(beside, "it is missing", missing=True) from None
    try:
        manifest = read_manifest(said)
    except (ValueError, msgspec.DecodeError) as error:
        raise ArchiveBroken(beside, f"it is no manifest ({error})") from None
    if (manifest.topic, manifest.partition, manifest.start) != (place.topic, place.partition, place.start):
        raise ArchiveBroken(beside, "it is another file's")
    if manifest.sha256 != digest(content):
        raise ArchiveBroken(name, "its SHA-256 is not that of its manifest")
    if manifest.previous != previous:
        raise ArchiveBroken(beside, "it does not follow the manifest before it")
    try:
        opened = await asyncio.to_thread(layout.read, content)
    except (Damaged, UnknownSchema) as error:
        raise ArchiveBroken(name, str(error)) from None
    if (
        opened.span.partition != place.partition
        or manifest_of(opened, content, previous, manifest.unproven) != manifest
    ):
        raise ArchiveBroken(beside, "it does not say what is in the file")
    return opened, digest(said)


async def _get(store: ObjectStore, name: str) -> bytes:
    try:
        return await store.get(name)
    except ObjectMissing:
        raise ArchiveBroken(name, "it is missing", missing=True) from None
