"""How calls run in their units of work: commit, roll back, replay, retry, cancel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from acme import authorise, events, mail
from acme.contracts.projects.v1 import CreateProjectRequest, Project, ProjectCreated, ProjectsStub
from acme.contracts.users.v1 import (
    CreateUserReply,
)
from acme.dispatch import Directory
from acme.errors import Conflict, NotFound, Refused, Unavailable
from acme.ports import Connection, Database, SerializationFailure, UniqueViolation
from acme.work import Carrier, Unit
from tests.services import INSERT, Stage, calling, finished


@pytest.mark.parametrize("placement", ["local", "loopback"])
async def test_what_a_handler_wrote_commits_with_its_reply(stage: Stage, placement: str) -> None:
    stage.writes()
    assert (await stage.create(placement=placement)).id == "prj_1"
    assert await stage.counts() == (1, 1, 1, 0)
    headers = await stage.value("SELECT headers FROM acme.outbox")
    assert headers == {
        "request_id": "req_1",
        "traceparent": "00-trace",
        "principal_kind": "user",
        "principal_id": "usr_ann",
    }


@pytest.mark.parametrize("error", [NotFound("None."), ValueError("a fault"), UniqueViolation("things_pkey")])
async def test_an_error_leaves_nothing_behind_events_included(stage: Stage, error: Exception) -> None:
    async def script(message: Any) -> Project:
        authorise.own("projects.create")
        await stage.units.database.execute(INSERT, "one")
        events.add(ProjectCreated(project_id="prj_1"))
        mail.add(to="ann@example.com", subject="Made", text="It is made.")
        raise error

    stage.projects.script = script
    with pytest.raises(Refused):
        await stage.create(key="k1")
    assert await stage.counts() == (0, 0, 0, 0)
    await stage.quiet()


async def test_a_refusal_that_commits_keeps_what_was_written(stage: Stage) -> None:
    stage.writes(Conflict("Reused.", reason="reused", commit=True))
    with pytest.raises(Conflict) as caught:
        await stage.create()
    assert caught.value.reason == "reused"
    assert caught.value.commit is False
    assert await stage.counts() == (1, 1, 1, 0)


async def test_a_refusal_cannot_commit_over_a_failed_statement(stage: Stage) -> None:
    async def script(message: Any) -> Project:
        authorise.own("projects.create")
        await stage.units.database.execute(INSERT, "one")
        try:
            await stage.units.database.execute(INSERT, "one")
        except UniqueViolation as error:
            raise Conflict("Taken.", commit=True) from error
        raise AssertionError

    stage.projects.script = script
    with pytest.raises(Refused, match="internal error"):
        await stage.create()
    assert await stage.counts() == (0, 0, 0, 0)


async def test_events_alone_are_written_without_a_statement_of_the_handlers(stage: Stage) -> None:
    async def script(message: Any) -> Project:
        authorise.own("projects.create")
        events.add(ProjectCreated(project_id="prj_1"))
        return Project()

    stage.projects.script = script
    await stage.create()
    assert await stage.counts() == (0, 1, 0, 0)


async def test_a_call_that_writes_nothing_and_owes_no_record_uses_no_database(stage: Stage) -> None:
    async def perform(unit: Unit) -> str:
        return "free"

    committed = stage.count("acme_units_of_work_total", end="committed")
    held = [stage.pool.connection() for _ in range(4)]
    for connection in held:
        await connection.__aenter__()
    try:
        with calling() as call:
            assert await stage.units.auto(call, True, perform, Carrier(str.encode, bytes.decode)) == "free"
    finally:
        for connection in held:
            await connection.__aexit__(None, None, None)
    assert stage.count("acme_units_of_work_total", end="committed") == committed + 1


# --- MANUAL -----------------------------------------------------------------------------------------------------------


async def test_the_last_unit_of_a_manual_method_holds_the_record(stage: Stage) -> None:
    served = stage.signs_up()
    for _ in range(2):
        assert await stage.sign_up("k1") == CreateUserReply()
    assert len(served) == 1
    assert await stage.counts() == (2, 1, 0, 1)


@pytest.mark.parametrize("inside", [True, False])
async def test_a_refusal_rolls_back_the_last_unit_and_not_those_before(stage: Stage, inside: bool) -> None:
    stage.signs_up(error=NotFound("None."), inside=inside)
    with pytest.raises(NotFound):
        await stage.sign_up("k1")
    assert await stage.counts() == (1, 0, 0, 0)
    await stage.quiet()


@pytest.mark.parametrize("inside", [True, False])
async def test_a_refusal_that_commits_commits_the_last_unit_with_its_record(stage: Stage, inside: bool) -> None:
    served = stage.signs_up(error=Conflict("Known.", commit=True), inside=inside)
    for _ in range(2):
        with pytest.raises(Conflict, match="Known"):
            await stage.sign_up("k1")
    assert len(served) == 1
    assert await stage.counts() == (2, 1, 0, 1)


async def test_of_two_manual_calls_with_one_key_one_has_an_effect(stage: Stage) -> None:
    served = stage.signs_up()
    results = await asyncio.gather(*(stage.sign_up("k1") for _ in range(3)), return_exceptions=True)
    good = [result for result in results if isinstance(result, CreateUserReply)]
    rest = [result for result in results if not isinstance(result, CreateUserReply)]
    assert good
    assert {getattr(error, "reason", error) for error in rest} <= {"idempotency_in_flight"}
    things, outbox, _, records = await stage.counts()
    assert (things, outbox, records) == (len(served) + 1, 1, 1)
    await stage.quiet()


async def test_a_manual_call_overtaken_before_its_last_unit_gets_the_reply_of_the_other(stage: Stage) -> None:
    served = stage.signs_up()
    script = stage.users.script
    waiting = [asyncio.Event(), asyncio.Event()]

    async def slow(message: Any) -> Any:
        waiting[0].set()
        await waiting[1].wait()
        return await script(message)

    stage.users.script = slow
    slower = stage.tasks.spawn("slower", finished(stage.sign_up("k1")))
    await waiting[0].wait()
    stage.users.script = script
    await stage.sign_up("k1")
    waiting[1].set()
    await slower
    assert len(served) == 2
    assert (await stage.counts())[1:] == (1, 0, 1)
    assert stage.count("acme_task_failures_total") == 0
    await stage.quiet()


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_a_serialization_failure_is_repeated_whole(stage: Stage) -> None:
    attempts = []

    async def script(message: Any) -> Project:
        attempts.append(message)
        authorise.own("projects.create")
        await stage.units.database.execute(INSERT, "one")
        if len(attempts) < 4:
            raise SerializationFailure("deadlock detected")
        return Project()

    stage.projects.script = script
    await stage.create(key="k1")
    assert len(attempts) == 4
    assert await stage.counts() == (1, 0, 0, 1)


async def test_a_serialization_failure_without_end_is_unavailable(stage: Stage) -> None:
    async def script(message: Any) -> Project:
        authorise.own("projects.create")
        raise SerializationFailure("deadlock detected")

    stage.projects.script = script
    with pytest.raises(Unavailable) as caught:
        await stage.create()
    assert caught.value.reason == "contention"
    await stage.quiet()


class Fragile:
    """The pool, with a connection that is cut right before or right after the server has committed."""

    def __init__(self, pool: Database, *, committed: bool) -> None:
        self._pool, self._committed = pool, committed
        self.armed = True

    @asynccontextmanager
    async def connection(self, call: Any = None) -> Any:
        async with self._pool.connection(call) as connection:
            yield _Cut(connection, self)

    def alone(self, call: Any = None) -> Any:
        return self._pool.alone(call)

    def queue(self) -> tuple[int, int]:
        return self._pool.queue()

    async def close(self) -> None: ...

    async def cut(self, connection: Connection) -> None:
        self.armed = False
        if self._committed:
            await connection.commit()
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        async with self._pool.connection() as other:
            await other.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)


class _Cut:
    def __init__(self, connection: Connection, pool: Fragile) -> None:
        self._connection, self._pool = connection, pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def commit(self) -> None:
        if self._pool.armed:
            await self._pool.cut(self._connection)
        await self._connection.commit()


@pytest.mark.parametrize("committed", [True, False])
async def test_a_repetition_settles_what_a_connection_cut_at_the_commit_left_open(
    stage: Stage, committed: bool
) -> None:
    units = stage.factory(Fragile(stage.pool, committed=committed))
    directory: Directory = stage.directory("loopback", units)
    client = directory.named("gateway").client(ProjectsStub)
    served = []

    async def script(message: Any) -> Project:
        served.append(message)
        authorise.own("projects.create")
        await units.database.execute(INSERT, "one")
        return Project(name="one")

    stage.projects.script = script
    with calling(key="k1"):
        with pytest.raises(Unavailable) as caught:
            await client.create_project(CreateProjectRequest(name="one"))
        assert caught.value.reason == "outcome_unknown"
        assert (await client.create_project(CreateProjectRequest(name="one"))).name == "one"
    assert len(served) == (1 if committed else 2)
    assert await stage.counts() == (1, 0, 0, 1)
    await stage.quiet()


class CancelAt(Generator[Any, Any, Any]):
    """Awaits a coroutine and cancels the task that awaits when it waits for the `number`th time."""

    def __init__(self, number: int, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._left, self._coroutine = number, coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def send(self, value: Any) -> Any:
        waits = self._coroutine.send(value)
        self._left -= 1
        if self._left == 0:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
        return waits

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()


@pytest.mark.parametrize("method", ["auto", "manual"])
async def test_cancelling_at_any_await_leaves_the_pool_healthy_and_commits_all_or_nothing(
    stage: Stage, method: str
) -> None:
    cancelled = 0
    for number in range(1, 60):
        await stage.clear()
        stage.writes() if method == "auto" else stage.signs_up()
        call = stage.create(key="k1") if method == "auto" else stage.sign_up("k1")
        task = stage.tasks.spawn("call", finished(CancelAt(number, call)))
        await asyncio.wait([task])
        await stage.quiet()
        counts = await stage.counts()
        if method == "auto":
            assert counts in [(0, 0, 0, 0), (1, 1, 1, 1)]
        else:
            assert counts in [(0, 0, 0, 0), (1, 0, 0, 0), (2, 1, 0, 1)]
        if not task.cancelled():
            break
        cancelled += 1
    else:
        raise AssertionError("it never came to its end")
    assert cancelled >= 5


async def test_a_deadline_reaches_the_statement(stage: Stage) -> None:
    async def script(message: Any) -> Project:
        authorise.own("projects.create")
        await stage.units.database.execute("SELECT pg_sleep(30)")
        raise AssertionError

    stage.projects.script = script
    started = time.monotonic()
    with calling(), pytest.raises(Refused) as caught:
        await stage.client(ProjectsStub).create_project(CreateProjectRequest(name="a"), timeout=0.1)
    assert caught.value.code == "deadline_exceeded"
    await stage.quiet()
    assert time.monotonic() - started < 5


async def test_the_context_of_a_call_names_its_unit_and_no_other_service_takes_part(stage: Stage) -> None:
    other = stage.factory(stage.pool)

    async def script(message: Any) -> Project:
        authorise.own("projects.create")
        await stage.units.database.execute(INSERT, "own")
        await other.database.execute(INSERT, "foreign")
        raise NotFound("None.")

    stage.projects.script = script
    with pytest.raises(NotFound):
        await stage.create()
    assert [row["id"] for row in await stage.sql("SELECT id FROM things")] == ["foreign"]


async def test_outside_of_calls_statements_stand_alone(stage: Stage) -> None:
    with stage.units.outside():
        await stage.units.database.execute(INSERT, "one")
        assert (await stage.counts())[0] == 1
