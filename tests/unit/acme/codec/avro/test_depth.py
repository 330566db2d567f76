"""Bytes that nest or count without end are refused before fastavro, whose C code would take the process with it."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

import pytest

from acme.codec.avro import Avro, Undecodable
from acme.codec.avro.depth import DEEPEST, Depth, endless
from acme.codec.avro.golden import golden_of
from acme.codec.avro.released import Released
from acme.codec.avro.schema import schema_of
from acme.contract import Contracts, load
from tests.unit.acme.codec.avro.stranger import Stranger, thing

OURS = Released(load("acme.contracts"))
SCHEMAS = [version.schema() for versions in OURS.subjects.values() for version in versions]


def test_no_event_of_ours_is_endless() -> None:
    assert [schema["name"] for schema in SCHEMAS if endless(schema)] == []


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("Thing self = 2;", True),
        ("repeated Other others = 2;", True),
        ("google.protobuf.Empty nothing = 2;", True),
        ("google.protobuf.Struct data = 2; map<string, string> labels = 3; Leaf one = 4; Leaf two = 5;", False),
    ],
)
def test_a_schema_is_endless_when_it_holds_itself_or_nothing(stranger: Stranger, fields: str, told: bool) -> None:
    stranger.release(thing(fields, "message Other { Thing back = 1; } message Leaf { string a = 1; }"))
    assert endless(schema_of(stranger.message(stranger.contracts()))) is told


@dataclass
class Endless:
    """A thing that holds an inner thing that holds things."""

    stranger: Stranger
    contracts: Contracts

    def __post_init__(self) -> None:
        self.avro = Avro(self.contracts)
        self.message = self.stranger.message(self.contracts)
        self.prefix = struct.pack(">bi", 0, self.avro.released.current(self.message).id)

    def nested(self, levels: int) -> Any:
        """Each level is two messages."""
        inner = self.stranger.message(self.contracts, "Inner").cls
        made = self.message.cls(id="x")
        for _ in range(levels):
            made = self.message.cls(id="x", inner=inner(more={"k": made}))
        return made


@pytest.fixture
def one(stranger: Stranger) -> Endless:
    fields = "Inner inner = 2; repeated google.protobuf.Empty nothing = 3;"
    stranger.release(thing(fields, "message Inner { map<string, Thing> more = 1; }"))
    return Endless(stranger, stranger.contracts())


def test_bytes_that_nest_too_deep_are_undecodable_and_nobody_dies(one: Endless) -> None:
    with pytest.raises(Undecodable):
        one.avro.decode(one.prefix + b"\x00\x02\x02\x00" * 500_000)  # an id "", an Inner, one entry, its key ""


def test_more_entries_than_bytes_are_undecodable(one: Endless) -> None:
    many = b"\xfe\xff\xff\xff\xff\xff\xff\x01"
    with pytest.raises(Undecodable):
        one.avro.decode(one.prefix + b"\x00\x00" + many + b"\x00")


def test_what_is_written_is_as_deep_as_what_is_read(one: Endless) -> None:
    encode = one.avro.encoder(one.message)
    most = one.nested(DEEPEST // 2 - 1)
    assert one.avro.decode(encode(most)) == most
    with pytest.raises(ValueError, match="nests deeper than 100 messages"):
        encode(one.nested(DEEPEST // 2))


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema["name"]))
def test_every_type_is_passed_over_to_its_end(schema: Any) -> None:
    twice = {"type": "record", "name": "Twice", "fields": [{"name": name, "type": schema} for name in "ab"]}
    for example in json.loads(golden_of(schema)):
        content = bytes.fromhex(example["avro"])
        Depth(schema).check(content)
        Depth(twice).check(content * 2)
        with pytest.raises(IndexError):
            Depth(twice).check(content)


def test_blocks_that_say_their_size_are_passed_over() -> None:
    Depth({"type": "array", "items": "string"}).check(b"\x03\x06\x02a\x02b\x00")
