"""Ids sort by time, never repeat, and are UUIDv7 inside."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.drivers.clock import SystemClock
from acme.ids import is_id, new_id


class At(SystemClock):
    """A clock that stands."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def time(self) -> float:
        return self.seconds


def as_uuid(text: str) -> uuid.UUID:
    number = 0
    for letter in text.rpartition("_")[2]:
        number = number << 5 | "0123456789abcdefghjkmnpqrstvwxyz".index(letter)
    return uuid.UUID(int=number)


@given(seconds=st.floats(0, 200_000_000))
def test_an_id_is_a_uuid_of_version_7_and_variant_rfc_9562(seconds: float) -> None:
    inside = as_uuid(new_id("prj", At(seconds)))
    assert (inside.version, inside.variant) == (7, uuid.RFC_4122)
    assert abs((inside.int >> 80) - seconds * 1000) <= 1


@given(a=st.integers(0, 10**12), b=st.integers(0, 10**12))
def test_ids_sort_by_the_time_they_were_made(a: int, b: int) -> None:
    earlier, later = sorted((a, b))
    if later // 1 > earlier:
        assert new_id("prj", At(earlier / 10)) < new_id("prj", At(later / 10))


def test_ids_made_one_after_the_other_sort_in_that_order() -> None:
    made = [new_id("prj", SystemClock()) for _ in range(1000)]
    assert made == sorted(made)


def test_ten_thousand_ids_of_one_moment_differ() -> None:
    assert len({new_id("prj", At(1)) for _ in range(10_000)}) == 10_000


def test_a_new_id_has_the_shape_of_its_type_and_of_no_other() -> None:
    made = new_id("prj", SystemClock())
    assert is_id(made, "prj")
    assert not is_id(made, "usr")
    assert not is_id(made, "pr")


@pytest.mark.parametrize(
    "text",
    ["", "prj", "prj_", "prj_1", "prj_81z7zzzzzzzzzzzzzzzzzzzzzz", "prj_01m81zh4rdeqtapc2ewknzfbri", "PRJ_" + "0" * 26,
     "prj_" + "0" * 27, "prj_" + "0" * 26 + "\n", " prj_" + "0" * 26, "prj_" + "U" * 26],
)  # fmt: skip
def test_anything_else_is_not_an_id(text: str) -> None:
    assert not is_id(text, "prj")
