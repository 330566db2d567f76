"""Parameters of a path or a query are read strictly, and a refusal says what is allowed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from acme.codec.text import parser
from acme.contract import Contracts, Field


def field(trial: Contracts, name: str) -> Field:
    return next(f for f in trial.messages["trial.v1.Everything"].fields if f.name == name)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("string", "é", "é"),
        ("string", "", ""),
        ("bool", "true", True),
        ("int32", "-2147483648", -(2**31)),
        ("uint64", "9007199254740991", 2**53 - 1),
        ("int32s", "7", 7),
        ("double", "1.5e3", 1500.0),
        ("double", "-0.5", -0.5),
        ("bytes", "AP8=", b"\x00\xff"),
        ("colour", "COLOUR_BLUE", 5),
        ("time", "2026-01-31T13:00:00+01:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("span", "1.5s", timedelta(seconds=1.5)),
        ("wrapped_int32", "5", 5),
    ],
)
def test_a_parameter_is_read_as_its_type(trial: Contracts, name: str, text: str, value: Any) -> None:
    assert parser(field(trial, name))(text) == value


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("string", "a\0b", "U\\+0000"),
        ("string", "\udcff", "UTF-8"),
        ("bool", "1", "true or false"),
        ("bool", "True", "true or false"),
        ("int32", "", "integer from -2147483648 to 2147483647"),
        ("int32", " 1", "integer"),
        ("int32", "1_0", "integer"),
        ("int32", "١", "integer"),
        ("int32", "2147483648", "integer"),
        ("int64", "9007199254740992", "integer"),
        ("int64", "9" * 5000, "integer"),
        ("double", "nan", "a number"),
        ("double", "1e999", "a number"),
        ("float", "1e39", "a number"),
        ("bytes", "*", "base64"),
        ("colour", "5", "one of COLOUR_UNSPECIFIED, COLOUR_RED"),
        ("time", "2026-01-31", "RFC 3339"),
        ("time", "2026-01-31T12:00:00", "RFC 3339"),
        ("span", "1", "duration"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(trial: Contracts, name: str, text: str, allowed: str) -> None:
    with pytest.raises(ValueError, match=f"must .*{allowed}"):
        parser(field(trial, name))(text)


def test_objects_are_no_parameters(trial: Contracts) -> None:
    with pytest.raises(TypeError, match="no parameter holds"):
        parser(field(trial, "message"))
