"""What is kept for an Idempotency-Key. How calls use it is in test_factory.py."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from acme.context import ANONYMOUS, Call, IdempotencyKey, Principal
from acme.errors import Conflict, Fault, Invalid, Refused
from acme.ports import Connection
from acme.work import store
from acme.work.idempotency import LIMIT, Idempotency, Key
from tests.services import ANN, Stage, refusal


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
