"""Avro object container files (Avro 1.12, "Object Container Files"), byte for byte the same for the same content.

A file is a header (magic, metadata, a sync marker of 16 bytes) and blocks: the count of their records, the length of the
compressed bytes, these, the sync marker. The codec is "deflate" (RFC 1951). Any tool that reads Avro reads these files; ours
is its own reader because it needs each record's bytes, and has to notice every byte that is not as it was written.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

MAGIC: Final = b"Obj\x01"
SYNC: Final = 16
BLOCK: Final = 64 * 1024
"""Bytes of records after which a block ends."""
_LEVEL: Final = 6
_CODEC: Final = "deflate"
_LONGEST: Final = 1 << 30
"""Bytes that one block may have unpacked."""


class Damaged(ValueError):
    """Bytes are no such file. The text says where, and holds none of them."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some records, one after the other."""

    count: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Container:
    """A file that was read."""

    schema: Any
    """As JSON values."""
    metadata: Mapping[str, str]
    blocks: tuple[Block, ...]


def write(schema: Any, metadata: Mapping[str, str], records: Iterable[bytes], sync: bytes) -> bytes:
    """A file of records that are Avro already. `metadata`: keys of our own; `sync`: 16 bytes."""
    if len(sync) != SYNC:
        raise ValueError(f"a sync marker has {SYNC} bytes")
    out = io.BytesIO()
    out.write(MAGIC)
    said = {**metadata, "avro.codec": _CODEC, "avro.schema": json.dumps(schema, separators=(",", ":"))}
    out.write(_long(len(said)))
    for key, value in sorted(said.items()):
        for text in (key.encode(), value.encode()):
            out.write(_long(len(text)) + text)
    out.write(_long(0) + sync)
    waiting: list[bytes] = []
    size = 0
    for record in records:
        waiting.append(record)
        size += len(record)
        if size >= BLOCK:
            _block(out, waiting, sync)
            waiting, size = [], 0
    if waiting:
        _block(out, waiting, sync)
    return out.getvalue()


def read(content: bytes) -> Container:
    """The parts of a file.

    Raises:
        Damaged: it is none, or goes on after its last block.
    """
    source = _Source(content)
    if source.take(len(MAGIC)) != MAGIC:
        raise Damaged("it does not begin as an Avro file does")
    said: dict[str, str] = {}
    while count := source.long():
        if count < 0:
            count = -count
            source.long()
        for _ in range(count):
            key = _text(source.field())
            said[key] = _text(source.field())
    sync = source.take(SYNC)
    if said.pop("avro.codec", "") != _CODEC:
        raise Damaged(f"its codec is not {_CODEC}")
    try:
        schema = json.loads(said.pop("avro.schema", ""))
    except ValueError:
        raise Damaged("its schema is no JSON") from None
    return Container(schema, said, tuple(_blocks(source, sync)))


def _block(out: io.BytesIO, records: list[bytes], sync: bytes) -> None:
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(b"".join(records)) + packer.flush()
    out.write(_long(len(records)) + _long(len(packed)) + packed + sync)


def _blocks(source: _Source, sync: bytes) -> Iterator[Block]:
    while source.left:
        at = source.at
        count, packed = source.long(), source.field()
        if source.take(SYNC) != sync:
            raise Damaged(f"the block at byte {at} does not end with the sync marker")
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = unpacker.decompress(packed, _LONGEST)
        except zlib.error:
            raise Damaged(f"the block at byte {at} cannot be unpacked") from None
        if not unpacker.eof or unpacker.unused_data or count <= 0:
            raise Damaged(f"the block at byte {at} is not whole")
        yield Block(count, content)


class _Source:
    """Bytes that are read from the beginning to the end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at = 0

    @property
    def left(self) -> int:
        return len(self._content) - self.at

    def take(self, size: int) -> bytes:
        if size < 0 or size > self.left:
            raise Damaged(f"it ends in the middle of what begins at byte {self.at}")
        self.at += size
        return self._content[self.at - size : self.at]

    def field(self) -> bytes:
        return self.take(self.long())

    def long(self) -> int:
        """A zigzag varint of up to 64 bits."""
        number = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            number |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return (number >> 1) ^ -(number & 1)
        raise Damaged(f"there is no number before byte {self.at}")


def _long(number: int) -> bytes:
    """The reverse of `long`."""
    rest = (number << 1) ^ (number >> 63)
    out = bytearray()
    while rest & ~0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Damaged("its header is no UTF-8") from None
