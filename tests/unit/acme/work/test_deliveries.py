"""The claim loop: once where all goes well, again where it does not, never lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from acme import deliver, events, mail, work
from acme.context import ANONYMOUS, Call, current
from acme.contracts.projects.v1 import ProjectCreated
from acme.drivers.mailbox import Mailbox, mails
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.traces import DELIVERY, EVENT, SQL, Span, Trace, Tracer
from acme.work import Attempt, Deliveries, Handler, UnitFactory, send_mail
from acme.work.deliveries import LONGEST_PAUSE, POLL, pause
from tests.services import CONTRACTS, Stage


class Broken(Exception):
    """What a handler of these tests fails with."""


class Handled:
    """A handler that notes its attempts and does what it is told."""

    def __init__(self, then: Callable[[Attempt], Awaitable[None]] | None = None) -> None:
        self.attempts: list[Attempt] = []
        self._then = then

    async def __call__(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        if self._then is not None:
            await self._then(attempt)


async def breaks(attempt: Attempt) -> None:
    raise Broken("with a secret in its text")


def worker(
    stage: Stage,
    handled: Handled,
    *,
    attempts: int = 3,
    lease: float = 30.0,
    tasks: Tasks | None = None,
    tracer: Tracer | None = None,
) -> Deliveries:
    handlers = {"ping": Handler(handled, attempts)}
    tasks = tasks or stage.tasks
    return Deliveries(stage.units, handlers, tasks=tasks, metrics=stage.metrics, lease=lease, tracer=tracer)


async def ask(stage: Stage, *payloads: bytes) -> None:
    with stage.units.outside():
        async with work():
            for payload in payloads:
                deliver("ping", payload)


async def row(stage: Stage) -> dict[str, Any]:
    (found,) = await stage.sql("SELECT * FROM acme.deliveries")
    return dict(found)


async def until(true: Callable[[], Awaitable[Any]]) -> None:
    deadline = time.monotonic() + 5
    while not await true():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.005)


async def test_a_delivery_is_carried_out_once_and_its_payload_erased(stage: Stage) -> None:
    await ask(stage, b"hello")
    handled = Handled()
    assert await worker(stage, handled).pass_once() == 1
    assert await worker(stage, handled).pass_once() == 0
    (attempt,) = handled.attempts
    kept = await row(stage)
    assert attempt == Attempt(kept["id"], b"hello", 1)
    assert (kept["payload"], kept["last_error"], kept["lease_until"]) == (None, None, None)
    assert kept["done_at"] is not None


async def test_two_workers_share_the_deliveries(stage: Stage) -> None:
    await ask(stage, *(b"%d" % number for number in range(12)))
    handled = Handled()
    await asyncio.gather(worker(stage, handled).pass_once(), worker(stage, handled).pass_once())
    while await worker(stage, handled).pass_once():
        pass
    assert sorted(int(attempt.payload) for attempt in handled.attempts) == list(range(12))
    assert {attempt.number for attempt in handled.attempts} == {1}


async def test_a_failed_delivery_is_tried_again_after_a_pause_and_given_up_in_the_end(stage: Stage) -> None:
    await ask(stage, b"hello")
    handled = Handled(breaks)
    moved = timedelta()
    try:
        for number in (1, 2, 3):
            before = stage.clock.now()
            assert await worker(stage, handled).pass_once() == 1
            kept = await row(stage)
            assert (kept["attempts"], kept["last_error"]) == (number, "Broken")
            assert await worker(stage, handled).pass_once() == 0
            if number < 3:
                assert before < kept["run_at"] <= stage.clock.now() + timedelta(seconds=2 ** (number - 1))
                stage.clock.advance(timedelta(hours=2))
                moved += timedelta(hours=2)
    finally:
        stage.clock.advance(-moved)
    assert kept["failed_at"] is not None
    assert kept["payload"] is not None
    assert {attempt.id for attempt in handled.attempts} == {kept["id"]}
    assert [attempt.number for attempt in handled.attempts] == [1, 2, 3]
    assert stage.count("acme_deliveries_total", outcome="given_up", kind="ping") == 1


async def test_a_worker_that_lost_its_lease_decides_nothing(stage: Stage) -> None:
    await ask(stage, b"hello")
    second = Handled()

    async def overtaken(attempt: Attempt) -> None:
        stage.clock.advance(timedelta(seconds=31))
        await worker(stage, second).pass_once()
        raise Broken

    lost = stage.count("acme_deliveries_total", outcome="lease_lost")
    try:
        await worker(stage, Handled(overtaken)).pass_once()
    finally:
        stage.clock.advance(-timedelta(seconds=31))
    kept = await row(stage)
    assert (kept["attempts"], kept["last_error"], kept["payload"]) == (2, None, None)
    assert [attempt.number for attempt in second.attempts] == [2]
    assert stage.count("acme_deliveries_total", outcome="lease_lost") == lost + 1


async def test_what_kills_the_process_each_time_is_given_up_too(stage: Stage) -> None:
    await ask(stage, b"hello")
    await stage.sql("UPDATE acme.deliveries SET attempts = 3")
    handled = Handled()
    await worker(stage, handled).pass_once()
    kept = await row(stage)
    assert (handled.attempts, kept["last_error"]) == ([], "ProcessLost")
    assert kept["failed_at"] is not None


async def test_a_handler_has_no_longer_than_its_lease(stage: Stage) -> None:
    await ask(stage, b"hello")

    async def hangs(attempt: Attempt) -> None:
        await asyncio.Event().wait()

    await worker(stage, Handled(hangs), lease=0.05).pass_once()
    assert (await row(stage))["last_error"] == "TimeoutError"


async def test_a_payload_of_another_delivery_does_not_open(stage: Stage) -> None:
    await ask(stage, b"hello")
    await stage.sql("UPDATE acme.deliveries SET id = 'dlv_other'")
    handled = Handled()
    await worker(stage, handled).pass_once()
    assert (handled.attempts, (await row(stage))["last_error"]) == ([], "ValueError")


async def test_handlers_run_outside_of_transactions_and_may_open_their_own(stage: Stage) -> None:
    await ask(stage, b"hello")

    async def writes(attempt: Attempt) -> None:
        await stage.units.database.execute("INSERT INTO things (id) VALUES ($1)", attempt.id)
        assert (await stage.counts())[0] == 1
        async with work():
            events.add(ProjectCreated(project_id="prj_1"))

    await worker(stage, Handled(writes)).pass_once()
    assert (await row(stage))["done_at"] is not None
    assert (await stage.counts())[1] == 1


async def test_the_loop_is_woken_by_a_commit(stage: Stage) -> None:
    handled = Handled()
    async with Tasks("loop", Metrics()) as tasks:
        worker(stage, handled, tasks=tasks).start()
        started = time.monotonic()
        for number in range(1, 6):
            await ask(stage, b"hello")
            await until(lambda: stage.value("SELECT bool_and(done_at IS NOT NULL) FROM acme.deliveries"))
            assert len(handled.attempts) == number
        assert time.monotonic() - started < 4 * POLL, "it was the poll that found them"


async def test_the_loop_finds_what_other_processes_asked_for(stage: Stage) -> None:
    handled = Handled()
    async with Tasks("loop", Metrics()) as tasks:
        worker(stage, handled, tasks=tasks).start()
        other = stage.factory(stage.pool)
        with other.outside():
            async with work():
                deliver("ping", b"hello")
        await until(lambda: stage.value("SELECT count(*) FROM acme.deliveries WHERE done_at IS NOT NULL"))
    assert len(handled.attempts) == 1


async def test_a_loop_that_is_woken_does_not_wait_for_its_time(stage: Stage) -> None:
    handled = Handled()
    async with Tasks("loop", Metrics()) as tasks:
        deliveries = worker(stage, handled, tasks=tasks)
        deliveries.start()
        other = UnitFactory(
            "things",
            stage.pool,
            contracts=CONTRACTS,
            avro=stage.avro,
            cipher=stage.cipher,
            clock=stage.clock,
            metrics=Metrics(),
            kinds=["ping"],
            told=lambda asked, _events: deliveries.wake() if asked else None,
        )
        started = time.monotonic()
        for number in range(1, 6):
            with other.outside():
                async with work():
                    deliver("ping", b"hello")
            await until(lambda: stage.value("SELECT bool_and(done_at IS NOT NULL) FROM acme.deliveries"))
            assert len(handled.attempts) == number
        assert time.monotonic() - started < 4 * POLL, "it was the poll that found them"


async def test_every_commit_is_told_with_whether_it_asked_for_deliveries(stage: Stage) -> None:
    told: list[tuple[bool, bool]] = []
    units = UnitFactory(
        "things",
        stage.pool,
        contracts=CONTRACTS,
        avro=stage.avro,
        cipher=stage.cipher,
        clock=stage.clock,
        metrics=Metrics(),
        kinds=["ping"],
        told=lambda deliveries, events: told.append((deliveries, events)),
    )
    with units.outside():
        async with work():
            deliver("ping", b"hello")
        async with work():
            await units.database.execute("SELECT 1")
        with suppress(Broken):
            async with work():
                deliver("ping", b"never")
                raise Broken
    assert told == [(True, False), (False, False)]


async def test_a_stuck_delivery_does_not_hold_up_the_others(stage: Stage) -> None:
    release = asyncio.Event()

    async def one_hangs(attempt: Attempt) -> None:
        if attempt.payload == b"0":
            await release.wait()

    async with Tasks("loop", Metrics()) as tasks:
        worker(stage, Handled(one_hangs), tasks=tasks).start()
        await ask(stage, *(b"%d" % number for number in range(20)))
        await until(lambda: stage.value("SELECT count(*) = 19 FROM acme.deliveries WHERE done_at IS NOT NULL"))
        release.set()
        await until(lambda: stage.value("SELECT count(*) = 20 FROM acme.deliveries WHERE done_at IS NOT NULL"))


async def test_a_worker_that_is_stopped_gives_its_deliveries_back(stage: Stage) -> None:
    await ask(stage, b"hello")
    inside = asyncio.Event()

    async def hangs(attempt: Attempt) -> None:
        inside.set()
        await asyncio.Event().wait()

    async with Tasks("loop", Metrics()) as tasks:
        worker(stage, Handled(hangs), tasks=tasks).start()
        await inside.wait()
    handled = Handled()
    assert await worker(stage, handled).pass_once() == 1
    assert [attempt.number for attempt in handled.attempts] == [2]


async def test_mail_leaves_through_the_mailer_with_the_id_of_its_delivery(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("mail")
    mailbox = Mailbox(folder, stage.clock)
    with stage.units.outside():
        async with work():
            mail.add(to="ann@example.com", subject="Hello", text="Click.", links=["https://a.example/x"])
    handlers = {"mail": send_mail(mailbox)}
    await Deliveries(stage.units, handlers, tasks=stage.tasks, metrics=stage.metrics).pass_once()
    assert (await row(stage))["done_at"] is not None
    (kept,) = mails(folder)
    assert (kept.id, kept.to, kept.links) == ((await row(stage))["id"], "ann@example.com", ("https://a.example/x",))


# ---- what asked for it ----------------------------------------------------------------------------------------------


def asked(tracer: Tracer) -> Call:
    """A call that is being served, and recorded."""
    return Call("things.Things/Make", ANONYMOUS, "req_1", time.monotonic() + 10, trace=Trace("req_1", tracer))


async def ask_for(stage: Stage, call: Call) -> None:
    with stage.units.outside(call):
        async with work():
            deliver("ping", b"ada@example.com")


async def test_a_delivery_is_a_step_of_the_trace_of_the_request_that_asked_for_it(stage: Stage) -> None:
    tracer = Tracer()
    call = asked(tracer)
    await ask_for(stage, call)
    seen: list[tuple[str, str]] = []

    async def note(attempt: Attempt) -> None:
        seen.append((current().request_id, current().principal.id))
        async with work():
            events.add(ProjectCreated(project_id="prj_1"))
            deliver("ping", b"another")
        await stage.units.database.fetchval("SELECT 1")

    deliveries = worker(stage, Handled(note), tracer=tracer)
    await deliveries.pass_once()
    (trace,) = tracer.find("req_1")
    assert seen == [("req_1", "things")]
    assert trace.caller == call.caused
    *inside, whole = [Span(*each) for each in trace.spans]
    assert (whole.number, whole.kind, whole.name, whole.outcome, whole.detail) == (0, DELIVERY, "ping", "", "things 1")
    assert {EVENT, SQL} <= {span.kind for span in inside}
    assert {span.parent for span in inside} == {0}
    assert "ada" not in repr(trace.spans)
    assert await stage.value("SELECT headers->>'request_id' FROM acme.outbox") == "req_1"
    (next_one,) = await stage.sql("SELECT request_id, traceparent FROM acme.deliveries WHERE done_at IS NULL")
    assert tuple(next_one) == ("req_1", trace.traceparent(0))


async def test_an_attempt_that_fails_is_kept_with_its_error_and_its_number(stage: Stage) -> None:
    tracer = Tracer()
    await ask_for(stage, asked(tracer))
    await worker(stage, Handled(breaks), tracer=tracer).pass_once()
    (trace,) = tracer.find("req_1")
    assert [Span(*each).outcome for each in trace.spans] == ["Broken"]
    assert list(tracer._kept) == [trace]


async def test_what_no_request_asked_for_is_in_no_trace_and_served_by_no_call(stage: Stage) -> None:
    tracer = Tracer()
    await ask(stage, b"hello")

    async def note(attempt: Attempt) -> None:
        with pytest.raises(LookupError):
            current()

    await worker(stage, Handled(note), tracer=tracer).pass_once()
    assert (await row(stage))["last_error"] is None
    assert list(tracer.traces()) == []


async def test_without_a_tracer_a_delivery_still_knows_its_request(stage: Stage) -> None:
    await ask_for(stage, asked(Tracer()))

    async def note(attempt: Attempt) -> None:
        assert (current().request_id, current().trace) == ("req_1", None)

    await worker(stage, Handled(note)).pass_once()
    assert (await row(stage))["last_error"] is None


async def test_housekeeping_deletes_what_is_older_than_a_day(stage: Stage) -> None:
    await ask(stage, b"hello")
    at_work = worker(stage, Handled())
    await at_work.pass_once()
    assert await at_work.sweep() == 0
    stage.clock.advance(timedelta(hours=25))
    try:
        assert await at_work.sweep() == 1
    finally:
        stage.clock.advance(-timedelta(hours=25))
    assert await stage.counts() == (0, 0, 0, 0)


def test_pauses_double_up_to_an_hour_and_vary() -> None:
    for number in range(1, 40):
        longest = min(2.0 ** (number - 1), LONGEST_PAUSE)
        assert all(longest / 2 <= pause(number) <= longest for _ in range(20))
    assert len({pause(5) for _ in range(20)}) > 1
