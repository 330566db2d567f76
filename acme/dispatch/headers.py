"""Header blocks (HPACK, RFC 7541) that need no table: written once where they are always the same, read at a glance.

Between processes in one place bytes are cheap and time is not. So every header is a literal that enters no table: constant
ones are put together when the program starts, those of one call are appended, secrets are never indexed in any case. What
other makes of clients and servers send, with tables and Huffman codes, hpack reads.

With hpack's own coding a call took 90 µs more on both ends together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypeAlias, cast

from hpack import Decoder, Encoder, HeaderTuple
from hpack.table import HeaderTable

Header: TypeAlias = tuple[bytes, bytes]

_STATIC: Final[tuple[Header, ...]] = ((b"", b""), *cast(Iterable[Header], HeaderTable.STATIC_TABLE))
_NAMES: Final = {name: index for index, (name, _) in reversed(list(enumerate(_STATIC)))}
_PAIRS: Final = {pair: index for index, pair in enumerate(_STATIC)}
_REMEMBERED: Final = 64
"""How many small blocks a decoder knows by heart, and how many bytes they have at most."""


class Block(HeaderTuple):
    """A block that is written already, in the place of a header: `[Block(b"", written)]`."""


def written(headers: Iterable[Header]) -> list[Header]:
    """Headers as what `H2Connection.send_headers` takes."""
    return joined(b"".join([literal(name, value) for name, value in headers]))


def joined(block: bytes) -> list[Header]:
    """A written block as what `H2Connection.send_headers` takes."""
    return [cast(Header, Block(b"", block))]


def literal(name: bytes, value: bytes) -> bytes:
    """One header, never indexed; a pair of the static table by its number."""
    pair = _PAIRS.get((name, value))
    if pair:
        return bytes([0x80 | pair])
    return start(name) + _sized(value)


def start(name: bytes) -> bytes:
    """What comes before the value of a header that is never indexed."""
    index = _NAMES.get(name, 0)
    if not index:
        return b"\x10" + _sized(name)
    return bytes([0x10 | index]) if index < 15 else bytes([0x1F, index - 15])


def value(text: bytes) -> bytes:
    """A value after `start`."""
    size = len(text)
    return bytes((size,)) + text if size < 127 else _sized(text)


def _sized(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    size -= 127
    head = bytearray((127,))
    while size >= 128:
        head.append(size & 127 | 128)
        size >>= 7
    head.append(size)
    return bytes(head) + text


class Writer(Encoder):
    """hpack's encoder, which lets through what is written already."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        if len(headers) == 1 and type(headers[0]) is Block:
            block: bytes = headers[0][1]
            return block
        encoded: bytes = super().encode(headers, huffman)
        return encoded


class Reader(Decoder):
    """hpack's decoder, with a quicker way for blocks that need no table."""

    def __init__(self) -> None:
        super().__init__()
        self._remembered: dict[bytes, list[Header]] = {}

    def decode(self, data: bytes, raw: bool = False) -> Any:
        known = self._remembered.get(data)
        if known is not None:
            return known
        found = _plain(data)
        if found is None or len(data) + 32 * len(found) > self.max_header_list_size:
            return super().decode(data, raw)
        if len(data) <= _REMEMBERED and len(self._remembered) < _REMEMBERED:
            self._remembered[bytes(data)] = found
        return found


def _plain(data: bytes) -> list[Header] | None:
    """The headers of a block of literals outside of any table and pairs of the static one; `None` for any other block."""
    at, end, found = 0, len(data), []
    try:
        while at < end:
            first = data[at]
            at += 1
            if first & 0x80:
                if not 0x80 < first <= 0xBD:
                    return None
                found.append(_STATIC[first & 0x7F])
                continue
            if first & 0x60:
                return None
            index = first & 0x0F
            if index == 15:
                index += data[at]
                at += 1
                if index > 61:
                    return None
            if index:
                name = _STATIC[index][0]
            else:
                size = data[at]
                at += 1
                if size >= 127:
                    return None
                name = data[at : at + size]
                at += size
            size = data[at]
            at += 1
            if size >= 127:
                if size > 127:
                    return None
                shift = 0
                while True:
                    more = data[at]
                    at += 1
                    size += (more & 127) << shift
                    shift += 7
                    if more < 128:
                        break
                    if shift > 21:
                        return None
            found.append((name, data[at : at + size]))
            at += size
    except IndexError:
        return None
    return found if at == end else None
