"""Messages become what fastavro writes, and come back equal: every type that Avro has."""

from __future__ import annotations

import io
import math
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from acme.codec.avro.builder import Builder, Taker
from acme.codec.avro.schema import bare, schema_of
from acme.contract import Contracts, Message
from acme.contracts.google.protobuf import FieldMask, ListValue, NullValue, Struct, Value
from tests import neutral
from tests.unit.acme.codec.avro.stranger import Stranger, thing

TYPES = """
  enum Size { SIZE_NONE = 0; SIZE_BIG = 5; SIZE_NEGATIVE = -1; }
  message Inner { string name = 1; Size size = 2; repeated int64 numbers = 3; Thing outer = 4; }
  double double = 2; float float = 3; int32 int32 = 4; int64 int64 = 5; uint32 uint32 = 6; sint32 sint32 = 7;
  sfixed64 sfixed64 = 8; fixed32 fixed32 = 9; bool bool = 10; bytes bytes = 11; Size size = 12; Inner inner = 13;
  optional double maybe_double = 20; optional int32 maybe_int32 = 21; optional bool maybe_bool = 22;
  optional string maybe_string = 23; optional bytes maybe_bytes = 24; optional Size maybe_size = 25;
  repeated float floats = 30; repeated Size sizes = 31; repeated Inner inners = 32; repeated bytes raws = 33;
  repeated google.protobuf.Timestamp times = 34; repeated google.protobuf.Duration spans = 35;
  repeated google.protobuf.StringValue wrapped_strings = 36; repeated google.protobuf.Value values = 37;
  repeated google.protobuf.FieldMask masks = 38;
  map<string, string> strings = 40; map<int64, Inner> inner_by_number = 41; map<bool, double> by_bool = 42;
  map<string, google.protobuf.Timestamp> time_by_name = 43; map<uint64, Size> size_by_number = 44;
  map<string, google.protobuf.Int64Value> wrapped_by_name = 45; map<string, google.protobuf.Struct> structs = 46;
  oneof choice { string chosen_string = 50; Inner chosen_inner = 51; google.protobuf.Timestamp chosen_time = 52; }
  google.protobuf.Timestamp time = 60; google.protobuf.Duration span = 61; google.protobuf.Struct struct = 62;
  google.protobuf.Value value = 63; google.protobuf.ListValue list = 64; google.protobuf.FieldMask mask = 65;
  google.protobuf.Empty empty = 66; google.protobuf.DoubleValue wrapped_double = 67;
  google.protobuf.BoolValue wrapped_bool = 68; google.protobuf.BytesValue wrapped_bytes = 69;
  google.protobuf.UInt32Value wrapped_uint32 = 70; google.protobuf.StringValue wrapped_string = 71;
  Thing self = 80; repeated Thing children = 81; map<string, Thing> child_by_name = 82;
  string class = 90; repeated string from = 91;
"""


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Contracts:
    stranger = Stranger(tmp_path_factory.mktemp("types"))
    stranger.release(thing(TYPES))
    return stranger.contracts()


@pytest.fixture(scope="module")
def message(contracts: Contracts) -> Message:
    """The event that has every type."""
    return next(m for m in contracts.messages.values() if m.event is not None and m.event.topic == "things.events")


@pytest.fixture(scope="module")
def travel(message: Message) -> Callable[[Any], Any]:
    """To Avro and back."""
    schema, build, take = parse_schema(bare(schema_of(message))), Builder().function(message), Taker().function(message)

    def there_and_back(made: Any) -> Any:
        out = io.BytesIO()
        schemaless_writer(out, schema, build(made))
        out.seek(0)
        return take(schemaless_reader(out, schema, None))

    return there_and_back


@pytest.mark.soak
@given(data=st.data())
def test_every_valid_message_comes_back_equal(
    data: st.DataObject, message: Message, travel: Callable[[Any], Any]
) -> None:
    made = neutral.ours(message, data.draw(neutral.plain_messages(message, for_json=True)))
    assert travel(made) == made


