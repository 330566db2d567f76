"""Examples in bytes, and what every version makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acme.codec.avro.golden import faults, golden_of, resolved
from acme.codec.avro.schema import Schema

COLOURS = {"type": "enum", "name": "Colour", "symbols": ["NONE", "RED"], "default": "NONE"}
MORE = {**COLOURS, "symbols": ["NONE", "RED", "BLUE"]}


def thing(*fields: dict[str, Any], colours: Schema = COLOURS) -> Schema:
    """A record that holds itself, an enum, bytes and JSON."""
    own = [
        {"name": "id", "type": "string", "default": ""},
        {"name": "colour", "type": colours, "default": "NONE"},
        {"name": "raw", "type": ["null", "bytes"], "default": None},
        {"name": "json", "type": ["null", {"type": "string", "format": "json"}], "default": None},
        {"name": "inner", "type": ["null", "Thing"], "default": None},
        {"name": "more", "type": {"type": "array", "items": "Thing"}, "default": []},
        {"name": "counts", "type": {"type": "map", "values": "double"}, "default": {}},
    ]
    return {"type": "record", "name": "Thing", "fields": [*own, *fields]}


FIRST = thing()
SECOND = thing({"name": "note", "type": "string", "default": "none yet"}, colours=MORE)


def test_the_examples_are_a_value_without_anything_and_one_with_everything() -> None:
    empty, full = json.loads(golden_of(FIRST))
    none: dict[str, Any] = {
        "id": "",
        "colour": "NONE",
        "raw": None,
        "json": None,
        "inner": None,
        "more": [],
        "counts": {},
    }
    assert empty == {"value": none, "avro": "00000000000000"}
    assert full["value"] == {
        "id": "id é",
        "colour": "RED",
        "raw": "\x00\xff",
        "json": '{"é":[1.5,null]}',
        "inner": None,
        "more": [],
        "counts": {"1": 1e100, "2": 1e100},
    }


def test_every_version_reads_what_every_other_wrote() -> None:
    golden = {1: golden_of(FIRST), 2: golden_of(SECOND)}
    assert faults({1: FIRST, 2: SECOND}, golden) == []


def test_what_one_reads_of_another_is_what_avro_says() -> None:
    [_, first], [_, second] = json.loads(golden_of(FIRST)), json.loads(golden_of(SECOND))
    assert resolved(first["value"], FIRST, SECOND) == {**first["value"], "note": "none yet"}
    seen = resolved(second["value"], SECOND, FIRST)
    assert second["value"]["colour"] == "BLUE"
    assert (seen["colour"], "note" in seen) == ("NONE", False), "a symbol that it does not know is its default"


def broken(change: Any) -> list[str]:
    """The faults of a golden file after a change to its full example."""
    examples = json.loads(golden_of(FIRST))
    change(examples[1])
    return faults({1: FIRST, 2: SECOND}, {1: json.dumps(examples).encode()})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda e: e.update(avro=e["avro"].replace("69", "6a", 1)), "version 1 reads something else in 1.golden"),
        (lambda e: e["value"].update(id="other"), "version 1 reads something else in 1.golden"),
        (lambda e: e.update(avro=e["avro"] + "00"), "version 1 reads something else in 1.golden"),
        (lambda e: e.update(avro=e["avro"][:10]), "version 1 does not read 1.golden"),
        (lambda e: e.pop("avro"), "1.golden holds no examples"),
    ],
    ids=["a byte", "the value", "longer", "shorter", "no bytes"],
)
def test_bytes_that_say_something_else_are_found(change: Any, told: str) -> None:
    assert any(told in line for line in broken(change))


@pytest.mark.parametrize(
    "reader",
    [
        thing({"name": "note", "type": "string"}),
        thing(colours={**COLOURS, "symbols": ["NONE"], "default": "NONE"}),
        thing({"name": "id", "type": "long", "default": 0}),
    ],
    ids=["without a default", "symbol gone", "another type"],
)
def test_a_reader_that_breaks_the_rules_is_found_unless_avro_allows_it(reader: Schema) -> None:
    told = faults({1: FIRST, 2: reader}, {1: golden_of(FIRST)})
    if reader["fields"][1]["type"]["symbols"] == ["NONE"]:
        assert told == [], "Avro reads a symbol that is gone as the default: `compatible.py` says no to it"
    else:
        assert any("version 2 does not read 1.golden" in line for line in told)
