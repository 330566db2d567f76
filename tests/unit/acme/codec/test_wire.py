"""The wire codec says what protobuf's own encoder and decoder say."""

from __future__ import annotations

import dataclasses
import traceback
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.codec.wire import Wire
from acme.contract import Contracts, Message, load
from tests import neutral

OURS = load("acme.contracts")
MESSAGES = [m for name, m in sorted(OURS.messages.items()) if name.startswith("acme.")]
PROJECT = OURS.messages["acme.projects.v1.Project"]
CHANGE = OURS.messages["acme.authority.v1.Change"]


OUR_WIRE = Wire(OURS)


@pytest.mark.soak
@given(data=st.data())
def test_our_messages_travel_as_protobuf_says(data: st.DataObject) -> None:
    m = data.draw(st.sampled_from(MESSAGES))
    plain = data.draw(neutral.plain_messages(m, for_json=False))
    message, reference = neutral.ours(m, plain), neutral.theirs(m, plain)
    assert type(reference).FromString(OUR_WIRE.encoder(m)(message)) == reference
    assert OUR_WIRE.decoder(m)(reference.SerializeToString()) == message


@pytest.fixture(scope="module")
def wire(trial: Contracts) -> Wire:
    return Wire(trial)


@pytest.fixture(scope="module")
def everything(trial: Contracts) -> Message:
    return trial.messages["trial.v1.Everything"]


@pytest.mark.soak
@given(data=st.data())
def test_every_type_travels_as_protobuf_says(data: st.DataObject, wire: Wire, everything: Message) -> None:
    plain = data.draw(neutral.plain_messages(everything, for_json=False))
    message, reference = neutral.ours(everything, plain), neutral.theirs(everything, plain)
    assert type(reference).FromString(wire.encoder(everything)(message)) == reference
    assert wire.decoder(everything)(reference.SerializeToString()) == message


def types_in(value: object) -> object:
    """The types of everything inside of a message, and the order of maps."""
    match value:
        case list():
            return [types_in(item) for item in value]
        case dict():
            return [(key, types_in(item)) for key, item in value.items()]
        case _ if dataclasses.is_dataclass(value):
            return type(value), {f.name: types_in(getattr(value, f.name)) for f in dataclasses.fields(value)}
        case _:
            return type(value)


@pytest.mark.soak
@given(data=st.data())
def test_a_copy_is_what_comes_off_the_wire(data: st.DataObject, wire: Wire, everything: Message) -> None:
    message = neutral.ours(everything, data.draw(neutral.plain_messages(everything, for_json=False)))
    copy, back = wire.copier(everything)(message), wire.decoder(everything)(wire.encoder(everything)(message))
    assert copy == message == back
    assert types_in(copy) == types_in(back)


def test_maps_are_ordered_by_key_in_bytes_in_messages_and_in_copies() -> None:
    labels = dict.fromkeys(sorted("projectlabels", reverse=True), "x") | {"é": "x", "\U0001f600": "x", "\ufffd": "x"}
    message = PROJECT.cls(labels=labels)
    encoded = OUR_WIRE.encoder(PROJECT)(message)
    assert [encoded.index(b"\n" + bytes([len(key.encode())]) + key.encode()) for key in sorted(labels)] == sorted(
        encoded.index(b"\n" + bytes([len(key.encode())]) + key.encode()) for key in labels
    )
    assert list(OUR_WIRE.decoder(PROJECT)(encoded).labels) == sorted(labels)
    assert list(OUR_WIRE.copier(PROJECT)(message).labels) == sorted(labels)


