"""How calls run in their units of work: commit, roll back, replay, retry, cancel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine, Generator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from acme import authorise, events, mail, work
from acme.context import ANONYMOUS, Kind, Principal
from acme.contracts.projects.v1 import CreateProjectRequest, Project, ProjectCreated, ProjectsStub
from acme.contracts.users.v1 import (
    CreateUserReply,
    CreateUserRequest,
    RefreshSessionRequest,
    SessionsStub,
    SessionTokens,
    UsersStub,
)
from acme.dispatch import Directory
from acme.errors import Conflict, Fault, Invalid, NotFound, Refused, Unavailable
from acme.ports import Connection, Database, SerializationFailure, UniqueViolation
from tests.services import Stage, calling, refusal

INSERT = "INSERT INTO things (id) VALUES ($1)"
SIGN_UP = CreateUserRequest(email="ann@example.com", password="correct horse battery", display_name="Ann")


def writes(stage: Stage, reply: Project | Refused | None = None) -> list[str]:
    """Lets the AUTO method write a thing, an event and a mail; returns the names of the requests it has served."""
    served: list[str] = []

    async def script(message: CreateProjectRequest) -> Project:
        served.append(message.name)
        authorise.own("projects.create")
        await stage.units.database.execute(INSERT, f"{message.name}{len(served)}")
        events.add(ProjectCreated(project_id="prj_1"))
        mail.add(to="ann@example.com", subject="Made", text="It is made.")
        if isinstance(reply, Refused):
            raise reply
        return reply or Project(id=f"prj_{len(served)}", name=message.name, labels={"a": "b"})

    stage.projects.script = script
    return served


async def quiet(stage: Stage) -> None:
    """Waits until no statement and no transaction of anybody else's is left, and every connection works."""
    deadline = time.monotonic() + 5
    while await stage.value(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND state <> 'idle'"
    ):
        assert time.monotonic() < deadline, "something is still running"
        await asyncio.sleep(0.002)
    assert await asyncio.gather(*(stage.value("SELECT 1") for _ in range(8))) == [1] * 8


@pytest.mark.parametrize("placement", ["local", "loopback"])
async def test_what_a_handler_wrote_commits_with_its_reply(stage: Stage, placement: str) -> None:
    writes(stage)
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
    await quiet(stage)


async def test_a_refusal_that_commits_keeps_what_was_written(stage: Stage) -> None:
    writes(stage, Conflict("Reused.", reason="reused", commit=True))
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


async def test_a_handler_without_anything_to_write_uses_no_database(stage: Stage) -> None:
    async def script(message: Any) -> Project:
        authorise.own("projects.create")
        return Project(name="free")

    stage.projects.script = script
    committed = stage.count("acme_units_of_work_total", end="committed")
    held = [stage.pool.connection() for _ in range(4)]
    for connection in held:
        await connection.__aenter__()
    try:
        assert (await stage.create()).name == "free"
    finally:
        for connection in held:
            await connection.__aexit__(None, None, None)
    assert stage.count("acme_units_of_work_total", end="committed") == committed + 1


# --- idempotency ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("placement", ["local", "loopback"])
async def test_a_repeated_request_gets_the_stored_reply(stage: Stage, placement: str) -> None:
    served = writes(stage)
    first = await stage.create(key="k1", placement=placement)
    assert await stage.create(key="k1", placement=placement) == first
    assert served == ["a"]
    assert await stage.counts() == (1, 1, 1, 1)
    await quiet(stage)


async def test_a_reply_stored_by_one_placement_is_replayed_by_another(stage: Stage) -> None:
    writes(stage)
    assert await stage.create(key="k1", placement="local") == await stage.create(key="k1", placement="loopback")


async def test_a_key_used_for_another_request_is_refused(stage: Stage) -> None:
    served = writes(stage)
    await stage.create(key="k1", request="a")
    with pytest.raises(Invalid) as caught:
        await stage.create(key="k1", request="b")
    assert caught.value.reason == "idempotency_key_reused"
    assert served == ["a"]


async def test_keys_of_two_principals_have_nothing_to_do_with_each_other(stage: Stage) -> None:
    served = writes(stage)
    await stage.create(key="k1")
    bob = Principal(Kind.USER, "usr_bob", scopes=frozenset({"*"}))
    with calling(bob, key="k1", fingerprint=b"b"):
        await stage.client(ProjectsStub).create_project(CreateProjectRequest(name="b"))
    assert served == ["a", "b"]


async def test_a_key_is_forgotten_after_a_day(stage: Stage) -> None:
    served = writes(stage)
    await stage.create(key="k1")
    try:
        stage.clock.advance(timedelta(hours=23, minutes=59))
        await stage.create(key="k1")
        assert served == ["a"]
        stage.clock.advance(timedelta(minutes=2))
        assert (await stage.create(key="k1", request="b")).name == "b"
    finally:
        stage.clock.advance(-timedelta(hours=24, minutes=1))
    assert served == ["a", "b"]


