"""The platform's SQL: what one statement writes, who gets a delivery, what is deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from acme.ports import Connection
from acme.work import store
from tests.services import Stage

LEASE = timedelta(seconds=30)
EVENTS = [store.Event(f"evt_{number}", "t", f"org_1:k{number}", "a.B", b"e", "org_1") for number in range(3)]


@pytest.fixture
async def connection(stage: Stage) -> AsyncIterator[Connection]:
    async with stage.pool.connection() as lent:
        yield lent


def record(stage: Stage, outcome: bytes = b"o") -> store.Record:
    return store.Record("usr_1", "a.B/C", "k", b"f", outcome, expired=stage.clock.now() - timedelta(hours=24))


async def ask(stage: Stage, connection: Connection, *ids: str, kind: str = "ping") -> None:
    wanted = [store.Wanted(each, kind, b"sealed") for each in ids]
    await store.write(connection, (), "{}", wanted, None, stage.clock.now())


async def claim(stage: Stage, connection: Connection, limit: int = 10) -> list[tuple[str, int]]:
    now = stage.clock.now()
    rows = await store.due(connection, now, now + LEASE, ["ping"], limit)
    return sorted((row["id"], row["attempts"]) for row in rows)


async def test_one_statement_writes_all_three(stage: Stage, connection: Connection) -> None:
    wanted = [store.Wanted("dlv_1", "ping", b"p")]
    written = await store.write(connection, EVENTS, '{"a": 1}', wanted, record(stage), stage.clock.now())
    assert written
    assert await stage.counts() == (0, 3, 1, 1)
    rows = [tuple(row) for row in await stage.sql("SELECT event_id, key FROM acme.outbox ORDER BY id")]
    assert rows == [("evt_0", "org_1:k0"), ("evt_1", "org_1:k1"), ("evt_2", "org_1:k2")]


async def test_a_delivery_keeps_the_request_that_asked_for_it_and_whoever_claims_it_is_told(
    stage: Stage, connection: Connection
) -> None:
    now, cause = stage.clock.now(), store.Cause("req_1", "00-a-b-01")
    await store.write(connection, (), "{}", [store.Wanted("dlv_1", "ping", b"p")], None, now, cause)
    (row,) = await store.due(connection, now, now + LEASE, ["ping"], 10)
    assert tuple(row) == ("dlv_1", "ping", b"p", 1, "req_1", "00-a-b-01")


async def test_a_record_past_its_time_is_replaced(stage: Stage, connection: Connection) -> None:
    day = timedelta(hours=24)
    assert await store.write(connection, (), "{}", (), record(stage, b"old"), stage.clock.now() - day)
    assert await store.write(connection, (), "{}", (), record(stage, b"new"), stage.clock.now())
    assert not await store.write(connection, (), "{}", (), record(stage, b"newer"), stage.clock.now())
    assert await stage.value("SELECT outcome FROM acme.idempotency") == b"new"


async def test_a_delivery_is_claimed_by_one_until_its_lease_ends(stage: Stage, connection: Connection) -> None:
    await ask(stage, connection, "dlv_1", "dlv_2")
    assert await claim(stage, connection) == [("dlv_1", 1), ("dlv_2", 1)]
    assert await claim(stage, connection) == []
    stage.clock.advance(LEASE)
    try:
        assert await claim(stage, connection) == [("dlv_1", 2), ("dlv_2", 2)]
    finally:
        stage.clock.advance(-LEASE)


async def test_two_who_claim_at_once_get_different_deliveries(stage: Stage, connection: Connection) -> None:
    await ask(stage, connection, "dlv_1", "dlv_2")
    async with stage.pool.connection() as other:
        await connection.begin()
        await other.begin()
        first = await claim(stage, connection, limit=1)
        second = await claim(stage, other)
        await connection.commit()
        await other.commit()
    assert sorted(first + second) == [("dlv_1", 1), ("dlv_2", 1)]


async def test_a_kind_nobody_here_can_carry_out_is_left_alone(stage: Stage, connection: Connection) -> None:
    await ask(stage, connection, "dlv_1", kind="pong")
    assert await claim(stage, connection) == []


async def test_whoever_lost_the_lease_decides_nothing(stage: Stage, connection: Connection) -> None:
    await ask(stage, connection, "dlv_1")
    await claim(stage, connection)
    now = stage.clock.now()
    assert not await store.done(connection, "dlv_1", 0, now)
    assert not await store.again(connection, "dlv_1", 2, now, "E")
    assert not await store.failed(connection, "dlv_1", 2, now, "E")
    assert await store.done(connection, "dlv_1", 1, now)
    assert not await store.again(connection, "dlv_1", 1, now, "E")


async def test_a_done_delivery_has_no_payload_and_a_failed_one_keeps_it(stage: Stage, connection: Connection) -> None:
    await ask(stage, connection, "dlv_1", "dlv_2")
    await claim(stage, connection)
    await store.done(connection, "dlv_1", 1, stage.clock.now())
    await store.failed(connection, "dlv_2", 1, stage.clock.now(), "Broken")
    rows = await stage.sql("SELECT payload, last_error FROM acme.deliveries ORDER BY id")
    assert [tuple(row) for row in rows] == [(None, None), (b"sealed", "Broken")]
    stage.clock.advance(LEASE)
    try:
        assert await claim(stage, connection) == []
    finally:
        stage.clock.advance(-LEASE)


async def test_what_is_past_is_deleted_in_bounded_batches(stage: Stage, connection: Connection) -> None:
    now = stage.clock.now()
    await ask(stage, connection, "dlv_1", "dlv_2", "dlv_3")
    await claim(stage, connection)
    for delivery in ("dlv_1", "dlv_2"):
        await store.done(connection, delivery, 1, now - timedelta(days=2))
    await store.write(connection, (), "{}", (), record(stage), now - timedelta(days=2))
    assert await store.forget(connection, now - timedelta(days=1), 1) == 2
    assert await store.forget(connection, now - timedelta(days=1), 1) == 1
    assert await store.forget(connection, now - timedelta(days=1), 1) == 0
    assert [row["id"] for row in await stage.sql("SELECT id FROM acme.deliveries")] == ["dlv_3"]
