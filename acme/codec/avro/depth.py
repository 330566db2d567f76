"""How deep Avro nests, before fastavro reads it: its C code recurses without a limit, and a few kilobytes end the process.

Only schemas that hold themselves can nest without end, and only lists of messages without fields can be long without bytes;
`endless` tells which these are, and everything else is read without this detour.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from acme.codec.avro.compatible import full_name, named, type_of
from acme.codec.avro.schema import Schema

DEEPEST: Final = 100
"""Messages inside of messages; protobuf allows as many."""

_FIXED: Final[Mapping[str, int]] = {"null": 0, "boolean": 1, "float": 4, "double": 8}


def endless(schema: Schema) -> bool:
    """Whether bytes of this schema can nest, or count, without end."""
    kinds = named(schema)
    return any(_inside(kinds, kind, kind, set()) for kind in kinds) or any(
        type_of(kind) == "record" and not kind["fields"] for kind in kinds.values()
    )


def _inside(kinds: Mapping[str, Schema], wanted: str, name: str, seen: set[str]) -> bool:
    """Whether a record holds the wanted one, at any depth."""
    seen.add(name)
    waiting = [field["type"] for field in kinds[name].get("fields", ())]
    while waiting:
        here = waiting.pop()
        if isinstance(here, list):
            waiting += here
        elif isinstance(here, dict) and "fields" not in here:
            waiting += [here[key] for key in ("items", "values") if key in here]
        held = here if isinstance(here, str) else full_name(here)
        if held == wanted or (held in kinds and held not in seen and _inside(kinds, wanted, held, seen)):
            return True
    return False


class Depth:
    """Measures payloads of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._schema, self._named = schema, named(schema)

    def check(self, avro: bytes) -> None:
        """Raises ValueError for what nests deeper than `DEEPEST`, or counts more entries than there are bytes; IndexError
        for what ends early, or names a branch that there is not."""
        self._skip(self._schema, avro, 0, 0)

    def _skip(self, schema: Schema, avro: bytes, at: int, depth: int) -> int:
        """Where the value ends that begins at `at`."""
        schema = self._named.get(schema, schema) if isinstance(schema, str) else schema
        kind = type_of(schema)
        if kind == "record":
            if depth >= DEEPEST:
                raise ValueError(f"it nests deeper than {DEEPEST} messages")
            for field in schema["fields"]:
                at = self._skip(field["type"], avro, at, depth + 1)
            return at
        if kind in _FIXED:
            return at + _FIXED[kind]
        number, at = _long(avro, at)
        if kind == "union":
            return self._skip(schema[number], avro, at, depth)
        if kind in ("string", "bytes"):
            return at + number
        if kind in ("array", "map"):
            return self._entries(schema, avro, number, at, depth)
        return at  # int, long, enum

    def _entries(self, schema: Schema, avro: bytes, count: int, at: int, depth: int) -> int:
        while count:
            if count < 0:  # a block that says its size, too
                count, (_, at) = -count, _long(avro, at)
            if count > len(avro):
                raise ValueError("it counts more entries than there are bytes")
            for _ in range(count):
                if schema["type"] == "map":
                    length, at = _long(avro, at)
                    at += length
                at = self._skip(schema["items"] if schema["type"] == "array" else schema["values"], avro, at, depth)
            count, at = _long(avro, at)
        return at


def _long(avro: bytes, at: int) -> tuple[int, int]:
    """A number in Avro's variable length, and where it ends."""
    value = shift = 0
    while True:
        byte = avro[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than ten bytes")
