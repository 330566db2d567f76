"""Whether two versions of a schema can be told apart by those who read: Avro's schema resolution, in both directions.

Confluent calls it FULL_TRANSITIVE: what any version has written, every other version reads. Beyond what resolution asks for,
a symbol that was once released stays (a renamed one would be read as the default, silently), and so does what a number
means (`logicalType`, `unit`, `format`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from acme.codec.avro.schema import Schema

_PROMOTIONS: Final[Mapping[str, frozenset[str]]] = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}
"""What else a reader may take a type for."""
_MEANINGS: Final = ("logicalType", "unit", "format")


def breaches(older: Schema, newer: Schema) -> list[str]:
    """Why these are no two versions of one schema, a line a place; empty when they are."""
    found = [f"{line} (for an older reader)" for line in unreadable(newer, older)]
    found += [f"{line} (for a newer reader)" for line in unreadable(older, newer)]
    found += _renamed(older, newer)
    return list(dict.fromkeys(found))


def unreadable(writer: Schema, reader: Schema) -> list[str]:
    """What a reader could not resolve, or would take for something else, a line a place."""
    return list(_Resolution(writer, reader).lines(writer, reader, ""))


class _Resolution:
    """Follows two schemas side by side."""

    def __init__(self, writer: Schema, reader: Schema) -> None:
        self._writers, self._readers = named(writer), named(reader)
        self._seen: set[tuple[str, str]] = set()

    def lines(self, writer: Schema, reader: Schema, place: str) -> Iterator[str]:
        writer, reader = self._writers.get(_key(writer), writer), self._readers.get(_key(reader), reader)
        if isinstance(writer, list):
            for branch in writer:
                yield from self.lines(branch, reader, place)
        elif isinstance(reader, list):
            yield from self._one_of(writer, reader, place)
        else:
            yield from self._pair(writer, reader, place)

    def _one_of(self, writer: Schema, readers: Sequence[Schema], place: str) -> Iterator[str]:
        """A value against a union: the branch of its own type, else the first that it can be promoted to."""
        kind, name = type_of(writer), full_name(writer)
        for reader in readers:
            there = self._readers.get(_key(reader), reader)
            if type_of(there) == kind and full_name(there) == name:
                yield from self.lines(writer, there, place)
                return
        if not any(type_of(reader) in _PROMOTIONS.get(kind, ()) for reader in readers):
            yield f"{place or 'the whole'}: {_said(writer)} is none of {', '.join(map(_said, readers))}"

    def _pair(self, writer: Schema, reader: Schema, place: str) -> Iterator[str]:
        kind, there = type_of(writer), type_of(reader)
        if kind != there:
            if there not in _PROMOTIONS.get(kind, ()):
                yield f"{place or 'the whole'}: {_said(writer)} cannot be read as {_said(reader)}"
            return
        if full_name(writer) != full_name(reader):
            yield f"{place or 'the whole'}: {_said(writer)} is not {_said(reader)}"
            return
        for meaning in _MEANINGS:
            was, now = _said_of(writer, meaning), _said_of(reader, meaning)
            if was != now:
                yield f"{place}: the {meaning} {was or 'none'} is not {now or 'none'}"
        if kind == "record" and (pair := (full_name(writer), full_name(reader))) not in self._seen:
            self._seen.add(pair)
            yield from self._records(writer, reader, place)
        elif kind == "enum":
            unknown = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
            if unknown and "default" not in reader:
                yield f"{place}: {', '.join(unknown)} cannot be read, and there is no default"
        elif kind == "array":
            yield from self.lines(writer["items"], reader["items"], f"{place}[]")
        elif kind == "map":
            yield from self.lines(writer["values"], reader["values"], f"{place}{{}}")

    def _records(self, writer: Schema, reader: Schema, place: str) -> Iterator[str]:
        written = {field["name"]: field for field in writer["fields"]}
        for field in reader["fields"]:
            where = f"{place}.{field['name']}".lstrip(".")
            if field["name"] in written:
                yield from self.lines(written[field["name"]]["type"], field["type"], where)
            elif "default" not in field:
                yield f"{where}: is not always there, and has no default"


def _renamed(older: Schema, newer: Schema) -> Iterator[str]:
    """Symbols that are gone."""
    now = named(newer)
    for name, schema in named(older).items():
        if type_of(schema) == "enum" and name in now and type_of(now[name]) == "enum":
            for symbol in schema["symbols"]:
                if symbol not in now[name]["symbols"]:
                    yield f"{name}: the symbol {symbol} is gone"


def named(schema: Schema) -> dict[str, Schema]:
    """Every record and enum in a schema, by full name."""
    found: dict[str, Schema] = {}
    waiting = [schema]
    while waiting:
        here = waiting.pop()
        if isinstance(here, list):
            waiting += here
        elif isinstance(here, dict):
            if here["type"] in ("record", "enum"):
                found.setdefault(full_name(here), here)
            waiting += [field["type"] for field in here.get("fields", ())]
            waiting += [here[key] for key in ("items", "values") if key in here]
    return found


def type_of(schema: Schema) -> str:
    """ "long" of "long" and of {"type": "long", …}."""
    return "union" if isinstance(schema, list) else schema["type"] if isinstance(schema, dict) else str(schema)


def full_name(schema: Schema) -> str:
    """Of a record or an enum, "" of anything else."""
    if isinstance(schema, dict) and "name" in schema:
        return ".".join(filter(None, (schema.get("namespace", ""), schema["name"])))
    return ""


def _key(schema: Schema) -> str:
    return schema if isinstance(schema, str) else ""


def _said(schema: Schema) -> str:
    return full_name(schema) or type_of(schema)


def _said_of(schema: Schema, meaning: str) -> Any:
    return schema.get(meaning) if isinstance(schema, dict) else None
