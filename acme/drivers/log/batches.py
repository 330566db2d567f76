"""How the records of one append to one partition are written down: a MessagePack array, one array a record.

A row for each record costs five times as much in PostgreSQL as a row for all of them, and nobody ever asks for one record
alone. A batch that would pass `LARGEST` is cut in two, so that whoever reads decides in small steps how much to hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from acme.ports import Received, Record

LARGEST: Final = 1 << 20
"""Bytes of a batch of several records."""
PORTION: Final = 8 << 20
"""Bytes of several records in one statement, so that neither side holds more at a time."""

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


def pack(records: Sequence[Record]) -> list[Batch]:
    """The batches that hold these records, in order."""
    content = _encode([(one.timestamp, one.key, one.value, one.headers) for one in records])
    if len(content) <= LARGEST or len(records) == 1:
        return [Batch(len(records), content)]
    half = len(records) // 2
    return [*pack(records[:half]), *pack(records[half:])]


def unpack(topic: str, partition: int, stored: Stored, position: int) -> list[Received]:
    """The records of a batch from offset `position` on."""
    written = _decode(stored.content)
    first = stored.end_offset - stored.length
    skip = max(position - first, 0)
    return [
        Received(topic, partition, offset, key, value, headers, timestamp)
        for offset, (timestamp, key, value, headers) in enumerate(written[skip:] if skip else written, first + skip)
    ]
