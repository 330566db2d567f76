"""Examples in the bytes of each version: what was once written stays readable, not only in theory.

A `.golden` file is JSON: for each example the value (bytes as text of Latin-1, as Avro's own JSON has them) and what it is
in Avro. It is made with its version and never again. `faults` decodes each with every version of its subject and compares
what is read with what `resolved`, our own reading of Avro's schema resolution, expects.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException

from acme.codec.avro.compatible import full_name, named, type_of
from acme.codec.avro.schema import Schema, bare

_UNREADABLE: Final = (
    *(ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError, OverflowError),
    *(SchemaParseException, SchemaResolutionError),
)
"""What a file that is no golden file, or bytes that are not its schema's, raise."""


def golden_of(schema: Schema) -> bytes:
    """The golden file of a new version."""
    parsed = parse_schema(bare(schema))
    examples = []
    for full in (False, True):
        value = _Example(schema, full=full).of(schema, "")
        out = io.BytesIO()
        schemaless_writer(out, parsed, value)
        examples.append({"value": _plain(value), "avro": out.getvalue().hex()})
    return (json.dumps(examples, indent=2, ensure_ascii=False) + "\n").encode()


def faults(schemas: Mapping[int, Schema], golden: Mapping[int, bytes]) -> list[str]:
    """What is wrong with the golden files of one subject, by version: with itself as the writer, and with every version as
    the reader."""
    found: list[str] = []
    parsed = {number: parse_schema(bare(schema)) for number, schema in schemas.items()}
    for written, content in golden.items():
        try:
            examples = [(each["value"], bytes.fromhex(each["avro"])) for each in json.loads(content)]
        except _UNREADABLE:
            found.append(f"{written}.golden holds no examples")
            continue
        for number, reader in parsed.items():
            for value, avro in examples:
                source = io.BytesIO(avro)
                try:
                    read = _plain(schemaless_reader(source, parsed[written], None if number == written else reader))
                    wanted = resolved(value, schemas[written], schemas[number])
                except _UNREADABLE as error:
                    found.append(f"version {number} does not read {written}.golden ({type(error).__name__})")
                    break
                if read != wanted or source.tell() != len(avro):
                    found.append(f"version {number} reads something else in {written}.golden")
                    break
    return found


def resolved(value: Any, writer: Schema, reader: Schema) -> Any:
    """What a reader sees of a value that another version wrote."""
    return _Resolved(writer, reader).of(value, writer, reader)


class _Resolved:
    def __init__(self, writer: Schema, reader: Schema) -> None:
        self._writers, self._readers = named(writer), named(reader)

    def of(self, value: Any, writer: Schema, reader: Schema) -> Any:
        writer = self._writers.get(writer, writer) if isinstance(writer, str) else writer
        reader = self._readers.get(reader, reader) if isinstance(reader, str) else reader
        if isinstance(writer, list):
            return self.of(value, _branch(writer, value), reader)
        if isinstance(reader, list):
            same = [
                each
                for each in (self._readers.get(r, r) if isinstance(r, str) else r for r in reader)
                if (type_of(each), full_name(each)) == (type_of(writer), full_name(writer))
            ]
            return self.of(value, writer, same[0])
        match type_of(writer):
            case "record":
                written = {field["name"]: field["type"] for field in writer["fields"]}
                return {
                    f["name"]: self.of(value[f["name"]], written[f["name"]], f["type"])
                    if f["name"] in written
                    else f["default"]
                    for f in reader["fields"]
                }
            case "enum":
                return value if value in reader["symbols"] else reader["default"]
            case "array":
                return [self.of(each, writer["items"], reader["items"]) for each in value]
            case "map":
                return {key: self.of(each, writer["values"], reader["values"]) for key, each in value.items()}
        return value


def _branch(union: Sequence[Schema], value: Any) -> Schema:
    """Of null and one type."""
    return next(each for each in union if (each == "null") is (value is None))


class _Example:
    """Values that follow from a schema: all defaults, or (`full`) everything there, and lists of two."""

    def __init__(self, schema: Schema, *, full: bool) -> None:
        self._named = named(schema)
        self._full = full
        self._around: list[str] = []

    def of(self, schema: Schema, name: str) -> Any:
        schema = self._named.get(schema, schema) if isinstance(schema, str) else schema
        if isinstance(schema, list):
            inner = self._named.get(schema[1], schema[1]) if isinstance(schema[1], str) else schema[1]
            return self.of(inner, name) if self._full and not self._endless(inner) else None
        match type_of(schema):
            case "record":
                self._around.append(full_name(schema))
                made = {field["name"]: self.of(field["type"], field["name"]) for field in schema["fields"]}
                self._around.pop()
                return made
            case "enum":
                return schema["symbols"][-1] if self._full else schema["default"]
            case "array":
                fits = self._full and not self._endless(schema["items"])
                return [self.of(schema["items"], name) for _ in range(2)] if fits else []
            case "map":
                fits = self._full and not self._endless(schema["values"])
                return {key: self.of(schema["values"], name) for key in ("1", "2")} if fits else {}
        if isinstance(schema, dict) and schema.get("format") == "json":
            return '{"é":[1.5,null]}'
        full = {"string": f"{name} é", "bytes": b"\x00\xff", "boolean": True, "float": -0.5, "double": 1e100}
        empty = {"string": "", "bytes": b"", "boolean": False, "float": 0.0, "double": 0.0}
        whole = {"int": -(2**31), "long": 1_767_323_045_678_901}
        return full.get(type_of(schema), whole.get(type_of(schema))) if self._full else empty.get(type_of(schema), 0)

    def _endless(self, schema: Schema) -> bool:
        """Whether it is a record that we are inside of."""
        return (schema if isinstance(schema, str) else full_name(schema)) in self._around


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.decode("latin-1") if isinstance(value, bytes) else value
