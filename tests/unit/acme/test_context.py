"""Who calls, as far as it was proved."""

import pytest

from acme.context import ANONYMOUS, CALL, Call, Kind, Principal, current


def test_nobody_covers_nothing() -> None:
    assert not ANONYMOUS.covers("projects.read")


def test_a_scope_covers_its_permission_and_a_star_covers_all() -> None:
    assert Principal(Kind.USER, "usr_1", scopes=frozenset({"projects.read"})).covers("projects.read")
    assert not Principal(Kind.USER, "usr_1", scopes=frozenset({"projects.read"})).covers("projects.update")
    assert Principal(Kind.USER, "usr_1", scopes=frozenset({"*"})).covers("anything.at.all")


def test_outside_of_a_call_there_is_no_current_call() -> None:
    with pytest.raises(LookupError):
        current()


def test_the_current_call_is_the_one_that_was_set() -> None:
    call = Call("a.B/C", ANONYMOUS, "request", 0.0)
    token = CALL.set(call)
    try:
        assert current() is call
    finally:
        CALL.reset(token)
