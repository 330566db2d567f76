"""What one service may take of the gateway: places, the queue for them, and the circuit; alone, and through the gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from acme.contract import Contracts
from acme.errors import Conflict, DeadlineExceeded, Unavailable
from acme.gateway.lanes import Lane, Lanes
from acme.gateway.service_settings import ServiceSettings
from acme.telemetry import Metrics
from tests.unit.acme.dispatch.town import soon, until
from tests.unit.acme.gateway import streaming
from tests.unit.acme.gateway.rig import CONTRACTS, ID, Rig, running
from tests.waiting import sample

PROJECTS = "acme.projects.v1.Projects"
SETTINGS = "acme.projects.v1.ProjectSettings"
ONE = f"/v1/projects/{ID}"


def lane(most: int = 2, queue: int = 0, wait: float = 5.0, failures: int = 0, pause: float = 1.0) -> Lane:
    refused = Metrics().counter("acme_gateway_service_refused_total", "", ("rpc_service", "reason"))
    made = Lane("s", "service_busy", refused)
    made.configure(most, queue, wait, failures, pause)
    return made


async def take(one: Lane, due: float = float("inf")) -> None:
    if one.free < 1:
        await one.enter(due)
    one.free -= 1


def end(one: Lane) -> None:
    one.free += 1
    if one.eventful:
        one.answered()


LOST = Unavailable("x", reason="outcome_unknown")


async def test_a_place_more_than_there_are_is_refused_and_one_that_comes_back_is_given_again() -> None:
    one = lane(most=2)
    await take(one)
    await take(one)
    with pytest.raises(Unavailable) as caught:
        await take(one)
    assert (caught.value.reason, caught.value.retry_after, one.active) == ("service_busy", 1.0, 2)
    end(one)
    await take(one)
    assert one.active == 2


async def test_who_waits_gets_the_next_place_in_the_order_of_coming() -> None:
    one, got = lane(most=1, queue=3), list[int]()
    await take(one)

    async def wait(name: int) -> None:
        await take(one)
        got.append(name)

    waiting = [soon(wait(name)) for name in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):  # the queue is bounded
        await take(one)
    for name in range(3):
        end(one)
        await waiting[name]
        assert got == list(range(name + 1))
    assert one.active == 1
    assert one.eventful is False
    end(one)
    assert one.active == 0


async def test_nobody_overtakes_who_was_given_a_place() -> None:
    one = lane(most=1, queue=1)
    await take(one)
    waiting = soon(take(one))
    await asyncio.sleep(0)
    end(one)  # it is given, and its task has not run yet
    assert one.free == 0
    await waiting
    assert one.active == 1


async def test_waiting_has_an_end_and_so_has_the_time_of_a_call() -> None:
    for one, due in ((lane(1, 1, wait=0.01), float("inf")), (lane(1, 1, wait=60), time.monotonic() + 0.01)):
        await take(one)
        with pytest.raises(Unavailable) as caught:
            await take(one, due)
        assert caught.value.reason == "service_busy"
        end(one)
        assert (one.active, one.eventful) == (0, False)
        await take(one)


async def test_who_gives_up_leaves_no_trace_before_and_after_it_was_given_a_place() -> None:
    for given in (False, True):
        one = lane(1, 2)
        await take(one)
        waiting = soon(take(one))
        await asyncio.sleep(0)
        if given:
            end(one)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if not given:
            end(one)
        assert (one.active, one.free) == (0, 1)
        await take(one)


async def test_who_gives_up_in_the_moment_in_which_places_are_handed_out_leaves_no_trace() -> None:
    one = lane(1, 3)
    await take(one)
    leaving, staying = soon(take(one)), soon(take(one))
    await asyncio.sleep(0)
    leaving.cancel()  # its future is cancelled now, and its task has not run yet
    end(one)
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await staying
    assert one.active == 1
    end(one)
    assert (one.active, one.free, one.eventful) == (0, 1, False)


async def test_settings_change_while_calls_are_under_way() -> None:
    one = lane(most=1, queue=1)
    await take(one)
    waiting = soon(take(one))
    await asyncio.sleep(0)
    one.configure(2, 1, 5.0)
    await waiting
    assert one.active == 2
    one.configure(1)
    assert (one.active, one.free) == (2, -1)
    end(one)
    with pytest.raises(Unavailable):
        await take(one)
    end(one)
    await take(one)


@pytest.mark.parametrize(
    ("error", "patient", "counts"),
    [
        (LOST, True, True),
        (LOST, False, True),
        (Unavailable("x", reason="unreachable"), False, True),
        (Unavailable("not today"), True, False),
        (DeadlineExceeded("x"), True, True),
        (DeadlineExceeded("x"), False, False),  # a client that has no patience proves nothing
        (Conflict("x"), True, False),
        (asyncio.CancelledError(), True, False),  # the client has gone
        (RuntimeError("a fault"), True, False),
    ],
    ids=lambda value: str(value),
)
async def test_only_what_brings_no_answer_opens_the_circuit(error: BaseException, patient: bool, counts: bool) -> None:
    one = lane(most=5, failures=2)
    for _ in range(2):
        await take(one)
        one.left(error, patient, None)
    assert one.open is counts
    assert one.active == 0


async def test_an_open_circuit_refuses_at_once_and_closes_with_the_first_answer() -> None:
    one = lane(most=2, failures=1, pause=0.05)
    await take(one)
    one.left(LOST, True, None)
    with pytest.raises(Unavailable) as caught:
        await take(one)
    assert caught.value.reason == "circuit_open"
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 0.05
    await until(lambda: _lets_in(one))
    assert (one.active, one.open) == (1, True)
    end(one)
    assert (one.active, one.open, one.eventful, one.free) == (0, False, False, 2)


def _lets_in(one: Lane) -> bool:
    try:
        take(one).send(None)
    except StopIteration:
        return True
    except Unavailable:
        return False
    raise AssertionError("it waits")


async def test_a_circuit_that_is_switched_off_closes() -> None:
    one = lane(most=2, failures=1, pause=60)
    await take(one)
    one.left(LOST, True, None)
    one.configure(2)
    assert (one.open, one.free) == (False, 2)


def test_each_service_has_what_is_said_of_it_or_of_all() -> None:
    services = [CONTRACTS.services[name] for name in (PROJECTS, SETTINGS)]
    said = {"default": ServiceSettings(concurrency=5), SETTINGS: ServiceSettings(concurrency=7, streams=3)}
    metrics = Metrics()
    lanes = Lanes(services, said, metrics)
    mine, other = (lanes.of(service.methods[0]) for service in services)
    assert (mine.free, other.free) == (5, 7)
    lanes.configure({})
    assert (mine.free, other.free) == (1000, 1000)
    assert sample(metrics, f'acme_gateway_service_calls{{kind="call",rpc_service="{PROJECTS}"}}') == 0


# ---- through the gateway ---------------------------------------------------------------------------------------------


async def held(rig: Rig, count: int) -> tuple[asyncio.Event, list[asyncio.Task[Any]]]:
    """Requests of projects that wait for the event; their tasks."""
    gate = asyncio.Event()

    async def wait(_message: Any) -> None:
        await gate.wait()

    rig.projects.before = wait
    tasks = [soon(rig.ask("GET", ONE)) for _ in range(count)]
    await until(lambda: len(rig.projects.requests) == count)
    return gate, tasks


async def test_a_slow_service_is_refused_and_the_others_are_served() -> None:
    few = {PROJECTS: ServiceSettings(concurrency=3, queue=0)}
    async with running(services=few) as rig:
        gate, tasks = await held(rig, 3)
        refused = await rig.ask("GET", ONE)
        refused.problem(503, "service_busy")
        assert refused.headers["retry-after"] == "1"
        patched = await rig.ask("PATCH", f"{ONE}/settings", {"a": 1}, If_Match='"3"')
        assert patched.status == 200
        gate.set()
        assert [(await task).status for task in tasks] == [200] * 3
        assert (await rig.ask("GET", ONE)).status == 200
        name = f'acme_gateway_service_refused_total{{reason="service_busy",rpc_service="{PROJECTS}"}}'
        assert sample(rig.metrics, name) == 1
        assert sample(rig.metrics, f'acme_gateway_service_calls{{kind="call",rpc_service="{PROJECTS}"}}') == 0


async def test_a_body_that_is_still_coming_takes_no_place() -> None:
    async with running(services={PROJECTS: ServiceSettings(concurrency=1, queue=0)}) as rig, rig.connection() as slow:
        slow.send(rig.request("POST", "/v1/projects", None, Content_Type="application/json", Content_Length="18"))
        slow.send(b'{"name":')
        await until(lambda: rig.gateway.in_flight == 1)
        assert (await rig.ask("GET", ONE)).status == 200
        slow.send(b' "Apollo"}')
        assert (await slow.answer()).json["name"] == "Apollo"


async def test_a_service_that_gives_no_answers_is_left_alone_and_asked_again() -> None:
    settings = ServiceSettings(failures=3, pause=0.2)
    async with running(services={PROJECTS: settings}, timeout=0.1) as rig:
        gate = asyncio.Event()

        async def wait(_message: Any) -> None:
            await gate.wait()

        rig.projects.before = wait
        opened = f'acme_gateway_circuit_open{{rpc_service="{PROJECTS}"}}'
        async with asyncio.timeout(10):
            while not sample(rig.metrics, opened):  # three, and those that began late on a busy machine
                (await rig.ask("GET", ONE)).problem(504, "deadline_exceeded")
        assert len(rig.projects.requests) >= 3
        async with asyncio.timeout(10):
            while True:  # a machine that is busy may be late enough for one that tries
                started, answer = len(rig.projects.requests), await rig.ask("GET", ONE)
                if answer.status == 503:
                    break
        answer.problem(503, "circuit_open")
        assert len(rig.projects.requests) == started
        gate.set()
        answers: list[int] = []

        async def ask() -> bool:
            answers.append((await rig.ask("GET", ONE)).status)
            return answers[-1] == 200

        async with asyncio.timeout(10):
            while not await ask():
                assert answers[-1] == 503
        assert sample(rig.metrics, opened) == 0


async def test_clients_without_patience_open_no_circuit_for_others() -> None:
    async with running(services={PROJECTS: ServiceSettings(failures=2)}) as rig:

        async def wait(_message: Any) -> None:
            await asyncio.Event().wait()

        rig.projects.before = wait
        for _ in range(4):
            (await rig.ask("GET", ONE, X_Request_Timeout="0.02")).problem(504, "deadline_exceeded")
        rig.projects.before = None
        assert (await rig.ask("GET", ONE)).status == 200


@pytest.fixture(name="few")
async def _few(trial: Contracts) -> AsyncIterator[Any]:
    services = {"default": ServiceSettings(streams=1, concurrency=1)}
    async with streaming.running(trial, services=services) as rig:
        yield rig


async def test_streams_are_bounded_apart_from_calls(few: Any) -> None:
    gate = asyncio.Event()

    async def wait(value: int) -> None:
        if value:
            await gate.wait()

    few.projects.hook = wait
    async with few.connection() as listener:
        listener.send(few.request("GET", "/v1/ticks?count=2"))
        await streaming.head_of(listener)
        (await few.ask("GET", "/v1/ticks?count=2")).problem(503, "too_many_streams")
        (await few.ask("PUT", "/v1/blobs/a", b"x")).problem(503, "too_many_streams")
        assert (await few.ask("GET", "/v1/small/a")).status == 200
        gate.set()
        await streaming.unchunked(listener)
    assert (await few.ask("PUT", "/v1/blobs/a", b"x")).status == 201
