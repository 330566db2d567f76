"""Conversions of single values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.codec import values
from tests import neutral


@given(span=neutral.SPANS)
def test_durations_come_back_from_text(span: timedelta) -> None:
    assert values.duration(values.duration_text(span)) == span


@given(span=neutral.SPANS)
def test_both_parts_of_a_duration_have_its_sign(span: timedelta) -> None:
    seconds, nanos = values.seconds_and_nanos(span)
    assert timedelta(seconds=seconds, microseconds=nanos // 1000) == span
    assert seconds * nanos >= 0


@pytest.mark.parametrize("text", ["", "1", "s", "1.s", ".5s", "1 s", "+1s", "1e3s", "1.0123456789s", "--1s", "٣s"])
def test_other_text_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        values.duration(text)


def test_digits_below_a_microsecond_are_dropped() -> None:
    assert values.duration("-0.0000019s") == timedelta(microseconds=-1)


def test_times_move_to_utc() -> None:
    there = datetime(2026, 1, 1, 5, tzinfo=timezone(timedelta(hours=5)))
    assert values.utc(there) == datetime(2026, 1, 1, tzinfo=UTC)
    assert values.utc(there).tzinfo is UTC
    for wrong in (datetime(2026, 1, 1), datetime.max.replace(tzinfo=timezone(-timedelta(hours=1)))):
        with pytest.raises(ValueError, match="time"):
            values.utc(wrong)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_free_json_comes_back_from_messages(value: Any) -> None:
    assert values.plain(values.value_of(value)) == value


def test_whole_numbers_of_free_json_are_printed_as_integers() -> None:
    assert repr(values.plain(values.value_of(3))) == "3"
    assert repr(values.plain(values.value_of(2.0**60))) == repr(2.0**60)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_odd_numbers_do_not_reach_json(number: float) -> None:
    with pytest.raises(ValueError, match="NaN"):
        values.finite(number)
    with pytest.raises(ValueError, match="NaN"):
        values.plain(values.value_of(number))


@pytest.mark.parametrize("number", [2**53, -(2**53)])
def test_integers_that_readers_would_round_do_not_either(number: int) -> None:
    assert values.safe(number - 1 if number > 0 else number + 1)
    with pytest.raises(ValueError, match="round"):
        values.safe(number)


def test_floats_are_rounded_to_32_bits_or_refused() -> None:
    assert values.single(0.1) == 0.10000000149011612
    assert values.single(float("inf")) == float("inf")
    with pytest.raises(ValueError, match="32 bits"):
        values.single(1e39)


def test_field_masks_keep_the_names_of_the_contract() -> None:
    assert values.mask("a_b,c").paths == ["a_b", "c"]
    assert values.mask_text(values.mask("a_b,c")) == "a_b,c"
    assert values.mask("").paths == []


def test_enum_numbers_without_a_name_stand_for_themselves() -> None:
    assert values.Names({1: "ONE"})[7] == 7
    assert values.Members(lambda number: -number)[7] == -7
