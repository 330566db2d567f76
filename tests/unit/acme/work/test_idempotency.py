"""What is kept for an Idempotency-Key, and how calls that repeat one get it back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import structlog

from acme import work
from acme.context import ANONYMOUS, Call, IdempotencyKey, Kind, Principal
from acme.contracts.projects.v1 import CreateProjectRequest, Project, ProjectsStub
from acme.contracts.users.v1 import (
    CreateUserReply,
    CreateUserRequest,
    RefreshSessionRequest,
    SessionsStub,
    SessionTokens,
    UsersStub,
)
from acme.errors import Conflict, Fault, Invalid, NotFound, Refused
from acme.ports import Connection
from acme.work import store
from acme.work.idempotency import LIMIT, Idempotency, Key
from tests.services import ANN, INSERT, Stage, calling, finished, refusal


@pytest.fixture
def idempotency(stage: Stage) -> Idempotency:
    return Idempotency(stage.cipher, stage.clock)


@pytest.fixture
async def connection(stage: Stage) -> AsyncIterator[Connection]:
    async with stage.pool.connection() as lent:
        yield lent


def key_of(idempotency: Idempotency, principal: Principal = ANN, fingerprint: bytes = b"a", name: str = "k") -> Key:
    key = idempotency.key(Call("a.B/C", principal, "req_1", 0.0, idempotency=IdempotencyKey(name, fingerprint)))
    assert key is not None
    return key


async def keep(stage: Stage, connection: Connection, record: store.Record) -> bool:
    return await store.write(connection, (), "{}", (), record, stage.clock.now())


def test_calls_without_a_key_and_anonymous_ones_have_none(idempotency: Idempotency) -> None:
    assert idempotency.key(Call("a.B/C", ANN, "req_1", 0.0)) is None
    assert idempotency.key(Call("a.B/C", ANONYMOUS, "r", 0.0, idempotency=IdempotencyKey("k", b"a"))) is None


def test_the_lock_is_the_keys_own_number(idempotency: Idempotency) -> None:
    locks = [key_of(idempotency, name=name).lock for name in ("k", "k", "l")]
    assert locks[0] == locks[1] != locks[2]
    assert all(-(2**63) <= lock < 2**63 for lock in locks)


@pytest.mark.parametrize("size", [0, 1, LIMIT])
async def test_a_reply_comes_back_as_it_was(
    stage: Stage, idempotency: Idempotency, connection: Connection, size: int
) -> None:
    key = key_of(idempotency)
    assert await idempotency.find(connection, key) is None
    assert await keep(stage, connection, idempotency.answered(key, b"x" * size))
    assert await idempotency.find(connection, key) == b"x" * size


async def test_of_a_larger_reply_only_the_fact_comes_back(
    stage: Stage, idempotency: Idempotency, connection: Connection
) -> None:
    key = key_of(idempotency)
    await keep(stage, connection, idempotency.answered(key, b"x" * (LIMIT + 1)))
    with pytest.raises(Conflict, match="too large to be kept"):
        await idempotency.find(connection, key)


async def test_a_refusal_comes_back_with_all_it_said(
    stage: Stage, idempotency: Idempotency, connection: Connection
) -> None:
    said = Invalid("Wrong.", reason="wrong", faults=[Fault("/a", "b", "ü")], retry_after=2.5, commit=True)
    key = key_of(idempotency)
    await keep(stage, connection, idempotency.refused(key, said))
    with pytest.raises(Refused) as caught:
        await idempotency.find(connection, key)
    assert refusal(caught.value)[1:] == refusal(said)[1:]
    assert caught.value.commit is False


async def test_another_request_with_the_same_key_is_refused(
    stage: Stage, idempotency: Idempotency, connection: Connection
) -> None:
    await keep(stage, connection, idempotency.answered(key_of(idempotency), b""))
    with pytest.raises(Invalid) as caught:
        await idempotency.find(connection, key_of(idempotency, fingerprint=b"b"))
    assert caught.value.reason == "idempotency_key_reused"


async def test_a_second_record_for_a_key_is_not_written(
    stage: Stage, idempotency: Idempotency, connection: Connection
) -> None:
    key = key_of(idempotency)
    assert await keep(stage, connection, idempotency.answered(key, b"first"))
    assert not await keep(stage, connection, idempotency.answered(key, b"second"))
    assert await idempotency.find(connection, key) == b"first"


async def test_a_claimed_key_is_in_flight_for_everybody_else_until_the_transaction_ends(
    stage: Stage, idempotency: Idempotency, connection: Connection
) -> None:
    key = key_of(idempotency)
    await connection.begin()
    assert await idempotency.claim(connection, key) is None
    async with stage.pool.connection() as other:
        await other.begin()
        with pytest.raises(Conflict) as caught:
            await idempotency.claim(other, key)
        assert caught.value.reason == "idempotency_in_flight"
        await keep(stage, connection, idempotency.answered(key, b"done"))
        await connection.commit()
        assert await idempotency.claim(other, key) == b"done"
        await other.rollback()


async def test_an_outcome_moved_to_another_key_does_not_open(
    stage: Stage, idempotency: Idempotency, connection: Connection
) -> None:
    await keep(stage, connection, idempotency.answered(key_of(idempotency), b"private"))
    await connection.execute("UPDATE acme.idempotency SET key = 'other'")
    with pytest.raises(ValueError, match="sealed"):
        await idempotency.find(connection, key_of(idempotency, name="other"))


# --- in calls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("placement", ["local", "loopback"])
async def test_a_repeated_request_gets_the_stored_reply(stage: Stage, placement: str) -> None:
    served = stage.writes()
    first = await stage.create(key="k1", placement=placement)
    assert await stage.create(key="k1", placement=placement) == first
    assert served == ["a"]
    assert await stage.counts() == (1, 1, 1, 1)
    await stage.quiet()


async def test_a_reply_stored_by_one_placement_is_replayed_by_another(stage: Stage) -> None:
    stage.writes()
    assert await stage.create(key="k1", placement="local") == await stage.create(key="k1", placement="loopback")


async def test_a_key_used_for_another_request_is_refused(stage: Stage) -> None:
    served = stage.writes()
    await stage.create(key="k1", request="a")
    with pytest.raises(Invalid) as caught:
        await stage.create(key="k1", request="b")
    assert caught.value.reason == "idempotency_key_reused"
    assert served == ["a"]


async def test_keys_of_two_principals_have_nothing_to_do_with_each_other(stage: Stage) -> None:
    served = stage.writes()
    await stage.create(key="k1")
    bob = Principal(Kind.USER, "usr_bob", scopes=frozenset({"*"}))
    with calling(bob, key="k1", fingerprint=b"b"):
        await stage.client(ProjectsStub).create_project(CreateProjectRequest(name="b"))
    assert served == ["a", "b"]


async def test_a_key_is_forgotten_after_a_day(stage: Stage) -> None:
    served = stage.writes()
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
    served = stage.writes()
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
        served = stage.writes()
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
    served = stage.writes()
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
    await stage.quiet()


async def test_a_committed_refusal_is_replayed_with_all_it_said(stage: Stage) -> None:
    said = Invalid("Wrong.", reason="wrong", faults=[Fault("/a", "b", "c")], retry_after=2.5, commit=True)
    served = stage.writes(said)
    outcomes = []
    for _ in range(2):
        with pytest.raises(Invalid) as caught:
            await stage.create(key="k1")
        outcomes.append(refusal(caught.value))
    assert outcomes[0] == outcomes[1]
    assert served == ["a"]
    assert await stage.counts() == (1, 1, 1, 1)


async def test_a_refusal_that_rolled_back_is_served_again(stage: Stage) -> None:
    served = stage.writes(NotFound("None."))
    for _ in range(2):
        with pytest.raises(NotFound):
            await stage.create(key="k1")
    assert served == ["a", "a"]


async def test_of_a_reply_above_64_kib_only_the_fact_is_kept(stage: Stage) -> None:
    served = stage.writes(Project(description="x" * 65_536))
    await stage.create(key="k1")
    with pytest.raises(Conflict) as caught:
        await stage.create(key="k1")
    assert caught.value.reason == "idempotency_reply_not_kept"
    assert served == ["a"]


async def test_nothing_readable_of_request_or_reply_is_kept(stage: Stage) -> None:
    stage.writes(Project(description="a private matter"))
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
    served = stage.signs_up()
    for email in ("ann@example.com", "bob@example.com"):
        request = CreateUserRequest(email=email, password="correct horse battery", display_name="Ann")
        with calling(ANONYMOUS, key="k1"):
            await stage.client(UsersStub).create_user(request)
    assert len(served) == 2
    assert (await stage.counts())[3] == 0


async def test_a_manual_method_that_forgets_its_last_unit_is_told_so_in_the_log(stage: Stage) -> None:
    async def script(message: Any) -> CreateUserReply:
        async with work():
            await stage.units.database.execute(INSERT, "one")
        return CreateUserReply()

    stage.users.script = script
    with structlog.testing.capture_logs() as logs:
        await stage.sign_up("k1")
    assert [line["method"] for line in logs] == ["acme.users.v1.Users/CreateUser"]
    assert "work(last=True)" in logs[0]["event"]
