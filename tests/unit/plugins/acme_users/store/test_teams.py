"""SQL of teams."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from acme_users import plugin as users_plugin
from acme_users.store import EARLIEST, MemberStore, Team, TeamMember, TeamStore

from acme import Plugin, new_id
from acme.testing.databases import FreshDatabase
from tests.offices import CLOCK, account, founded

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> TeamStore:
    return TeamStore(database)


@pytest.fixture
async def acme(database: FreshDatabase) -> str:
    return (await founded(database, (await account(database, NOW)).id, NOW)).id


async def made(store: TeamStore, organization_id: str) -> Team:
    team = Team(new_id("tem", CLOCK), organization_id, "Crew", "", NOW, NOW, 1)
    await store.add(team)
    return team


async def test_a_team_comes_back_as_it_was_made_and_changed(store: TeamStore, acme: str) -> None:
    team = await made(store, acme)
    assert await store.team(acme, team.id) == team
    assert await store.team("org_other", team.id) is None
    later = NOW + timedelta(seconds=1)
    await store.change(team.id, name="B", description="D", at=later)
    changed = replace(team, name="B", description="D", updated_at=later, version=2)
    assert await store.teams(acme, after="", limit=9) == [changed]
    assert await store.count(acme) == 1
    await store.delete(team.id)
    assert await store.teams(acme, after="", limit=9) == []


async def test_a_member_is_in_a_team_once_and_until_it_leaves_the_organisation(
    store: TeamStore, database: FreshDatabase, acme: str
) -> None:
    team, members = await made(store, acme), MemberStore(database)
    people = [(await account(database, NOW)).id for _ in range(3)]
    soon = NOW + timedelta(days=1)
    for number, user in enumerate(people):
        await members.add(acme, user, "member", expires_at=soon if number == 2 else None, at=NOW)
        assert await store.join(team, user, at=NOW)
        assert not await store.join(team, user, at=soon)
    rows = [TeamMember(team.id, user, "Ann", NOW) for user in people]
    assert await store.members(team.id, after=EARLIEST, at=NOW, limit=9) == rows
    assert await store.members(team.id, after=(NOW, people[0]), at=NOW, limit=1) == rows[1:2]
    assert await store.member(team.id, people[2], at=soon) is None
    await members.remove(acme, people[0])
    await store.leave(team.id, people[1])
    assert await store.members(team.id, after=EARLIEST, at=NOW, limit=9) == rows[2:]


async def test_the_database_lets_no_stranger_into_a_team(store: TeamStore, database: FreshDatabase, acme: str) -> None:
    stranger = await account(database, NOW)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await store.join(await made(store, acme), stranger.id, at=NOW)
