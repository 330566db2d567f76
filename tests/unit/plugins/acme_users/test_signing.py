"""Signing keys over their life, and who signs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from acme_users import plugin as users_plugin
from acme_users.signing import LEAD, LIFE, LONGEST_LIFE, RELOAD, SHORTEST_LEAD, SPAN, AccessTokens, SigningKeys
from acme_users.store import AuthorityStore, Identity, Session
from joserfc import jwt
from joserfc.jwk import ECKey

from acme import Conflict, Plugin, TokenProfile
from acme.drivers.clock import MovableClock
from acme.testing import Server
from acme.work import UnitFactory
from tests.unit.plugins.acme_users.outside import VAULT, units_of_work

MOMENT = timedelta(seconds=2)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[MovableClock]:
    made = MovableClock(tmp_path / "clock")
    yield made
    made.close()


@pytest.fixture
async def units(postgres: Server, clock: MovableClock) -> AsyncIterator[UnitFactory]:
    """The units of work of a service on an empty database."""
    async with units_of_work(postgres, clock) as made:
        yield made


@pytest.fixture
def store(units: UnitFactory) -> AuthorityStore:
    return AuthorityStore(units.database)


@pytest.fixture
def keys(store: AuthorityStore, clock: MovableClock) -> SigningKeys:
    return SigningKeys(store, clock, VAULT)


async def rotate(units: UnitFactory, keys: SigningKeys) -> None:
    """As the job does."""
    with units.outside():
        await keys.rotate()


async def kids(store: AuthorityStore) -> list[str]:
    return [key.kid for key in (await store.keys()).keys]


async def test_the_first_key_signs_at_once(
    units: UnitFactory, keys: SigningKeys, store: AuthorityStore, clock: MovableClock
) -> None:
    await rotate(units, keys)
    [key] = (await store.keys()).keys
    assert clock.now() - MOMENT <= key.not_before <= clock.now()
    assert (await keys.signer())[0] == key.kid


async def test_replicas_that_start_at_once_make_one_key(
    units: UnitFactory, store: AuthorityStore, clock: MovableClock
) -> None:
    await asyncio.gather(*(rotate(units, SigningKeys(store, clock, VAULT)) for _ in range(5)))
    assert len(await kids(store)) == 1
    assert (await store.keys()).version == 1


async def test_a_private_key_is_kept_sealed_and_bound_to_its_name(
    units: UnitFactory, keys: SigningKeys, store: AuthorityStore
) -> None:
    await rotate(units, keys)
    [key] = (await store.keys()).keys
    assert "d" not in json.loads(key.public_jwk)
    assert b'"d"' not in key.private_jwk
    assert json.loads(VAULT.open("signing-keys", key.private_jwk, key.kid.encode()))["d"]
    with pytest.raises(ValueError, match="sealed"):
        VAULT.open("signing-keys", key.private_jwk, b"another")


async def test_a_key_has_no_successor_before_its_time(
    units: UnitFactory, keys: SigningKeys, store: AuthorityStore, clock: MovableClock
) -> None:
    await rotate(units, keys)
    clock.advance(LIFE - MOMENT * 2)
    await rotate(units, keys)
    assert len(await kids(store)) == 1


async def test_a_successor_is_published_before_it_signs_and_the_predecessor_until_none_of_its_tokens_lives(
    units: UnitFactory, keys: SigningKeys, store: AuthorityStore, clock: MovableClock
) -> None:
    await rotate(units, keys)
    [first] = await kids(store)
    version = (await store.keys()).version
    clock.advance(LIFE)
    await rotate(units, keys)
    old, new = (await store.keys()).keys
    assert (await store.keys()).version == version + 1
    assert old.kid == first
    assert old.retired_at == new.not_before + SPAN
    assert LEAD - MOMENT <= new.not_before - clock.now() <= LEAD
    assert (await keys.signer())[0] == first

    clock.advance(LEAD - MOMENT)
    assert (await keys.signer())[0] == first
    clock.advance(MOMENT)
    assert (await keys.signer())[0] == new.kid

    clock.advance(LONGEST_LIFE)
    await rotate(units, keys)
    assert await kids(store) == [first, new.kid]
    clock.advance(SPAN - LONGEST_LIFE + MOMENT)
    await rotate(units, keys)
    assert await kids(store) == [new.kid]
    assert (await store.keys()).version == version + 2


async def test_another_process_knows_the_successor_before_it_has_to_sign_with_it(
    units: UnitFactory, keys: SigningKeys, store: AuthorityStore, clock: MovableClock
) -> None:
    await rotate(units, keys)
    other = SigningKeys(store, clock, VAULT)
    await other.signer()
    clock.advance(LIFE)
    await rotate(units, keys)
    clock.advance(LEAD)
    assert (await other.signer())[0] == (await keys.signer())[0] == (await kids(store))[-1]


async def test_a_clock_that_was_set_back_before_the_first_key_still_signs(
    units: UnitFactory, keys: SigningKeys, clock: MovableClock
) -> None:
    await rotate(units, keys)
    clock.advance(-timedelta(hours=1))
    assert (await keys.signer())[0]


async def test_an_access_token_lives_as_long_as_it_was_told_and_is_of_its_session(
    units: UnitFactory, keys: SigningKeys, store: AuthorityStore, clock: MovableClock
) -> None:
    await rotate(units, keys)
    begun = clock.now() - timedelta(days=1)
    session = Session("ses_1", "usr_1", b"", 1, begun, "", "", begun, begun, begun)
    tokens = AccessTokens(keys, clock, TokenProfile("https://issuer.example", "api"), timedelta(seconds=61))
    issued = await tokens.issue(Identity(3, "org_1", "eu"), session)
    [key] = (await store.keys()).keys
    claims = jwt.decode(issued, ECKey.import_key(json.loads(key.public_jwk)), algorithms=["ES256"]).claims
    assert claims["exp"] - claims["iat"] == 61
    assert claims["auth_time"] == int(begun.timestamp())
    assert [claims[name] for name in ("iss", "aud", "sub", "sid", "org", "epoch")] == [
        "https://issuer.example",
        "api",
        "usr_1",
        "ses_1",
        "org_1",
        3,
    ]


async def test_a_successor_on_demand_signs_when_it_was_said_and_not_before(
    units: UnitFactory, keys: SigningKeys, store: AuthorityStore, clock: MovableClock
) -> None:
    await rotate(units, keys)
    [first] = await kids(store)
    other = SigningKeys(store, clock, VAULT)
    await other.signer()
    with units.outside():
        made = await keys.succeed(SHORTEST_LEAD, operator="root")
    assert await kids(store) == [first, made.kid]
    assert (await keys.signer())[0] == (await other.signer())[0] == first
    clock.advance(SHORTEST_LEAD)
    assert (await keys.signer())[0] == (await other.signer())[0] == made.kid
    assert (await store.keys()).keys[0].retired_at == made.not_before + SPAN


async def test_there_is_one_successor_at_a_time(
    units: UnitFactory, keys: SigningKeys, store: AuthorityStore, clock: MovableClock
) -> None:
    await rotate(units, keys)
    with units.outside():
        await keys.succeed(SHORTEST_LEAD, operator="root")
        with pytest.raises(Conflict) as caught:
            await keys.succeed(SHORTEST_LEAD, operator="root")
        assert caught.value.reason == "successor_waiting"
        assert len(await kids(store)) == 2
        clock.advance(SHORTEST_LEAD)
        await keys.succeed(SHORTEST_LEAD, operator="root")
    assert len(await kids(store)) == 3


async def test_keys_that_were_stolen_are_gone_at_once_and_another_signs(
    units: UnitFactory, keys: SigningKeys, store: AuthorityStore, clock: MovableClock
) -> None:
    await rotate(units, keys)
    other = SigningKeys(store, clock, VAULT)
    stolen, _ = await other.signer()
    version = (await store.keys()).version
    with units.outside():
        await keys.succeed(LEAD, operator="root")
        made = await keys.withdraw(operator="root")
    assert await kids(store) == [made.kid]
    assert (await store.keys()).version > version
    assert (await keys.signer())[0] == made.kid
    assert (await other.signer())[0] == stolen, "it has not looked yet"
    clock.advance(RELOAD + MOMENT)
    assert (await other.signer())[0] == made.kid
