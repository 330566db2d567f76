"""What happens to buckets when there are more keys than room."""

from __future__ import annotations

import pytest

from acme.drivers.buckets import SHARED, Buckets, checked_name


def kept(keys: int) -> Buckets[int]:
    """Buckets that are full from the time that they hold."""
    return Buckets[int](keys, int.__le__)


def fill(buckets: Buckets[int], keys: range, now: int, full: int) -> set[str]:
    """Where new keys are kept."""
    places = set()
    for number in keys:
        place = buckets.place(f"k{number}", now)
        buckets.by_key[place] = full
        places.add(place)
    return places


def test_a_key_has_a_bucket_of_its_own_while_there_is_room() -> None:
    assert fill(kept(10), range(10), now=0, full=5) == {f"k{number}" for number in range(10)}


def test_keys_beyond_the_bound_share_a_few_and_push_nobody_out() -> None:
    buckets = kept(10)
    first = fill(buckets, range(10), now=0, full=5)
    shared = fill(buckets, range(10, 10_000), now=4, full=9)
    assert len(shared) == SHARED
    assert not shared & first
    assert len(buckets.by_key) == 10 + SHARED
    assert {buckets.by_key[key] for key in first} == {5}


def test_a_key_shares_the_same_bucket_each_time() -> None:
    buckets = kept(1)
    fill(buckets, range(1), now=0, full=5)
    assert buckets.place("late", 1) == buckets.place("late", 2)


def test_full_buckets_give_way_to_new_keys() -> None:
    buckets = kept(100)
    fill(buckets, range(100), now=0, full=5)
    later = fill(buckets, range(100, 200), now=5, full=9)
    assert later == {f"k{number}" for number in range(100, 200)}
    assert len(buckets.by_key) == 100


def test_buckets_that_are_done_go_without_waiting_for_the_bound() -> None:
    buckets = kept(100_000)
    for second in range(200):
        fill(buckets, range(second * 10, second * 10 + 10), now=second, full=second + 2)
    assert len(buckets.by_key) <= 50


def test_forgetting_makes_room() -> None:
    buckets = kept(2)
    fill(buckets, range(5), now=0, full=5)
    buckets.clear()
    assert fill(buckets, range(2), now=0, full=5) == {"k0", "k1"}


@pytest.mark.parametrize("name", ["", "a:b", "é" * 101])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a meter"):
        checked_name(name)
