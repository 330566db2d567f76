"""SQL of memberships."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from acme_users import plugin as users_plugin
from acme_users.store import EARLIEST, MemberStore, Standing

from acme import Plugin
from acme.testing.databases import FreshDatabase
from tests.offices import account, founded, role

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)
SOON = NOW + timedelta(days=1)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> MemberStore:
    return MemberStore(database)


@pytest.fixture
async def owner(database: FreshDatabase) -> str:
    return (await account(database, NOW)).id


@pytest.fixture
async def acme(database: FreshDatabase, owner: str) -> str:
    return (await founded(database, owner, NOW)).id


async def test_a_membership_counts_until_the_instant_it_expires(
    store: MemberStore, database: FreshDatabase, acme: str, owner: str
) -> None:
    ann = (await account(database, NOW)).id
    await store.add(acme, ann, "admin", expires_at=SOON, at=NOW)
    last = SOON - timedelta(microseconds=1)
    assert await store.standing(acme, ann, at=last) == Standing("admin", ())
    assert await store.standing(acme, ann, at=SOON) is None
    for at, number in ((last, 2), (SOON, 1)):
        assert (await store.member(acme, ann, at=at) is not None) == (number == 2)
        assert len(await store.members(acme, after=EARLIEST, at=at, limit=9)) == number
        assert len(await store.look_up(acme, [ann, owner], at=at)) == number


async def test_a_custom_role_says_what_it_includes_for_users_and_service_accounts(
    store: MemberStore, database: FreshDatabase, acme: str
) -> None:
    custom = await role(database, acme, NOW, "a.b", "a.c")
    ann = (await account(database, NOW)).id
    await store.add(acme, ann, custom.id, expires_at=None, at=NOW)
    insert = """
        INSERT INTO service_accounts (id, organization_id, name, role, created_at, deleted_at)
        VALUES ($1, $2, 'Bot', $3, $4, $5)
    """
    await database.execute(insert, "sva_1", acme, custom.id, NOW, None)
    await database.execute(insert, "sva_2", acme, "admin", NOW, NOW)
    assert await store.standing(acme, ann, at=NOW) == Standing(custom.id, ("a.b", "a.c"))
    assert await store.standing(acme, "sva_1", at=NOW) == Standing(custom.id, ("a.b", "a.c"))
    assert await store.standing(acme, "sva_2", at=NOW) is None
    assert await store.look_up(acme, ["sva_1", "sva_2"], at=NOW) == [("sva_1", "Bot")]
    member = await store.member(acme, ann, at=NOW)
    assert member is not None
    assert (member.role, member.permissions, member.version) == (custom.id, ("a.b", "a.c"), 1)


async def test_the_database_lets_nobody_have_another_organisations_role_or_one_that_is_gone(
    store: MemberStore, database: FreshDatabase, acme: str, owner: str
) -> None:
    elsewhere = await role(database, (await founded(database, owner, NOW)).id, NOW)
    ann = (await account(database, NOW)).id
    for name in (elsewhere.id, "rol_gone"):
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await store.add(acme, ann, name, expires_at=None, at=NOW)


async def test_members_come_in_the_order_of_joining_on_pages_without_gaps_or_repeats(
    store: MemberStore, database: FreshDatabase, acme: str, owner: str
) -> None:
    joined = [owner]
    for number in range(7):
        ann = (await account(database, NOW)).id
        await store.add(acme, ann, "viewer", expires_at=None, at=NOW + timedelta(seconds=1 + number // 2))
        joined.append(ann)
    found: list[str] = []
    after = EARLIEST
    while rows := await store.members(acme, after=after, at=NOW, limit=2):
        found += [row.user_id for row in rows]
        after = (rows[-1].joined_at, rows[-1].user_id)
    assert found == joined


async def test_the_lasting_owner_is_the_one_of_longest_standing_whose_membership_has_no_end(
    store: MemberStore, database: FreshDatabase, acme: str, owner: str
) -> None:
    people = [(await account(database, NOW)).id for _ in range(3)]
    for number, (user, name, end) in enumerate(
        zip(people, ("owner", "owner", "admin"), (SOON, None, None), strict=True), 1
    ):
        await store.add(acme, user, name, expires_at=end, at=NOW + timedelta(seconds=number))
    assert await store.lasting_owner(acme) == owner
    assert await store.lasting_owner(acme, but=owner) == people[1]
    await store.change(acme, people[1], role="owner", expires_at=SOON)
    assert await store.lasting_owner(acme, but=owner) is None


async def test_expired_memberships_are_found_by_organisation(
    store: MemberStore, database: FreshDatabase, acme: str
) -> None:
    people = [(await account(database, NOW)).id for _ in range(3)]
    for number, user in enumerate(people):
        await store.add(acme, user, "viewer", expires_at=NOW + timedelta(days=number), at=NOW)
    assert acme in await store.organizations_with_expired(at=SOON, limit=99)
    assert await store.expired(acme, at=SOON, limit=9) == people[:2]
    assert await store.expired(acme, at=SOON, limit=1) == people[:1]
    assert await store.expired(acme, at=SOON, limit=9, user_id=people[1]) == people[1:2]
    assert await store.expired(acme, at=SOON, limit=9, user_id=people[2]) == []
    assert await store.organizations_with_expired(at=NOW - timedelta(days=1), limit=9) == []


async def test_an_address_counts_once_it_is_proved(store: MemberStore, database: FreshDatabase) -> None:
    proved, unproved = await account(database, NOW), await account(database, NOW, verified=False)
    assert await store.address(proved.id) == proved.address.text
    assert await store.hold_address(proved.id) == proved.address.key
    assert await store.address(unproved.id) == await store.hold_address(unproved.id) == ""
