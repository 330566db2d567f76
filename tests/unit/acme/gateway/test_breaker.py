"""When a circuit opens, whom it lets through, and when it closes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acme.gateway.breaker import LONGEST, Breaker


def opened(most: int = 3, pause: float = 1.0, now: float = 100.0) -> Breaker:
    breaker = Breaker(most, pause)
    for _ in range(most):
        breaker.failed(now)
    assert breaker.open
    return breaker


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not() -> None:
    breaker = Breaker(3, 1.0)
    assert [breaker.failed(1.0), breaker.failed(1.0), breaker.worked()] == [False, False, False]
    assert [breaker.failed(1.0), breaker.failed(1.0)] == [False, False]
    assert not breaker.open
    assert breaker.failed(1.0)
    assert breaker.open


def test_nothing_opens_one_that_is_switched_off() -> None:
    breaker = Breaker(0, 1.0)
    assert not any(breaker.failed(1.0) for _ in range(1000))
    assert not breaker.open


def test_while_it_is_open_nobody_is_let_through_until_the_pause_is_over_and_then_one_is() -> None:
    breaker = opened()
    assert breaker.admit(100.0) == 1.0
    assert round(breaker.admit(100.9), 3) == 0.1
    assert breaker.admit(101.0) == 0.0
    assert breaker.admit(101.0) > 0
    assert breaker.worked()
    assert not breaker.open
    assert breaker.failures == 0


def test_each_pause_is_twice_as_long_as_the_one_before_up_to_a_limit() -> None:
    breaker, now, pauses = opened(), 100.0, []
    for _ in range(7):
        pauses.append(breaker.admit(now))
        now += pauses[-1]
        assert breaker.admit(now) == 0.0
        assert not breaker.failed(now)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, LONGEST, LONGEST]


def test_calls_that_began_before_it_opened_do_not_make_the_pause_longer() -> None:
    breaker = opened()
    for _ in range(100):
        breaker.failed(100.5)
    assert breaker.admit(101.0) == 0.0


def test_a_try_of_which_nothing_is_known_leaves_the_place_to_another() -> None:
    breaker = opened()
    assert breaker.admit(101.0) == 0.0
    assert breaker.admit(101.0) > 0
    breaker.unclear()
    assert breaker.admit(101.0) == 0.0


@given(st.lists(st.sampled_from(["failed", "worked", "unclear", "wait"]), max_size=60))
def test_whatever_happens_an_open_circuit_lets_one_try_at_a_time_and_always_one_in_the_end(steps: list[str]) -> None:
    breaker, now = Breaker(2, 1.0), 0.0
    for step in steps:
        match step:
            case "wait":
                now += 0.7
            case "failed":
                breaker.failed(now)
            case "worked":
                breaker.worked()
                assert not breaker.open
            case "unclear":
                breaker.unclear()
        if breaker.open:
            assert [breaker.admit(now), breaker.admit(now)].count(0.0) <= 1
    if breaker.open:
        breaker.unclear()
        assert breaker.admit(now + LONGEST) == 0.0
