"""One address over time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from acme.contracts.placement.v1 import Served
from acme.dispatch.address import parse_one
from acme.dispatch.dialed import Dialed
from acme.dispatch.exchange import Lost
from acme.dispatch.place import Place, State
from tests.unit.acme.dispatch.pair import ASK
from tests.unit.acme.dispatch.town import QUICK, Town, hostile, soon, until, vacant


class Asker:
    """Asks a place's connections what the test wants them to be asked."""

    def __init__(self) -> None:
        self.services: Mapping[str, Served] | None = {}
        self.well = True
        self.states: list[State] = []
        self.asked = 0

    async def describe(self, link: Dialed) -> Mapping[str, Served] | None:
        self.asked += 1
        return self.services

    async def healthy(self, link: Dialed) -> bool:
        if not self.well:
            raise Lost("ill", processed=False)
        return True

    def changed(self, place: Place) -> None:
        if self.states[-1:] != [place.state]:
            self.states.append(place.state)


@pytest.fixture
def asker() -> Asker:
    return Asker()


def place(town: Town, asker: Asker, address: str, **settings: float) -> Place:
    where = parse_one(address)
    chosen = replace(QUICK, **settings)  # type: ignore[arg-type]  # all of them are times
    made = Place(where, where, "", None, chosen, asker.describe, asker.healthy, asker.changed, town.tasks)
    made.start()
    return made


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with hostile(lambda *_: None) as (where, _):
        yield where


async def test_a_place_connects_and_connects_again(town: Town, asker: Asker) -> None:
    worker = await town.worker("grpc://127.0.0.1:0")
    one = place(town, asker, worker.address)
    await until(lambda: one.state is State.READY)
    await worker.server.close()
    await until(lambda: one.state is State.FAILING)
    assert one.link is None
    assert "Connect" in one.why or "refused" in one.why or "closed" in one.why
    await town.worker(worker.address)
    await until(lambda: one.state is State.READY)
    await one.close()


async def test_the_pause_between_attempts_grows_and_can_be_cut_short(town: Town, asker: Asker) -> None:
    one = place(town, asker, vacant(), backoff=60, most=60, kick=0.05)
    await until(lambda: one.state is State.FAILING)
    tried = one._tried

    def tried_again() -> bool:
        one.kick()
        return one._tried > tried

    await until(tried_again)
    assert time.monotonic() - tried >= 0.05
    await one.close()


async def test_a_worker_of_ours_is_asked_again_when_somebody_misses_a_service(
    town: Town, asker: Asker, address: str
) -> None:
    one = place(town, asker, address)
    await until(lambda: one.state is State.READY)
    asker.services = {"a": Served(service="a")}

    def known() -> bool:
        one.ask_again()
        return bool(one.services)

    await until(known)
    assert asker.asked >= 2
    asked = asker.asked
    one.ask_again()
    one.ask_again()
    await until(lambda: not one.asking)
    assert asker.asked <= asked + 1
    await one.close()


async def test_a_strangers_health_is_asked_again_and_again(town: Town, asker: Asker, address: str) -> None:
    asker.services = None
    one = place(town, asker, address, health=0.02)
    await until(lambda: one.state is State.READY)
    assert one.healthy
    asker.well = False
    await until(lambda: not one.healthy)
    asker.well = True
    await until(lambda: one.healthy)
    await one.close()


async def test_a_place_that_owes_an_answer_for_too_long_is_silent_and_then_lost(town: Town, asker: Asker) -> None:
    async with hostile(_stop) as (address, _):
        one = place(town, asker, address)
        await until(lambda: one.state is State.READY)
        assert one.link is not None
        call = soon(one.link.ask(ASK, b""))
        await until(one.silent)
        with pytest.raises(Lost, match="does not answer"):
            await call
        await one.close()


async def _stop(*_: object) -> None:
    await asyncio.Event().wait()


async def test_troubles_in_a_row_make_a_place_fail_and_an_answer_between_them_does_not(
    town: Town, asker: Asker, address: str
) -> None:
    one = place(town, asker, address, troubles=2, backoff=60, most=60)
    await until(lambda: one.state is State.READY)
    one.troubled("a")
    one.answered()
    one.troubled("b")
    await asyncio.sleep(0)
    assert one.state is State.READY
    one.troubled("nonsense")
    await until(lambda: one.state is State.FAILING)
    assert one.why == "nonsense"
    await one.close()


async def test_a_retired_place_lets_go(town: Town, asker: Asker, address: str) -> None:
    one = place(town, asker, address)
    await until(lambda: one.state is State.READY)
    link = one.link
    assert link is not None
    one.retire()
    await until(lambda: link.closed)
    assert one.link is None


async def test_time_in_which_this_process_stood_still_is_no_failure_of_the_address(
    town: Town, asker: Asker, address: str
) -> None:
    async def describe(link: Dialed) -> Mapping[str, Served] | None:
        asker.asked += 1
        if asker.asked == 1:
            time.sleep(0.5)  # noqa: ASYNC251 - as on a machine that is busy with others: longer than it may take to connect
            await asyncio.sleep(0.05)  # the way there and back
        return asker.services

    where = parse_one(address)
    settings = replace(QUICK, connect=0.2)
    one = Place(where, where, "", None, settings, describe, asker.healthy, asker.changed, town.tasks)
    one.start()
    await until(lambda: one.state is State.READY)
    assert (asker.asked, asker.states) == (2, [State.READY])
    await one.close()
