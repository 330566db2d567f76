"""Addresses that fail where others do not: when one is left out, for how long, and what its callers see of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.contracts.authority.v1 import AuthorityStub, ChangesReply, ChangesRequest
from acme.dispatch.outliers import Limits, Outliers
from acme.dispatch.remote import Remote
from acme.errors import Conflict, Refused, Unavailable
from tests.unit.acme.dispatch.town import QUICK, Town, Worker, asking, until

ASK = ChangesRequest(since=1)
FEW = Limits(failures=3, away=10.0, most=40.0)
EJECTED = "acme_remote_ejections_total"


def failing(outliers: Outliers[str], place: str, count: int, now: float, times: int = 3, method: str = "m") -> float:
    """Failures at one place with a success at another between them; for how long that sends it away."""
    seconds = 0.0
    for _ in range(times):
        seconds = seconds or outliers.failed(place, method, count, now)
        outliers.succeeded("good", method, now)
    return seconds


def test_failures_in_a_row_send_an_address_away_that_others_do_not_share() -> None:
    outliers = Outliers[str](FEW)
    assert failing(outliers, "bad", 2, 0.0) == 10.0
    assert outliers.away("bad", 9.9)
    assert not outliers.away("bad", 10.0)
    assert not outliers.away("good", 0.0)


def test_a_success_between_them_begins_the_row_anew() -> None:
    outliers = Outliers[str](FEW)
    for _ in range(10):
        assert failing(outliers, "bad", 2, 0.0, times=2) == 0.0
        outliers.succeeded("bad", "m", 0.0)


def test_what_fails_everywhere_is_no_addresss_fault() -> None:
    outliers = Outliers[str](FEW)
    for _ in range(20):
        assert outliers.failed("a", "m", 2, 0.0) == 0.0
        assert outliers.failed("b", "m", 2, 0.0) == 0.0


def test_another_methods_success_proves_nothing() -> None:
    outliers = Outliers[str](FEW)
    for _ in range(20):
        assert outliers.failed("bad", "m", 2, 0.0) == 0.0
        outliers.succeeded("good", "other", 0.0)


def test_each_time_is_twice_as_long_up_to_a_limit_and_good_times_are_remembered_too() -> None:
    outliers, now, seconds = Outliers[str](FEW), 0.0, list[float]()
    for _ in range(4):
        seconds.append(failing(outliers, "bad", 2, now))
        now += seconds[-1]
    assert seconds == [10.0, 20.0, 40.0, 40.0]
    outliers.succeeded("bad", "m", now + 1)
    assert failing(outliers, "bad", 2, now + 1) == 40.0
    now += 1 + 40 + 41
    outliers.succeeded("bad", "m", now)
    assert failing(outliers, "bad", 2, now) == 10.0


def test_at_most_half_of_the_addresses_are_away() -> None:
    outliers = Outliers[str](FEW)
    assert failing(outliers, "only", 1, 0.0, times=20) == 0.0
    assert failing(outliers, "a", 4, 0.0) == 10.0
    assert failing(outliers, "b", 4, 0.0) == 10.0
    assert failing(outliers, "c", 4, 0.0, times=20) == 0.0
    assert failing(outliers, "c", 4, 10.0, times=20) == 10.0


def test_it_can_be_switched_off_and_forgets_addresses_that_are_gone() -> None:
    assert failing(Outliers[str](Limits(failures=0)), "bad", 2, 0.0, times=100) == 0.0
    outliers = Outliers[str](FEW)
    assert failing(outliers, "bad", 2, 0.0) == 10.0
    outliers.forget("bad")
    assert not outliers.away("bad", 0.0)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.sampled_from("mn"), st.floats(0, 5))))
def test_whatever_happens_half_of_the_addresses_get_calls(calls: list[tuple[str, bool, str, float]]) -> None:
    outliers, now = Outliers[str](FEW), 0.0
    for place, well, method, pause in calls:
        now += pause
        if well:
            outliers.succeeded(place, method, now)
        else:
            outliers.failed(place, method, 4, now)
        assert sum(outliers.away(each, now) for each in "abcd") <= 2


# ---- through a target ------------------------------------------------------------------------------------------------


async def two(town: Town, limits: Limits) -> tuple[Remote, Worker, Worker]:
    good, bad = await town.worker(), await town.worker()
    return town.remote(good.address, bad.address, settings=replace(QUICK, outliers=limits)), good, bad


async def ask(town: Town, remote: Remote) -> int:
    """Which worker answered; 0 for none."""
    with asking():
        try:
            return (await town.client(AuthorityStub, remote).changes(ASK)).latest
        except Refused:
            return 0


def scripted(worker: Worker, error: Callable[[], BaseException]) -> list[int]:
    """Makes it fail; counts its calls."""
    calls: list[int] = []

    async def fail(_message: ChangesRequest) -> ChangesReply:
        calls.append(1)
        raise error()

    worker.authority.script = fail
    return calls


@pytest.mark.parametrize("error", [lambda: RuntimeError("a fault"), lambda: Unavailable("no disk")])
async def test_an_address_that_only_fails_gets_no_calls_while_there_is_another(
    town: Town, error: Callable[[], BaseException]
) -> None:
    remote, _, bad = await two(town, Limits(failures=3, away=60.0))
    calls = scripted(bad, error)
    await remote.settle(5.0)
    answers = [await ask(town, remote) for _ in range(60)]
    assert answers.count(0) == len(calls) <= 20  # three, and as many as came before the first that succeeded elsewhere
    assert answers[-20:] == [1] * 20
    assert sorted(view.state for view in remote.view()) == ["outlier", "ready"]
    assert town.counted(EJECTED) == 1


async def test_it_comes_back_when_its_time_is_over(town: Town) -> None:
    remote, _, bad = await two(town, Limits(failures=3, away=0.05))
    well = bad.authority.script
    scripted(bad, lambda: RuntimeError("a fault"))
    await remote.settle(5.0)
    while not town.counted(EJECTED):
        await ask(town, remote)
    bad.authority.script = well
    answers: list[int] = []

    async def both() -> bool:
        answers.append(await ask(town, remote))
        return {1, 2} <= set(answers)

    async with asyncio.timeout(5):
        while not await both():
            pass


async def test_refusals_are_answers(town: Town) -> None:
    remote, _, bad = await two(town, Limits(failures=3, away=60.0))
    calls = scripted(bad, lambda: Conflict("It is archived."))
    await remote.settle(5.0)
    for _ in range(60):
        await ask(town, remote)
    assert len(calls) > 3
    assert town.counted(EJECTED) == 0


async def test_an_address_where_calls_hang_is_left_out_too(town: Town) -> None:
    remote, _, bad = await two(town, Limits(failures=3, away=60.0, late=0.05))
    hangs: list[int] = []

    async def hang(_message: ChangesRequest) -> ChangesReply:
        hangs.append(1)
        await asyncio.Event().wait()
        raise AssertionError

    bad.authority.script = hang
    await remote.settle(5.0)
    client = town.client(AuthorityStub, remote)
    for _ in range(60):
        with asking(), suppress(Refused):
            await client.changes(ASK, timeout=0.1)
    assert 3 <= len(hangs) <= 20
    await until(lambda: town.counted(EJECTED) == 1)


async def test_impatient_callers_leave_no_address_out(town: Town) -> None:
    remote, _, bad = await two(town, Limits(failures=3, away=60.0, late=60.0))

    async def hang(_message: ChangesRequest) -> ChangesReply:
        await asyncio.Event().wait()
        raise AssertionError

    bad.authority.script = hang
    await remote.settle(5.0)
    client = town.client(AuthorityStub, remote)
    for _ in range(30):
        with asking(), suppress(Refused):
            await client.changes(ASK, timeout=0.02)
    assert town.counted(EJECTED) == 0
