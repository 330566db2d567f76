"""The movable clock is one clock for everybody who opened its file."""

from datetime import UTC, timedelta
from pathlib import Path

from acme.drivers.clock import MovableClock, SystemClock


def test_moving_one_clock_moves_every_other_on_the_same_file(tmp_path: Path) -> None:
    one, other = MovableClock(tmp_path / "clock"), MovableClock(tmp_path / "clock")
    one.advance(timedelta(hours=2))
    one.advance(timedelta(hours=1))
    assert abs(other.time() - SystemClock().time() - 3 * 3600) < 5
    other.advance(timedelta(hours=-3))
    assert abs(one.time() - SystemClock().time()) < 5


def test_now_and_time_tell_the_same_moment_in_utc(tmp_path: Path) -> None:
    for clock in (SystemClock(), MovableClock(tmp_path / "clock")):
        assert clock.now().tzinfo is UTC
        assert abs(clock.now().timestamp() - clock.time()) < 5
