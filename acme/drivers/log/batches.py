"""How the records of one append to one partition are written down: a MessagePack array, one array a record.

A row for each record costs five times as much in PostgreSQL as a row for all of them, and nobody ever asks for one record
alone. A batch is cut where it would pass `LARGEST`, so that whoever reads decides in small steps how much to hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from acme.ports import Received, Record

LARGEST: Final = 1 << 20
"""Bytes after which a batch is cut; a batch of one record may be larger."""
PORTION: Final = 8 << 20
"""Bytes after which one append becomes two, so that neither side holds more at a time."""
_OVERHEAD: Final = 64
"""Bytes of a record beside its key, value and headers, at most so far as cutting cares."""

_Written = tuple[int, bytes, bytes | None, tuple[tuple[str, bytes], ...]]
"""Timestamp, key, value, headers."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[_Written]).decode


class Batch(NamedTuple):
    """Some records of one partition, as they are stored."""

    length: int
    """How many there are."""
    content: bytes


class Stored(NamedTuple):
    """A batch as it is read."""

    partition_id: int
    end_offset: int
    """Of the record after the last."""
    length: int
    content: bytes


def pack(records: Sequence[Record]) -> Iterator[Batch]:
    """The batches that hold these records, in order."""
    for part in portions(records, LARGEST):
        yield Batch(len(part), _encode([(one.timestamp, one.key, one.value, one.headers) for one in part]))


def portions(records: Sequence[Record], largest: int = PORTION) -> Iterator[Sequence[Record]]:
    """The records in pieces of so many bytes, in order; a piece of one record may be larger."""
    first = size = 0
    for index, one in enumerate(records):
        more = _OVERHEAD + len(one.key) + len(one.value or b"")
        for name, value in one.headers:
            more += len(name) + len(value)
        if size + more > largest and index > first:
            yield records[first:index]
            first, size = index, 0
        size += more
    if first < len(records):
        yield records if first == 0 else records[first:]


def unpack(topic: str, partition: int, stored: Stored, position: int) -> list[Received]:
    """The records of a batch from offset `position` on."""
    written = _decode(stored.content)
    first = stored.end_offset - stored.length
    skip = max(position - first, 0)
    return [
        Received(topic, partition, offset, key, value, headers, timestamp)
        for offset, (timestamp, key, value, headers) in enumerate(written[skip:] if skip else written, first + skip)
    ]