def test_an_empty_message_inside_is_still_there(wire: Wire, everything: Message) -> None:
    inner = next(f.message for f in everything.fields if f.name == "message")
    assert inner is not None
    message = everything.cls(message=inner.cls(), time=datetime(1970, 1, 1, tzinfo=UTC), wrapped_string="")
    back = wire.decoder(everything)(wire.encoder(everything)(message))
    assert back.message == inner.cls()
    assert back.time == datetime(1970, 1, 1, tzinfo=UTC)
    assert back.wrapped_string == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("int32", 2**31),
        ("uint32", -1),
        ("uint64", 2**64),
        ("int64", 1.5),
        ("int64", "1"),
        ("int64", True),
        ("bool", "yes"),
        ("double", "1"),
        ("float", 1e300),
        ("maybe_float", 1e300),
        ("floats", [1e300]),
        ("float_by_string", {"a": 1e300}),
        ("string", "\ud800"),
        ("strings", ["\ud800"]),
        ("string_by_string", {"\ud800": ""}),
        ("string", None),
        ("strings", None),
        ("strings", [None]),
        ("string_by_string", {"a": None}),
        ("bytes", "text"),
        ("colour", 2**31),
        ("colour", "COLOUR_RED"),
        ("time", datetime(2026, 1, 1)),
        ("times", [datetime(2026, 1, 1)]),
        ("time", "2026-01-01T00:00:00Z"),
        ("span", timedelta.max),
        ("message", 5),
        ("messages", [None]),
        ("message_by_string", {"a": None}),
    ],
)
def test_what_the_wire_cannot_carry_is_refused_by_name(
    wire: Wire, everything: Message, field: str, value: object
) -> None:
    message = everything.cls(**{field: value})
    for carry in (wire.encoder(everything), wire.copier(everything)):
        with pytest.raises(ValueError, match=r"trial\.v1\.Everything"):
            carry(message)


@pytest.mark.parametrize(("field", "value"), [("string", "hunter2\ud800"), ("bytes", "hunter2"), ("time", "hunter2")])
def test_a_refusal_never_shows_the_value(wire: Wire, everything: Message, field: str, value: object) -> None:
    for carry in (wire.encoder(everything), wire.copier(everything)):
        with pytest.raises(ValueError, match="Everything") as refused:
            carry(everything.cls(**{field: value}))
        assert "hunter2" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    ("field", "value", "becomes"),
    [
        ("bool", 1, True),
        ("double", 1, 1.0),
        ("string", b"text", "text"),
        ("float", 0.1, 0.10000000149011612),
    ],
)
def test_what_protobuf_takes_for_a_value_is_taken_by_both(
    wire: Wire, everything: Message, field: str, value: object, becomes: object
) -> None:
    message = everything.cls(**{field: value})
    for back in (wire.decoder(everything)(wire.encoder(everything)(message)), wire.copier(everything)(message)):
        assert getattr(back, field) == becomes
        assert type(getattr(back, field)) is type(becomes)


def test_not_a_number_travels(wire: Wire, everything: Message) -> None:
    message = everything.cls(double=float("nan"), float=float("-inf"))
    assert wire.decoder(everything)(wire.encoder(everything)(message)) == message
    assert wire.copier(everything)(message) == message


def test_unknown_enum_numbers_survive_and_unknown_fields_do_not(wire: Wire, trial: Contracts) -> None:
    query, happened = trial.messages["trial.v1.Query"], trial.messages["trial.v1.Happened"]
    newer = wire.encoder(query)(query.cls(name="kept", numbers=[1, 2]))
    assert wire.decoder(happened)(newer) == happened.cls(id="kept")
    assert wire.encoder(happened)(wire.decoder(happened)(newer)) == wire.encoder(happened)(happened.cls(id="kept"))
    everything = trial.messages["trial.v1.Everything"]
    colour = type(everything.cls().colour)
    assert wire.decoder(everything)(wire.encoder(everything)(everything.cls(colour=colour(77)))).colour == 77


@pytest.mark.parametrize("how", ["encoder", "copier"])
def test_two_members_of_a_oneof_are_refused(how: str) -> None:
    carry = getattr(OUR_WIRE, how)(CHANGE)
    with pytest.raises(ValueError, match="revoked"):
        carry(CHANGE.cls(session_id="a", subject="b"))


def test_a_copy_shares_nothing_that_can_change() -> None:
    labels = {"a": "b"}
    copy = OUR_WIRE.copier(PROJECT)(PROJECT.cls(labels=labels))
    copy.labels["a"] = "c"
    assert labels == {"a": "b"}


def test_times_are_copied_into_utc() -> None:
    there = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    message = PROJECT.cls(created_at=there)
    for back in (OUR_WIRE.copier(PROJECT)(message), OUR_WIRE.decoder(PROJECT)(OUR_WIRE.encoder(PROJECT)(message))):
        assert back.created_at == there
        assert back.created_at.tzinfo is UTC


@pytest.mark.parametrize(
    "data", [b"\xff\xff", b"\x0a\x01\xff", b"\x4a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x10\x00"]
)
def test_bytes_that_are_no_message_are_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="no acme"):
        OUR_WIRE.decoder(PROJECT)(data)


def test_messages_of_another_load_are_refused() -> None:
    with pytest.raises(KeyError, match="other contracts"):
        OUR_WIRE.encoder(load("acme.contracts").messages[PROJECT.name])
