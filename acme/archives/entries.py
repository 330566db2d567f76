"""Records of the bus as entries of an archive's file, and back.

An entry holds the record's place and time, and either its message, in the message's own Avro schema, or its raw value: of
records of another type, and of those that cannot be decoded. Neither is there for a tombstone.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from acme.archives import container
from acme.archives.container import Damaged
from acme.archives.manifest import Stretch, file_name, sync_marker
from acme.codec.avro import Avro, Undecodable
from acme.codec.avro.schema import Schema, bare
from acme.contract import Message

RECORD: Final = "ArchivedRecord"
NAMESPACE: Final = "acme.archive.v1"
_PREFIX: Final = struct.Struct(">bi")
_GARBAGE: Final = (
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
    SchemaParseException,
    SchemaResolutionError,
)
"""What bytes that are no entries raise on the way."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the bus."""

    offset: int
    timestamp: int
    """Milliseconds since the Unix epoch."""
    id: str
    """Of the event; where it has none, TOPIC/PARTITION/OFFSET."""
    key: bytes | None
    type: str
    """Full name of the message, as the record says; "" where it does not."""
    message: Any | None
    """The message, sealed."""
    raw: bytes | None
    """The value, where there is no message."""


@dataclass(frozen=True, slots=True)
class Span:
    """What a file says of itself."""

    topic: str
    partition: int
    start: int
    next: int
    """Offset after the last one that it accounts for."""
    schema_id: int
    """Of the schema that its messages are written with."""
    gaps: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that was taken apart."""

    span: Span
    entries: tuple[Entry, ...]
    leaves: tuple[bytes, ...]
    """The Avro of each entry."""


class Layout:
    """Writes and reads the files of one event."""

    def __init__(self, avro: Avro, message: Message) -> None:
        if message.event is None:
            raise ValueError(f"{message.name} is no event")
        self.topic: Final = message.event.topic
        self._avro, self._message = avro, message
        version = avro.released.current(message)
        self.schema_id: Final = version.id
        self.schema: Final[Schema] = _schema(version.schema())
        self._datum = avro.datum(message)
        self._parsed: Any = parse_schema(bare(self.schema))
        self._parsed_by_id: dict[int, tuple[Any, Any]] = {}

    def encode(self, entry: Entry) -> bytes:
        """An entry as Avro. ValueError where its message is none that Avro can carry."""
        message = None if entry.message is None else (self._message.name, self._datum(entry.message))
        datum = {
            "offset": entry.offset,
            "timestamp": entry.timestamp,
            "id": entry.id,
            "key": entry.key,
            "type": entry.type,
            "message": message,
            "raw": entry.raw,
        }
        out = io.BytesIO()
        schemaless_writer(out, self._parsed, datum)
        return out.getvalue()

    def write(
        self, partition: int, start: int, following: int, gaps: Sequence[Stretch], entries: Sequence[Entry]
    ) -> bytes:
        """The file of the offsets from `start` to before `following`."""
        said = {
            "acme.topic": self.topic,
            "acme.partition": str(partition),
            "acme.start": str(start),
            "acme.next": str(following),
            "acme.schema": str(self.schema_id),
            "acme.gaps": json.dumps([[gap.start, gap.end, gap.reason] for gap in gaps], separators=(",", ":")),
        }
        sync = sync_marker(file_name(self.topic, partition, start))
        return container.write(self.schema, said, (self.encode(entry) for entry in entries), sync)

    def read(self, content: bytes) -> Opened:
        """Takes a file apart; messages come as the contract is today.

        Raises:
            Damaged: it is no file of this event, or what it says of itself is not what it holds.
            acme.codec.avro.UnknownSchema: it was written with a schema that is not known here.
        """
        found = container.read(content)
        span = _span(found.metadata)
        if span.topic != self.topic:
            raise Damaged("it is of another topic")
        decode = self._avro.decoder(span.schema_id)
        prefix = _PREFIX.pack(0, span.schema_id)
        whole, nested = self._schemas(span.schema_id, found.schema)
        entries: list[Entry] = []
        leaves: list[bytes] = []
        for block in found.blocks:
            for datum, leaf in _records(block, whole):
                message = datum.pop("message")
                if message is not None:
                    out = io.BytesIO()
                    out.write(prefix)
                    schemaless_writer(out, nested, message)
                    try:
                        message = decode(out.getvalue())
                    except Undecodable as error:
                        raise Damaged(f"the message at offset {datum['offset']} is none: {error}") from None
                entries.append(Entry(message=message, **datum))
                leaves.append(leaf)
        _whole(span, entries)
        return Opened(span, tuple(entries), tuple(leaves))

    def _schemas(self, schema_id: int, schema: Schema) -> tuple[Any, Any]:
        """The schemas of the entries and of the messages in a file, which have to be those of this id."""
        released = self._avro.released.of_id(schema_id)
        if released is None or _schema(released.schema()) != schema:
            raise Damaged(f"its schema is not the one with the id {schema_id}")
        if schema_id not in self._parsed_by_id:
            message = released.schema()
            self._parsed_by_id[schema_id] = (parse_schema(bare(_schema(message))), parse_schema(bare(message)))
        return self._parsed_by_id[schema_id]


def _schema(message: Schema) -> Schema:
    """The schema of a file's entries."""
    moment = {"type": "long", "logicalType": "timestamp-millis"}
    fields = [
        {"name": "offset", "type": "long"},
        {"name": "timestamp", "type": moment},
        {"name": "id", "type": "string"},
        {"name": "key", "type": ["null", "bytes"]},
        {"name": "type", "type": "string"},
        {"name": "message", "type": ["null", message]},
        {"name": "raw", "type": ["null", "bytes"]},
    ]
    return {"type": "record", "name": RECORD, "namespace": NAMESPACE, "fields": fields}


def _records(block: container.Block, schema: Any) -> Iterator[tuple[Any, bytes]]:
    source = io.BytesIO(block.content)
    for _ in range(block.count):
        at = source.tell()
        try:
            datum = schemaless_reader(source, schema, None)
        except _GARBAGE:
            raise Damaged("one of its records cannot be read") from None
        yield datum, block.content[at : source.tell()]
    if source.tell() != len(block.content):
        raise Damaged("a block goes on after its last record")


def _span(said: Any) -> Span:
    try:
        gaps = tuple(Stretch(int(start), int(end), str(reason)) for start, end, reason in json.loads(said["acme.gaps"]))
        return Span(
            said["acme.topic"],
            int(said["acme.partition"]),
            int(said["acme.start"]),
            int(said["acme.next"]),
            int(said["acme.schema"]),
            gaps,
        )
    except (KeyError, ValueError, TypeError):
        raise Damaged("its header does not say what it holds") from None


def _whole(span: Span, entries: Sequence[Entry]) -> None:
    """Whether entries and gaps are every offset of the span, once and in order."""
    pieces = sorted(
        [(entry.offset, entry.offset + 1) for entry in entries] + [(gap.start, gap.end) for gap in span.gaps]
    )
    offsets = [entry.offset for entry in entries]
    at = span.start
    for start, end in pieces:
        if start != at or end <= start:
            raise Damaged(f"offset {at} is neither there nor listed as missing")
        at = end
    if at != span.next or offsets != sorted(offsets):
        raise Damaged(f"it does not hold the offsets {span.start} to {span.next - 1} in order")
