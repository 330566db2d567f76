"""A renderer says what the JSON of a copy says, and refuses what a copy, or its JSON, refuses."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.codec.json import Json
from acme.codec.wire import Wire
from acme.contract import Contracts, Message, load
from tests import neutral

OURS = load("acme.contracts")
MESSAGES = [m for name, m in sorted(OURS.messages.items()) if name.startswith("acme.")]
CHANGE = OURS.messages["acme.authority.v1.Change"]


class Number(IntEnum):
    ONE = 1


class Text(str):
    __slots__ = ()


def outcome(say: Callable[[Any], bytes], message: Any) -> bytes | str:
    try:
        return say(message)
    except ValueError as refused:
        return str(refused)


def copied(contracts: Contracts, m: Message) -> Callable[[Any], bytes]:
    """The JSON of a copy."""
    copy, encode = Wire(contracts).copier(m), Json(contracts).encoder(m)
    return lambda message: encode(copy(message))


OUR_JSON = Json(OURS)
OUR_COPIES = {m.name: copied(OURS, m) for m in MESSAGES}


@pytest.mark.soak
@given(data=st.data())
def test_our_messages_look_as_copies_of_them(data: st.DataObject) -> None:
    m = data.draw(st.sampled_from(MESSAGES))
    message = neutral.ours(m, data.draw(neutral.plain_messages(m, for_json=True)))
    assert OUR_JSON.renderer(m)(message) == OUR_COPIES[m.name](message)


@pytest.fixture(scope="module")
def everything(trial: Contracts) -> Message:
    return trial.messages["trial.v1.Everything"]


@pytest.fixture(scope="module")
def both(trial: Contracts, everything: Message) -> tuple[Callable[[Any], bytes], Callable[[Any], bytes]]:
    return Json(trial).renderer(everything), copied(trial, everything)


class Moment(datetime):
    pass


class Whole(int):
    pass


NASTY: list[Any] = [
    *(Whole(5), Moment(2026, 1, 1, tzinfo=UTC), Moment(2026, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
    *(None, True, 0, 1, -1, 2**31, 2**53, -(2**53), 2**64, Number.ONE, 1.5, 0.1, 1e300, float("nan"), float("inf")),
    *("", "é", "\ud800", Text("text"), b"text", b"\xff", bytearray(b"x"), "2026-01-01T00:00:00Z"),
    *(
        datetime(2026, 1, 1),
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    ),
    *(timedelta.max, timedelta(seconds=-1.5), object(), ["a"], ("a", "b"), {"b": "a", "a": "b"}),
    *({"\ud800": "a"}, {1: 2}, {"a": None}, {True: "a"}, {"a": 5}, ["a", 5], [None], [1, 2], [2**53], [0.1], "abc"),
]


@pytest.mark.soak
@given(data=st.data())
def test_whatever_a_handler_returns_is_said_or_refused_like_a_copy_of_it(
    data: st.DataObject, everything: Message, both: tuple[Callable[[Any], bytes], Callable[[Any], bytes]]
) -> None:
    field = data.draw(st.integers(-1, len(everything.fields) - 1))
    value = NASTY[data.draw(st.integers(0, len(NASTY) - 1))]
    message = neutral.ours(everything, data.draw(neutral.plain_messages(everything, for_json=False)))
    if field >= 0:
        setattr(message, everything.fields[field].attr, value)
    said, expected = [outcome(say, message) for say in both]
    if isinstance(expected, bytes):
        assert said == expected
    else:  # of two faults, the copy finds the wire's first, and the renderer that of the first field
        assert isinstance(said, str)


def test_every_field_judges_every_kind_of_value_like_a_copy(
    everything: Message, both: tuple[Callable[[Any], bytes], Callable[[Any], bytes]]
) -> None:
    renderer, copy = both
    refused = 0
    for f in everything.fields:
        for value in NASTY:
            for text in ("plain", "é"):
                message = everything.cls(string=text)
                setattr(message, f.attr, value)
                said = outcome(renderer, message)
                assert said == outcome(copy, message), (f.name, value)
                refused += isinstance(said, str)
    assert refused > len(everything.fields)


@pytest.mark.parametrize(("field", "value"), [("string", "hunter2\ud800"), ("bytes", "hunter2"), ("time", "hunter2")])
def test_a_refusal_never_shows_the_value(trial: Contracts, everything: Message, field: str, value: object) -> None:
    with pytest.raises(ValueError, match="Everything") as refused:
        Json(trial).renderer(everything)(everything.cls(**{field: value}))
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


def test_maps_are_in_the_order_of_their_keys() -> None:
    project = OURS.messages["acme.projects.v1.Project"]
    said = OUR_JSON.renderer(project)(project.cls(labels={"b": "é", "a": "2"}))
    assert '"labels":{"a":"2","b":"é"}'.encode() in said


def test_two_members_of_a_oneof_are_refused() -> None:
    with pytest.raises(ValueError, match="revoked"):
        OUR_JSON.renderer(CHANGE)(CHANGE.cls(session_id="a", subject="b"))


def test_messages_of_another_load_are_refused() -> None:
    with pytest.raises(KeyError, match="other contracts"):
        OUR_JSON.renderer(load("acme.contracts").messages[CHANGE.name])
