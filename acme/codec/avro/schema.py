"""Message → Avro record schema (Avro 1.11), as plain JSON values, and the id by which payloads name it.

    ============================  ========================================  ==========
    proto                         Avro                                      Default
    ============================  ========================================  ==========
    bool, string, bytes           the same                                  false, ""
    int32 and its kin             int                                       0
    int64 and its kin, uint32     long                                      0
    uint64, fixed64               refused: Avro has no such number
    float, double                 the same                                  0.0
    enum                          enum, whose default is the value 0        value 0
    Timestamp                     long, timestamp-micros                    null
    Duration                      long, "unit": "microsecond"               null
    Struct, Value, ListValue      string, "format": "json"                  null
    FieldMask                     array of strings                          null
    another message               record                                    null
    optional, oneof, a wrapper    null or the type                          null
    repeated                      array                                     []
    map                           map; keys that are numbers as text        {}
    ============================  ========================================  ==========

Every field has a default, so that fields can come and go; an enum has one, so that an old reader takes a symbol it does not
know for the value 0, as it would take a field. Full names are the contract's. Comments are no part of a schema; a field that
is personal data has `"pii": true`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from acme.codec.values import WRAPPERS, is_single, unwrapped
from acme.contract import Choices, Field, Kind, Message

Schema = Any
"""What `json.loads` makes of a schema: a name, a list (union) or an object."""

LOGICAL: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": {"type": "long", "logicalType": "timestamp-micros"},
    "google.protobuf.Duration": {"type": "long", "unit": "microsecond"},
    "google.protobuf.Struct": {"type": "string", "format": "json"},
    "google.protobuf.Value": {"type": "string", "format": "json"},
    "google.protobuf.ListValue": {"type": "string", "format": "json"},
    "google.protobuf.FieldMask": {"type": "array", "items": "string"},
}
"""Messages that are written as something other than a record."""

_TOO_LARGE: Final = frozenset({FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64})
_NARROW: Final = frozenset({FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32})
_ZERO: Final[Mapping[str, Any]] = {
    "boolean": False,
    "int": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "string": "",
    "bytes": "",
}


class Unfit(ValueError):
    """A message cannot be an Avro record; the text says which field, and why."""


def schema_of(m: Message) -> Schema:
    """The schema of a message.

    Raises:
        Unfit: one of its fields, or of what it holds, has a type that Avro lacks.
    """
    return _record(m, set())


def subject_of(m: Message) -> str:
    """The subject of an event: topic and message (Confluent's TopicRecordNameStrategy)."""
    if m.event is None:
        raise Unfit(f"{m.name} is no event: it lacks the option acme.options.v1.event")
    return f"{m.event.topic}-{m.name}"


def canonical(schema: Schema) -> bytes:
    """The one text of a schema: without white space, attributes in order. All that is in a schema counts."""
    return json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def id_of(subject: str, schema: Schema) -> int:
    """The id of a schema: 31 bits of SHA-256 over subject and canonical text, so that it fits Confluent's int32."""
    digest = hashlib.sha256(subject.encode() + b"\n" + canonical(schema)).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def printed(schema: Schema) -> bytes:
    """A schema as its file has it: a field a line."""
    return (json.dumps(schema, indent=2, ensure_ascii=False) + "\n").encode()


def bare(schema: Schema) -> Schema:
    """The schema without logical types: values are read and written as Avro has them, and conversion is ours."""
    if isinstance(schema, list):
        return [bare(branch) for branch in schema]
    if isinstance(schema, dict):
        kept = {key: value for key, value in schema.items() if key not in {"logicalType", "unit", "format", "pii"}}
        for key in ("type", "items", "values"):
            if key in kept:
                kept[key] = bare(kept[key])
        if "fields" in kept:
            kept["fields"] = [bare(field) for field in kept["fields"]]
        return kept["type"] if kept.keys() == {"type"} else kept
    return schema


def is_json(m: Message | None) -> bool:
    """Whether values of this message are written as JSON text."""
    return m is not None and isinstance(LOGICAL.get(m.name), dict) and LOGICAL[m.name].get("format") == "json"


def symbols(choices: Choices) -> dict[int, str]:
    """The names of an enum by number; of several names for one number, the first."""
    names: dict[int, str] = {}
    for choice in choices.values:
        names.setdefault(choice.number, choice.name)
    return names


def branch(f: Field) -> str:
    """The name of one value's type, as a union knows it."""
    made = _value(f, {each.name for each in _inside(f)})
    return made if isinstance(made, str) else str(made["type"])


def _inside(f: Field) -> list[Any]:
    return [each for each in (f.message, f.choices) if each is not None]


def _record(m: Message, seen: set[str]) -> Schema:
    if m.name in seen:
        return m.name
    seen.add(m.name)
    return {"type": "record", **_named(m.name), "fields": [_field(f, seen) for f in m.fields]}


def _named(name: str) -> dict[str, str]:
    namespace, _, last = name.rpartition(".")
    return {"name": last, "namespace": namespace}


def _field(f: Field, seen: set[str]) -> Schema:
    made: dict[str, Any] = {"name": f.name}
    if f.is_map:
        made |= {"type": {"type": "map", "values": _value(f.value or f, seen)}, "default": {}}
    elif f.repeated:
        made |= {"type": {"type": "array", "items": _value(f, seen)}, "default": []}
    elif f.optional:
        made |= {"type": ["null", _value(f, seen)], "default": None}
    else:
        made |= {"type": _value(f, seen), "default": _zero(f)}
    return made | ({"pii": True} if f.pii else {})


def _zero(f: Field) -> Any:
    if f.choices is not None:
        return symbols(f.choices)[0]
    return _ZERO[_value(f, set())]


def _value(f: Field, seen: set[str]) -> Schema:
    """The schema of one value of a field."""
    if f.message is not None and f.message.name not in WRAPPERS:
        return LOGICAL[f.message.name] if f.message.name in LOGICAL else _record(f.message, seen)
    f = unwrapped(f)
    if f.choices is not None:
        return _enum(f.choices, seen)
    match f.kind:
        case Kind.INT if f.descriptor.type in _TOO_LARGE:
            raise Unfit(f"{f.descriptor.full_name}: Avro has no unsigned integer of 64 bits")
        case Kind.INT:
            return "int" if f.descriptor.type in _NARROW else "long"
        case Kind.FLOAT:
            return "float" if is_single(f) else "double"
        case Kind.BOOL:
            return "boolean"
    return f.kind.value


def _enum(choices: Choices, seen: set[str]) -> Schema:
    if choices.name in seen:
        return choices.name
    seen.add(choices.name)
    names = symbols(choices)
    return {"type": "enum", **_named(choices.name), "symbols": list(names.values()), "default": names[0]}
