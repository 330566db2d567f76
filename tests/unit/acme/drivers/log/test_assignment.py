"""Even, and with as few moves as that takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acme.drivers.log.assignment import assign

NAMES = st.sampled_from([f"member-{number}" for number in range(6)])


@given(st.sets(NAMES, min_size=1), st.integers(0, 30), st.data())
def test_members_that_want_the_same_differ_by_one_and_nothing_moves_that_need_not(
    members: set[str], count: int, data: st.DataObject
) -> None:
    former = data.draw(st.fixed_dictionaries({place: st.none() | NAMES for place in range(count)}))
    found = assign({name: ["t"] for name in members}, dict.fromkeys(range(count), "t"), former)
    numbers = sorted([list(found.values()).count(name) for name in members])
    assert sum(numbers) == count
    assert numbers[-1] - numbers[0] <= 1
    # As many stay as can: each keeps what it had, up to the larger share, which only so many may have.
    had = sorted((sum(one == name for one in former.values()) for name in members), reverse=True)
    small, larger = divmod(count, len(members))
    most = sum(min(number, small + (index < larger)) for index, number in enumerate(had))
    assert sum(former[place] == name for place, name in found.items()) == most


@given(st.dictionaries(NAMES, st.sets(st.sampled_from("abc"))), st.integers(0, 20))
def test_everybody_has_only_what_it_wants_and_what_is_wanted_is_read(members: dict[str, set[str]], count: int) -> None:
    places = {place: "abc"[place % 3] for place in range(count)}
    found = assign(members, places, {})
    for place, name in found.items():
        if name is None:
            assert not any(places[place] in topics for topics in members.values())
        else:
            assert places[place] in members[name]


@given(st.dictionaries(NAMES, st.sets(st.sampled_from("abc"))), st.integers(0, 20))
def test_an_assignment_is_left_as_it_is(members: dict[str, set[str]], count: int) -> None:
    places = {place: "abc"[place % 3] for place in range(count)}
    found = assign(members, places, {})
    assert assign(members, places, found) == found


def test_a_member_that_joins_takes_its_share_and_the_others_keep_theirs() -> None:
    places = dict.fromkeys(range(12), "t")
    two = assign({"a": ["t"], "b": ["t"]}, places, {})
    three = assign({"a": ["t"], "b": ["t"], "c": ["t"]}, places, two)
    assert sorted(map(str, three.values())) == ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    assert sum(two[place] != three[place] for place in places) == 4


def test_topics_of_one_group_are_spread_each_by_itself_at_first() -> None:
    places = {place: "a" if place < 6 else "b" for place in range(12)}
    found = assign({"x": ["a", "b"], "y": ["a", "b"]}, places, {})
    assert [found[place] for place in range(6)].count("x") == 3