async def test_a_request_still_being_served_is_in_flight(stage: Stage) -> None:
    served = writes(stage)
    inside, go_on = asyncio.Event(), asyncio.Event()
    script = stage.projects.script

    async def slow(message: Any) -> Any:
        inside.set()
        await go_on.wait()
        return await script(message)

    stage.projects.script = slow
    first = stage.tasks.spawn("first", finished(stage.create(key="k1")))
    await inside.wait()
    with pytest.raises(Conflict) as caught:
        await stage.create(key="k1")
    assert (caught.value.reason, caught.value.retry_after) == ("idempotency_in_flight", 1.0)
    go_on.set()
    await first
    assert (await stage.create(key="k1")).id == "prj_1"
    assert served == ["a"]


async def test_of_two_at_once_one_is_served_and_the_other_told_to_wait_or_given_its_reply(stage: Stage) -> None:
    for round_number in range(10):
        await stage.clear()
        served = writes(stage)
        key = f"k{round_number}"
        results = await asyncio.gather(*(stage.create(key=key) for _ in range(6)), return_exceptions=True)
        good = [result for result in results if isinstance(result, Project)]
        rest = [result for result in results if not isinstance(result, Project)]
        assert len({reply.id for reply in good}) == 1
        assert {getattr(error, "reason", error) for error in rest} <= {"idempotency_in_flight"}
        assert len(served) == 1
        assert await stage.counts() == (1, 1, 1, 1)


async def test_a_record_committed_by_somebody_else_meanwhile_is_replayed(stage: Stage) -> None:
    """The other one committed between our look and our commit: two processes, or a lock that hashed to another number."""
    served = writes(stage)
    await stage.create(key="k1")
    (row,) = await stage.sql("SELECT * FROM acme.idempotency")
    await stage.clear()
    script = stage.projects.script

    async def overtaken(message: Any) -> Any:
        reply = await script(message)
        await stage.sql("INSERT INTO acme.idempotency VALUES ($1, $2, $3, $4, $5, $6)", *row)
        return reply

    stage.projects.script = overtaken
    replayed = await stage.create(key="k1")
    assert (replayed.id, served) == ("prj_1", ["a", "a"])
    assert await stage.counts() == (0, 0, 0, 1)
    await quiet(stage)


async def test_a_committed_refusal_is_replayed_with_all_it_said(stage: Stage) -> None:
    said = Invalid("Wrong.", reason="wrong", faults=[Fault("/a", "b", "c")], retry_after=2.5, commit=True)
    served = writes(stage, said)
    outcomes = []
    for _ in range(2):
        with pytest.raises(Invalid) as caught:
            await stage.create(key="k1")
        outcomes.append(refusal(caught.value))
    assert outcomes[0] == outcomes[1]
    assert served == ["a"]
    assert await stage.counts() == (1, 1, 1, 1)


async def test_a_refusal_that_rolled_back_is_served_again(stage: Stage) -> None:
    served = writes(stage, NotFound("None."))
    for _ in range(2):
        with pytest.raises(NotFound):
            await stage.create(key="k1")
    assert served == ["a", "a"]


async def test_of_a_reply_above_64_kib_only_the_fact_is_kept(stage: Stage) -> None:
    served = writes(stage, Project(description="x" * 65_536))
    await stage.create(key="k1")
    with pytest.raises(Conflict) as caught:
        await stage.create(key="k1")
    assert caught.value.reason == "idempotency_reply_not_kept"
    assert served == ["a"]


async def test_nothing_readable_of_request_or_reply_is_kept(stage: Stage) -> None:
    writes(stage, Project(description="a private matter"))
    await stage.create(key="k1")
    (row,) = await stage.sql("SELECT fingerprint, outcome FROM acme.idempotency")
    assert b"private" not in row["outcome"]
    assert row["fingerprint"] != b"a"
    assert len(row["fingerprint"]) == 32


async def test_a_key_is_ignored_where_the_reply_is_secret(stage: Stage) -> None:
    served = []

    async def script(message: Any) -> SessionTokens:
        served.append(message)
        return SessionTokens(access_token="secret")

    stage.sessions.script = script
    for _ in range(2):
        with calling(key="k1"):
            await stage.client(SessionsStub).refresh_session(RefreshSessionRequest(refresh_token="r"))
    assert len(served) == 2
    assert await stage.counts() == (0, 0, 0, 0)


async def test_a_key_is_ignored_where_nobody_owns_it(stage: Stage) -> None:
    served = signs_up(stage)
    for email in ("ann@example.com", "bob@example.com"):
        request = CreateUserRequest(email=email, password="correct horse battery", display_name="Ann")
        with calling(ANONYMOUS, key="k1"):
            await stage.client(UsersStub).create_user(request)
    assert len(served) == 2
    assert (await stage.counts())[3] == 0