@pytest.mark.parametrize(
    "given_",
    [
        {"int64": -(2**63), "sfixed64": 2**63 - 1, "int32": -(2**31), "uint32": 2**32 - 1, "fixed32": 2**32 - 1},
        {"inner_by_number": {2**63 - 1: None, -(2**63): None}},
        {"size_by_number": {2**64 - 1: 5, 0: 0}},
        {"double": math.inf, "float": -math.inf, "maybe_double": -0.0},
        {"time": datetime(1, 1, 1, tzinfo=UTC), "chosen_time": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
        {"span": timedelta(seconds=-315_576_000_000), "spans": [timedelta(microseconds=-1)]},
        {"value": Value(null_value=NullValue(0)), "list": ListValue(values=[]), "struct": Struct(fields={})},
    ],
    ids=["integers", "keys", "unsigned keys", "floats", "times", "spans", "empty JSON"],
)
def test_the_ends_of_every_range_come_back(
    message: Message, travel: Callable[[Any], Any], given_: dict[str, Any]
) -> None:
    inner = next(f.message for f in message.fields if f.name == "inner")
    assert inner is not None
    if "inner_by_number" in given_:
        given_ = {"inner_by_number": {key: inner.cls(name=str(key)) for key in given_["inner_by_number"]}}
    made = message.cls(id="x", **given_)
    assert travel(made) == made


def test_what_is_absent_stays_absent_and_zero_stays_zero(message: Message, travel: Callable[[Any], Any]) -> None:
    absent = travel(message.cls())
    assert (absent.maybe_int32, absent.maybe_string, absent.wrapped_bool, absent.inner, absent.mask) == (None,) * 5
    zeros = {"maybe_int32": 0, "maybe_string": "", "wrapped_bool": False, "mask": FieldMask(paths=[])}
    zero = travel(message.cls(**zeros))
    assert {name: getattr(zero, name) for name in zeros} == zeros


def test_a_time_of_another_zone_is_the_same_moment(message: Message, travel: Callable[[Any], Any]) -> None:
    there = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert travel(message.cls(time=there)).time == there.astimezone(UTC)


def test_entries_of_maps_are_written_in_one_order(message: Message) -> None:
    build = Builder().function(message)
    one, other = message.cls(strings={"b": "2", "a": "1"}), message.cls(strings={"a": "1", "b": "2"})
    assert list(build(one)["strings"]) == list(build(other)["strings"]) == ["a", "b"]
    numbers = message.cls(size_by_number={10: 0, 9: 0})
    assert list(Taker().function(message)(_read(message, numbers)).size_by_number) == [9, 10]


def _read(message: Message, made: Any) -> Any:
    schema = parse_schema(bare(schema_of(message)))
    out = io.BytesIO()
    schemaless_writer(out, schema, Builder().function(message)(made))
    out.seek(0)
    return schemaless_reader(out, schema, None)


@pytest.mark.parametrize(
    ("given_", "where"),
    [
        ({"int32": 2**31}, "int32"),
        ({"uint32": -1}, "uint32"),
        ({"int64": 2**63}, "int64"),
        ({"int64": "SECRET"}, "int64"),
        ({"class_": "SECRET\ud800"}, "class"),
        ({"strings": {"SECRET\ud800": "x"}}, "strings"),
        ({"maybe_string": 5}, "maybe_string"),
        ({"bytes": "SECRET"}, "bytes"),
        ({"bool": "SECRET"}, "bool"),
        ({"float": 1e300}, "float"),
        ({"time": datetime(2026, 1, 1)}, "time"),
        ({"span": timedelta.max}, "span"),
        ({"struct": Struct(fields={"SECRET": Value(number_value=math.nan)})}, "struct"),
        ({"struct": "SECRET"}, "struct"),
        ({"mask": FieldMask(paths=["SECRET\ud800"])}, "mask"),
        ({"size": 77}, "has no name for the number 77"),
        ({"sizes": [0, 77]}, "has no name for the number 77"),
        (
            {"chosen_string": "SECRET", "chosen_time": datetime(2026, 1, 1, tzinfo=UTC)},
            "more than one member of choice",
        ),
    ],
)
def test_what_avro_cannot_carry_is_refused_with_the_field_and_without_the_value(
    message: Message, given_: dict[str, Any], where: str
) -> None:
    build = Builder().function(message)
    with pytest.raises(ValueError, match=where) as raised:
        build(message.cls(**given_))
    assert "SECRET" not in "".join(traceback.format_exception_only(raised.value))
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_the_source_of_written_functions_is_at_hand(message: Message) -> None:
    assert Path(Builder().function(message).__code__.co_filename).name.startswith("<acme.codec.avro.builder build_")
