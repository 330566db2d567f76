"""What happens to buckets when there are more keys than room."""

from __future__ import annotations

import pytest

from acme.drivers.buckets import SHARED, Buckets, Wider, checked_name


def kept(keys: int, wider: Wider | None = None) -> Buckets[int]:
    """Buckets that are full from the time that they hold."""
    return Buckets[int](keys, int.__le__, wider)


def parent(key: str) -> str:
    """Such as "a.b.c" → "a.b" → "a" → ""."""
    return key.rpartition(".")[0]


def put(buckets: Buckets[int], key: str, now: int, full: int) -> str:
    """Where a new key is kept."""
    place = buckets.place(key, now)
    buckets.by_key[place] = full
    return place


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
    assert put(buckets, "late", now=1, full=9) == buckets.place("late", 2)


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


def test_keys_that_find_no_room_share_with_their_group_and_groups_with_theirs() -> None:
    buckets = kept(2, parent)
    places = [put(buckets, key, now=0, full=9) for key in ("a.a.1", "b.b.1", "a.a.2", "b.b.2", "a.a.3", "a.c.1")]
    assert places[:5] == ["a.a.1", "b.b.1", "a.a", "b", "a.a"], "room for two, one group and one of groups"
    assert places[5].startswith("\0"), "and for none beyond"
    assert put(buckets, "b.d.1", now=0, full=9) == "b"


def test_groups_of_a_flood_give_way_when_it_is_over() -> None:
    buckets = kept(4, parent)
    for number in range(1000):
        put(buckets, f"{number % 7}.{number % 50}.{number}", now=0, full=5)
    assert len(buckets.by_key) <= 4 + 2 + 2 + SHARED
    for number in range(100):
        put(buckets, f"later.{number}.1", now=10, full=10)
    assert len(buckets.by_key) <= 4


def test_a_new_bucket_is_told_of_those_that_its_key_may_have_used() -> None:
    buckets = kept(1, parent)
    put(buckets, "x.x.1", now=0, full=3)
    assert put(buckets, "a.a.1", now=0, full=7) == "a.a"
    assert put(buckets, "a.b.1", now=0, full=8) == "a"
    assert put(buckets, "b.b.1", now=0, full=6).startswith("\0")
    assert buckets.over("a.a.1") == [7, 8]
    assert buckets.over("a.b.2") == [8]
    assert buckets.over("b.b.1") == [6]
    assert not buckets.over("c.c.1")


def test_room_may_become_more_and_less() -> None:
    buckets = kept(1)
    fill(buckets, range(1), now=0, full=5)
    buckets.resize(2)
    assert buckets.place("k1", 0) == "k1"
    buckets.by_key["k1"] = 5
    buckets.resize(1)
    assert buckets.place("k2", 0).startswith("\0")
    assert {"k0", "k1"} <= set(buckets.by_key), "what is in use stays"


def test_forgetting_makes_room() -> None:
    buckets = kept(2)
    fill(buckets, range(5), now=0, full=5)
    buckets.clear()
    assert fill(buckets, range(2), now=0, full=5) == {"k0", "k1"}


@pytest.mark.parametrize("name", ["", "a:b", "é" * 101])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a meter"):
        checked_name(name)
