"""What Avro makes of each type of a contract."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastavro import parse_schema

from acme.codec.avro.schema import Unfit, bare, canonical, id_of, schema_of, subject_of
from acme.contract import load
from tests.unit.acme.codec.avro.stranger import Stranger, thing

OURS = load("acme.contracts")


def field(stranger: Stranger, declared: str, rest: str = "") -> dict[str, Any]:
    """The schema of a field, as a contract declares it."""
    stranger.release(thing(declared, rest))
    [found] = [f for f in schema_of(stranger.message(stranger.contracts()))["fields"] if f["name"] == "f"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("declared", "type_", "default"),
    [
        ("string f = 2;", "string", ""),
        ("bool f = 2;", "boolean", False),
        ("int32 f = 2;", "int", 0),
        ("sfixed32 f = 2;", "int", 0),
        ("int64 f = 2;", "long", 0),
        ("uint32 f = 2;", "long", 0),
        ("float f = 2;", "float", 0.0),
        ("double f = 2;", "double", 0.0),
        ("bytes f = 2;", "bytes", ""),
        ("optional string f = 2;", ["null", "string"], None),
        ("oneof o { int64 f = 2; string g = 3; }", ["null", "long"], None),
        ("google.protobuf.Int32Value f = 2;", ["null", "int"], None),
        ("google.protobuf.Timestamp f = 2;", ["null", {"type": "long", "logicalType": "timestamp-micros"}], None),
        ("google.protobuf.Duration f = 2;", ["null", {"type": "long", "unit": "microsecond"}], None),
        ("google.protobuf.Struct f = 2;", ["null", {"type": "string", "format": "json"}], None),
        ("google.protobuf.Value f = 2;", ["null", {"type": "string", "format": "json"}], None),
        ("google.protobuf.FieldMask f = 2;", ["null", {"type": "array", "items": "string"}], None),
        ("repeated int64 f = 2;", {"type": "array", "items": "long"}, []),
        ("map<string, bool> f = 2;", {"type": "map", "values": "boolean"}, {}),
        ("map<int32, string> f = 2;", {"type": "map", "values": "string"}, {}),
    ],
)
def test_every_type_has_its_counterpart_and_a_default(
    stranger: Stranger, declared: str, type_: Any, default: Any
) -> None:
    assert field(stranger, declared) == {"name": "f", "type": type_, "default": default}


def test_an_enum_falls_back_to_its_zero(stranger: Stranger) -> None:
    made = field(stranger, "Colour f = 2;", "enum Colour { option allow_alias = true; NONE = 0; RED = 3; ROT = 3; }")
    enum = {"type": "enum", "name": "Colour", "namespace": f"{stranger.name}.v1", "symbols": ["NONE", "RED"]}
    assert made == {"name": "f", "type": {**enum, "default": "NONE"}, "default": "NONE"}


def test_a_message_that_holds_itself_is_named_where_it_comes_again(stranger: Stranger) -> None:
    made = field(stranger, "Thing f = 2; repeated Inner inner = 3; Inner again = 4;", "message Inner { Thing t = 1; }")
    assert made["type"] == ["null", f"{stranger.name}.v1.Thing"]


def test_a_message_inside_of_another_has_its_full_name(stranger: Stranger) -> None:
    stranger.release(thing("Inner f = 2; message Inner { string s = 1; }"))
    schema = schema_of(stranger.message(stranger.contracts()))
    inner = schema["fields"][1]["type"][1]
    assert (inner["namespace"], inner["name"]) == (f"{stranger.name}.v1.Thing", "Inner")


@pytest.mark.parametrize("type_", ["uint64", "fixed64", "repeated uint64", "google.protobuf.UInt64Value"])
def test_unsigned_integers_of_64_bits_are_refused_where_contracts_are_generated(
    stranger: Stranger, capsys: pytest.CaptureFixture[str], type_: str
) -> None:
    stranger.say(thing(f"{type_} f = 2;"))
    assert stranger.run() == 1
    assert "Avro has no unsigned integer of 64 bits" in capsys.readouterr().err
    assert not stranger.folder.exists()


def test_personal_data_is_marked_and_comments_are_no_part() -> None:
    record = OURS.messages["acme.audit.v1.AuditRecord"]
    schema = schema_of(record)
    assert [f["name"] for f in schema["fields"] if f.get("pii")] == ["address"]
    assert "doc" not in json.dumps(schema)


def test_a_message_that_is_no_event_has_no_subject() -> None:
    assert subject_of(OURS.messages["acme.projects.v1.ProjectCreated"]) == (
        "acme.projects.events-acme.projects.v1.ProjectCreated"
    )
    with pytest.raises(Unfit, match="is no event"):
        subject_of(OURS.messages["acme.projects.v1.Project"])


def test_an_id_follows_from_subject_and_schema_alone() -> None:
    schema = {"type": "record", "name": "A", "fields": [{"name": "b", "type": "string", "default": ""}]}
    assert id_of("t-A", schema) == id_of("t-A", dict(reversed(schema.items()))) == 1136102500  # by sha256sum
    assert id_of("t-B", schema) != id_of("t-A", schema)
    assert canonical(schema) == b'{"fields":[{"default":"","name":"b","type":"string"}],"name":"A","type":"record"}'


@pytest.mark.parametrize("name", sorted(m.name for m in OURS.messages.values() if m.event is not None))
def test_fastavro_takes_the_schema_of_every_event_with_and_without_meanings(name: str) -> None:
    schema = schema_of(OURS.messages[name])
    parse_schema(schema)
    assert "logicalType" not in json.dumps(parse_schema(bare(schema)))
