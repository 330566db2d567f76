"""How much a bucket gives, for whatever comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.gcra import SECOND, Limit, admit

START = 1_790_000_000 * SECOND
"""Some time."""


def admitted(limit: Limit, times: list[int]) -> list[int]:
    """The times of those that were let through."""
    tat, through = 0, []
    for now in times:
        tat, spare = admit(tat, now, limit)
        if spare >= 0:
            through.append(now)
    return through


def test_a_full_bucket_gives_its_burst_and_then_one_an_interval() -> None:
    limit = Limit(rate=10, burst=3)
    assert (limit.interval, limit.tolerance) == (SECOND // 10, 3 * SECOND // 10)
    assert len(admitted(limit, [START] * 5)) == 3
    assert admitted(limit, [START] * 3 + [START + limit.interval - 1, START + limit.interval]) == [START] * 3 + [
        START + limit.interval
    ]


def test_spare_says_what_is_left_and_when_there_is_more() -> None:
    limit = Limit(rate=2, burst=4)
    tat, spare = admit(0, START, limit)
    assert (limit.left(spare), limit.more(spare)) == (3, SECOND // 2)
    tat, spare = admit(tat, START + SECOND // 10, limit)
    assert (limit.left(spare), limit.more(spare)) == (2, SECOND // 2 - SECOND // 10)
    for _ in range(3):
        tat, spare = admit(tat, START + SECOND // 10, limit)
    assert spare < 0
    assert (limit.left(spare), limit.more(spare)) == (0, SECOND // 2 - SECOND // 10)
    assert admit(tat, START + SECOND // 10 + limit.more(spare), limit)[1] >= 0
    assert admit(tat, START + SECOND // 10 + limit.more(spare) - 1, limit)[1] < 0


def test_a_refusal_takes_nothing() -> None:
    limit = Limit(rate=1, burst=1)
    tat, _ = admit(0, START, limit)
    for _ in range(100):
        tat, spare = admit(tat, START + SECOND - 1, limit)
        assert spare == -1
    assert admit(tat, START + SECOND, limit)[1] == 0


def test_several_units_are_taken_whole_or_not() -> None:
    limit = Limit(rate=1, burst=5)
    tat, spare = admit(0, START, limit, 3)
    assert limit.left(spare) == 2
    assert admit(tat, START, limit, 3)[1] < 0
    assert admit(tat, START, limit, 2)[1] == 0


def test_a_clock_that_is_set_back_costs_no_more_than_an_empty_bucket() -> None:
    limit = Limit(rate=1, burst=5)
    tat, _ = admit(0, START + 3600 * SECOND, limit)
    tat, spare = admit(tat, START, limit)
    assert limit.more(spare) == SECOND
    assert admit(tat, START + SECOND, limit)[1] == 0


def test_a_share_is_a_part_of_rate_and_burst() -> None:
    share = Limit(rate=9, burst=10).share(3)
    assert (share.rate, share.burst) == (3, 3)
    assert Limit(rate=1, burst=2).share(5).burst == 1


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0), (2e9, 1)])
def test_what_is_no_limit_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="a limit has a rate"):
        Limit(rate, burst)


@given(
    st.floats(min_value=0.001, max_value=1e6),
    st.integers(min_value=1, max_value=50),
    st.lists(st.integers(min_value=0, max_value=3 * SECOND), max_size=80),
)
def test_never_more_than_the_burst_and_what_comes_back_is_admitted_between_two_moments(
    rate: float, burst: int, gaps: list[int]
) -> None:
    limit, now = Limit(rate, burst), START
    through = admitted(limit, [now := now + gap for gap in gaps])
    for first, begin in enumerate(through):
        for last in range(first, len(through)):
            # In whole numbers: count ≤ burst + (b − a) / interval, where 1 / interval is at most the rate.
            assert (last - first + 1 - burst) * limit.interval <= through[last] - begin
    assert limit.interval >= SECOND / rate
