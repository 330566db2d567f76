"""What the copier's own judges take and refuse; that whole copies mean the wire is tested in test_wire.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from enum import IntEnum
from typing import Any

import pytest

from acme.codec import copier
from acme.codec.copier import Copier
from acme.contract import load

PROJECT = load("acme.contracts").messages["acme.projects.v1.Project"]


class Number(IntEnum):
    ONE = 1


def test_a_copy_is_equal_and_independent() -> None:
    original = PROJECT.cls(name="é", labels={"a": "b"}, created_at=datetime(2026, 1, 1, tzinfo=UTC), version=3)
    copy = Copier().function(PROJECT)(original)
    assert copy == original
    assert vars(copy).keys() == vars(original).keys()
    assert copy.labels is not original.labels


@pytest.mark.parametrize(
    ("judge", "value", "becomes"),
    [
        (copier.string, "é", "é"),
        (copier.string, b"\xc3\xa9", "é"),
        (copier.boolean, 0, False),
        (copier.number, 1, 1.0),
        (copier.single, 0.1, 0.10000000149011612),
        (copier.octets, b"x", b"x"),
        (copier.time, datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 1, 1, tzinfo=UTC)),
        (copier.span, timedelta(days=1), timedelta(days=1)),
    ],
)
def test_what_stands_for_a_value_becomes_one(judge: Callable[[Any, str], Any], value: Any, becomes: Any) -> None:
    assert judge(value, "field") == becomes
    assert type(judge(value, "field")) is type(becomes)


@pytest.mark.parametrize(
    ("judge", "value"),
    [
        (copier.string, "\ud800"),
        (copier.string, b"\xff"),
        (copier.string, 5),
        (copier.string, None),
        (copier.boolean, 1.0),
        (copier.boolean, "yes"),
        (copier.number, "1"),
        (copier.number, 10**400),
        (copier.single, 1e39),
        (copier.single, "1"),
        (copier.octets, bytearray(b"x")),
        (copier.time, datetime(2026, 1, 1)),
        (copier.time, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        (copier.time, "now"),
        (copier.span, timedelta.max),
        (copier.span, 5),
    ],
)
def test_the_rest_is_refused_by_the_name_of_the_field(judge: Callable[[Any, str], Any], value: Any) -> None:
    with pytest.raises(ValueError, match=r"^a\.b\.field must be "):
        judge(value, "a.b.field")


def test_integers_have_a_range_and_bools_are_none() -> None:
    assert copier.integer(Number.ONE, 0, 5, "f") == 1
    assert type(copier.integer(Number.ONE, 0, 5, "f")) is not bool
    for wrong in (6, -1, True, 1.0, "1", None):
        with pytest.raises(ValueError, match=r"^f must be "):
            copier.integer(wrong, 0, 5, "f")
