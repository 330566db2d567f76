"""Which schemas are two versions of one."""

from __future__ import annotations

from typing import Any

import pytest

from acme.codec.avro.compatible import breaches, unreadable
from acme.codec.avro.schema import Schema

NOTHING = object()


def record(*fields: tuple[str, Schema, Any], name: str = "R") -> Schema:
    """A record; a field is (name, type, default)."""
    made = [{"name": n, "type": t, **({} if d is NOTHING else {"default": d})} for n, t, d in fields]
    return {"type": "record", "name": name, "namespace": "a.v1", "fields": made}


def enum(*symbols: str, default: str = "NONE") -> Schema:
    """An enum; "" is no default."""
    made = {"type": "enum", "name": "E", "namespace": "a.v1", "symbols": ["NONE", *symbols]}
    return {**made, "default": default} if default else made


ID = ("id", "string", "")
INNER = record(("x", "int", 0), name="Inner")
MICROS = {"type": "long", "logicalType": "timestamp-micros"}


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        (record(ID), record(ID, ("new", "long", 0))),
        (record(ID, ("old", ["null", "string"], None)), record(ID)),
        (record(("a", "int", 0), ("b", "int", 0)), record(("b", "int", 0), ("a", "int", 0))),
        (record(("e", enum("RED"), "NONE")), record(("e", enum("RED", "BLUE"), "NONE"))),
        (
            record(("m", ["null", INNER], None)),
            record(("n", ["null", INNER], None), ("m", ["null", "a.v1.Inner"], None)),
        ),
        (record(("t", ["null", MICROS], None)), record(("t", ["null", dict(MICROS)], None))),
    ],
    ids=["added", "removed", "reordered", "symbol added", "named elsewhere", "same meaning"],
)
def test_what_comes_and_goes_with_a_default_breaks_nobody(older: Schema, newer: Schema) -> None:
    assert breaches(older, newer) == []
    assert breaches(older, older) == breaches(newer, newer) == []


@pytest.mark.parametrize(
    ("older", "newer", "told"),
    [
        (record(ID), record(ID, ("new", "long", NOTHING)), "new: is not always there, and has no default (for a newer"),
        (
            record(ID, ("old", "long", NOTHING)),
            record(ID),
            "old: is not always there, and has no default (for an older",
        ),
        (record(("a", "int", 0)), record(("a", "string", "")), "a: int cannot be read as string"),
        (record(("a", "int", 0)), record(("a", "long", 0)), "a: long cannot be read as int (for an older reader)"),
        (record(("a", "string", "")), record(("a", ["null", "string"], None)), "a: null cannot be read as string"),
        (
            record(("a", {"type": "array", "items": "int"}, [])),
            record(("a", {"type": "map", "values": "int"}, {})),
            "a: ",
        ),
        (
            record(("a", {"type": "array", "items": "int"}, [])),
            record(("a", {"type": "array", "items": "string"}, [])),
            "a[]: int cannot be read as string",
        ),
        (record(("e", enum("RED"), "NONE")), record(("e", enum("ROT"), "NONE")), "a.v1.E: the symbol RED is gone"),
        (
            record(("e", enum("RED", default=""), "NONE")),
            record(("e", enum("RED", "BLUE", default=""), "NONE")),
            "e: BLUE cannot be read, and there is no default",
        ),
        (record(("t", "long", 0)), record(("t", MICROS, 0)), "t: the logicalType none is not timestamp-micros"),
        (record(ID), record(ID, name="S"), "the whole: a.v1.R is not a.v1.S"),
        (
            record(("m", ["null", INNER], None)),
            record(("m", ["null", record(("x", "string", ""), name="Inner")], None)),
            "m.x: int cannot be read as string",
        ),
    ],
    ids=[
        *("added without default", "removed default", "type", "promotion", "presence", "list to map", "items"),
        *("renamed symbol", "symbol without default", "meaning", "name", "inside"),
    ],
)
def test_every_breach_is_named_with_its_place(older: Schema, newer: Schema, told: str) -> None:
    lines = breaches(older, newer)
    assert any(told in line for line in lines), lines


def test_a_schema_that_holds_itself_is_followed_once() -> None:
    older = record(("r", ["null", "a.v1.R"], None))
    assert breaches(older, record(("r", ["null", "a.v1.R"], None), ("x", "int", 0))) == []


def test_promotions_go_one_way_as_avro_says() -> None:
    assert unreadable("int", "double") == []
    assert unreadable("double", "int") == ["the whole: double cannot be read as int"]
    assert unreadable("int", ["null", "long"]) == []
    assert unreadable("string", "bytes") == []