# --- MANUAL -----------------------------------------------------------------------------------------------------------


def signs_up(stage: Stage, *, error: Exception | None = None, inside: bool = False) -> list[str]:
    """Lets the MANUAL method write one thing in each of two units, the second of which is the last."""
    served: list[str] = []

    async def script(message: CreateUserRequest) -> CreateUserReply:
        served.append(message.email)
        async with work():
            await stage.units.database.execute(INSERT, f"attempt {len(served)}")
        async with work(last=True):
            await stage.units.database.execute(INSERT, message.email)
            events.add(ProjectCreated(project_id="prj_1"))
            if error is not None and inside:
                raise error
        if error is not None:
            raise error
        return CreateUserReply()

    stage.users.script = script
    return served


async def sign_up(stage: Stage, key: str = "") -> CreateUserReply:
    with calling(key=key):
        return await stage.client(UsersStub).create_user(SIGN_UP)


async def test_the_last_unit_of_a_manual_method_holds_the_record(stage: Stage) -> None:
    served = signs_up(stage)
    for _ in range(2):
        assert await sign_up(stage, "k1") == CreateUserReply()
    assert len(served) == 1
    assert await stage.counts() == (2, 1, 0, 1)


@pytest.mark.parametrize("inside", [True, False])
async def test_a_refusal_rolls_back_the_last_unit_and_not_those_before(stage: Stage, inside: bool) -> None:
    signs_up(stage, error=NotFound("None."), inside=inside)
    with pytest.raises(NotFound):
        await sign_up(stage, "k1")
    assert await stage.counts() == (1, 0, 0, 0)
    await quiet(stage)


@pytest.mark.parametrize("inside", [True, False])
async def test_a_refusal_that_commits_commits_the_last_unit_with_its_record(stage: Stage, inside: bool) -> None:
    served = signs_up(stage, error=Conflict("Known.", commit=True), inside=inside)
    for _ in range(2):
        with pytest.raises(Conflict, match="Known"):
            await sign_up(stage, "k1")
    assert len(served) == 1
    assert await stage.counts() == (2, 1, 0, 1)


async def test_of_two_manual_calls_with_one_key_one_has_an_effect(stage: Stage) -> None:
    served = signs_up(stage)
    results = await asyncio.gather(*(sign_up(stage, "k1") for _ in range(3)), return_exceptions=True)
    good = [result for result in results if isinstance(result, CreateUserReply)]
    rest = [result for result in results if not isinstance(result, CreateUserReply)]
    assert good
    assert {getattr(error, "reason", error) for error in rest} <= {"idempotency_in_flight"}
    things, outbox, _, records = await stage.counts()
    assert (things, outbox, records) == (len(served) + 1, 1, 1)
    await quiet(stage)


async def test_a_manual_call_overtaken_before_its_last_unit_gets_the_reply_of_the_other(stage: Stage) -> None:
    served = signs_up(stage)
    script = stage.users.script
    waiting = [asyncio.Event(), asyncio.Event()]

    async def slow(message: Any) -> Any:
        waiting[0].set()
        await waiting[1].wait()
        return await script(message)

    stage.users.script = slow
    slower = stage.tasks.spawn("slower", finished(sign_up(stage, "k1")))
    await waiting[0].wait()
    stage.users.script = script
    await sign_up(stage, "k1")
    waiting[1].set()
    await slower
    assert len(served) == 2
    assert (await stage.counts())[1:] == (1, 0, 1)
    assert stage.count("acme_task_failures_total") == 0
    await quiet(stage)


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
    await quiet(stage)


class Fragile:
    """The pool, with a connection that is cut right before or right after the server has committed."""

    def __init__(self, pool: Database, *, committed: bool) -> None:
        self._pool, self._committed = pool, committed
        self.armed = True

    @asynccontextmanager
    async def connection(self) -> Any:
        async with self._pool.connection() as connection:
            yield _Cut(connection, self)

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
    await quiet(stage)


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


async def finished(work: Awaitable[Any]) -> None:
    """For `Tasks.spawn`."""
    await work


@pytest.mark.parametrize("method", ["auto", "manual"])
async def test_cancelling_at_any_await_leaves_the_pool_healthy_and_commits_all_or_nothing(
    stage: Stage, method: str
) -> None:
    cancelled = 0
    for number in range(1, 60):
        await stage.clear()
        writes(stage) if method == "auto" else signs_up(stage)
        call = stage.create(key="k1") if method == "auto" else sign_up(stage, "k1")
        task = stage.tasks.spawn("call", finished(CancelAt(number, call)))
        await asyncio.wait([task])
        await quiet(stage)
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
    await quiet(stage)
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
