"""The authority's answers when there is more than fits in one."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from acme_users import plugin as users_plugin
from acme_users.authority import MOST, Authority
from acme_users.store import AuthorityStore, GrantStore, SigningKey, TokenStore

from acme import Plugin
from acme.contracts.authority.v1 import ChangesRequest, KeysRequest
from acme.drivers.clock import SystemClock
from acme.testing.databases import FreshDatabase

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


def made(database: FreshDatabase) -> Authority:
    return Authority(AuthorityStore(database), GrantStore(database), TokenStore(database), SystemClock())


async def test_more_changes_than_fit_in_a_reply_are_told_in_several_without_a_gap(database: FreshDatabase) -> None:
    await database.execute(
        """
        INSERT INTO authority_changes (sequence, session_id, created_at)
        SELECT number, 'ses_' || number, $1 FROM generate_series(1, $2) AS number
        """,
        NOW,
        2 * MOST + 1,
    )
    await database.execute("UPDATE authority SET last_sequence = $1", 2 * MOST + 1)
    authority = made(database)
    seen: list[int] = []
    more, since = True, 0
    sizes = []
    while more:
        reply = await authority.changes(ChangesRequest(since=since))
        sizes.append(len(reply.changes))
        seen += [change.sequence for change in reply.changes]
        more, since = reply.more, reply.latest
    assert sizes == [MOST, MOST, 1]
    assert seen == list(range(1, 2 * MOST + 2))
    assert since == 2 * MOST + 1


async def test_numbers_go_on_when_what_they_were_given_for_was_purged(database: FreshDatabase) -> None:
    await database.execute("DELETE FROM authority_changes")
    await database.execute("UPDATE authority SET last_sequence = 7")
    reply = await made(database).changes(ChangesRequest(since=0))
    assert (reply.changes, reply.latest, reply.more) == ([], 7, False)


async def test_keys_are_told_with_their_times_and_without_their_private_half(database: FreshDatabase) -> None:
    store = AuthorityStore(database)
    jwk = json.dumps({"kty": "EC", "kid": "one"})
    await store.add_key(SigningKey("one", "ES256", jwk, b"private", NOW, None), predecessor_retired_at=NOW)
    reply = await made(database).keys(KeysRequest())
    [key] = reply.keys
    assert (key.kid, key.algorithm, key.jwk, key.not_before, key.retired_at) == ("one", "ES256", jwk, NOW, None)
    assert b"private" not in bytes(reply)
