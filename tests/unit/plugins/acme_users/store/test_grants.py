"""SQL of grants: memberships, custom roles, teams and default roles of one moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.addresses import Address
from acme_users.store import AccountStore, AuthorityStore, Grant, GrantStore, NewAccount
from acme_users.store.grants import default_role

from acme import Plugin, new_id
from acme.drivers.clock import SystemClock
from acme.testing.databases import FreshDatabase

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
SOON = NOW + timedelta(minutes=1)
CLOCK = SystemClock()


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> GrantStore:
    return GrantStore(database)


@pytest.fixture
async def account(database: FreshDatabase) -> NewAccount:
    user_id = new_id("usr", CLOCK)
    made = NewAccount(user_id, Address.parse(f"{user_id}@example.com"), b"hash", "Ann", new_id("org", CLOCK), "eu")
    assert await AccountStore(database).create_account(made, verified_at=NOW, at=NOW)
    return made


async def organization(database: FreshDatabase, default: str = "viewer") -> str:
    made = new_id("org", CLOCK)
    await database.execute(
        """
        INSERT INTO organizations (id, name, personal, region, created_at, default_role)
        VALUES ($1, 'Acme', false, 'eu', $2, $3)
        """,
        made,
        NOW,
        default,
    )
    return made


async def join(
    database: FreshDatabase, user_id: str, organization_id: str, role: str, *, expires_at: datetime | None = None
) -> None:
    await database.execute(
        "INSERT INTO memberships (user_id, organization_id, role, expires_at, joined_at) VALUES ($1, $2, $3, $4, $5)",
        user_id,
        organization_id,
        role,
        expires_at,
        SOON,
    )


async def of(store: GrantStore, subject: str, *, at: datetime = NOW) -> list[Grant]:
    return list((await store.grants(subject, at=at)).grants)


async def test_everybody_owns_a_personal_organisation(store: GrantStore, account: NewAccount) -> None:
    assert await of(store, account.id) == [Grant(account.organization_id, "owner", (), "owner", (), None)]
    assert await of(store, "usr_nobody") == []


async def test_a_membership_that_has_expired_is_none(
    store: GrantStore, account: NewAccount, database: FreshDatabase
) -> None:
    await join(database, account.id, other := await organization(database), "member", expires_at=SOON)
    assert (await of(store, account.id))[1:] == [Grant(other, "member", (), "viewer", (), SOON)]
    assert (await of(store, account.id, at=SOON))[1:] == []


async def test_a_custom_role_brings_its_permissions_and_no_default(
    store: GrantStore, account: NewAccount, database: FreshDatabase
) -> None:
    other, role = await organization(database), new_id("rol", CLOCK)
    await database.execute(
        """
        INSERT INTO roles (id, organization_id, name, permissions, created_at, updated_at)
        VALUES ($1, $2, 'Reader', '{projects.read}', $3, $3)
        """,
        role,
        other,
        NOW,
    )
    await join(database, account.id, other, role)
    assert (await of(store, account.id))[1:] == [Grant(other, role, ("projects.read",), "", (), None)]


async def test_teams_come_with_the_organisation_that_they_are_of(
    store: GrantStore, account: NewAccount, database: FreshDatabase
) -> None:
    other, teams = await organization(database, "member"), sorted(new_id("tem", CLOCK) for _ in range(2))
    await join(database, account.id, other, "admin")
    for team in teams:
        await database.execute(
            """
            INSERT INTO teams (id, organization_id, name, description, created_at, updated_at)
            VALUES ($1, $2, 'Team', '', $3, $3)
            """,
            team,
            other,
            NOW,
        )
        await database.execute(
            "INSERT INTO team_members (team_id, user_id, organization_id, joined_at) VALUES ($1, $2, $3, $4)",
            team,
            account.id,
            other,
            NOW,
        )
    home, there = await of(store, account.id)
    assert home.teams == ()
    assert there == Grant(other, "admin", (), "admin", tuple(teams), None)


async def test_a_service_account_has_one_membership_until_it_is_deleted(
    store: GrantStore, database: FreshDatabase
) -> None:
    other, account = await organization(database, "none"), new_id("sva", CLOCK)
    await database.execute(
        """
        INSERT INTO service_accounts (id, organization_id, name, role, created_at) VALUES ($1, $2, 'CI', 'member', $3)
        """,
        account,
        other,
        NOW,
    )
    assert await of(store, account) == [Grant(other, "member", (), "", (), None)]
    await database.execute("UPDATE service_accounts SET deleted_at = $2 WHERE id = $1", account, NOW)
    assert await of(store, account) == []


async def test_many_are_asked_about_in_one_organisation_at_once(
    store: GrantStore, account: NewAccount, database: FreshDatabase
) -> None:
    here, there, program = await organization(database), await organization(database), new_id("sva", CLOCK)
    await join(database, account.id, here, "admin", expires_at=SOON)
    await join(database, account.id, there, "owner")
    await database.execute(
        """
        INSERT INTO service_accounts (id, organization_id, name, role, created_at) VALUES ($1, $2, 'CI', 'member', $3)
        """,
        program,
        here,
        NOW,
    )
    subjects = [account.id, program, new_id("usr", CLOCK)]
    assert await store.within(here, subjects, at=NOW) == {
        account.id: Grant(here, "admin", (), "admin", (), SOON),
        program: Grant(here, "member", (), "viewer", (), None),
    }
    assert list(await store.within(here, subjects, at=SOON)) == [program]
    assert list(await store.within(there, subjects, at=NOW)) == [account.id]
    assert await store.within(here, [], at=NOW) == {}


async def test_grants_bear_the_number_of_the_last_change(
    store: GrantStore, account: NewAccount, database: FreshDatabase
) -> None:
    before = (await store.grants(account.id, at=NOW)).sequence
    await AuthorityStore(database).announce(grants_of=account.id, at=NOW)
    assert (await store.grants(account.id, at=NOW)).sequence == before + 1


@pytest.mark.parametrize(
    ("role", "organization", "default"),
    [
        ("owner", "none", "owner"),
        ("admin", "viewer", "admin"),
        ("member", "viewer", "viewer"),
        ("member", "admin", "member"),
        ("member", "member", "member"),
        ("viewer", "member", "viewer"),
        ("viewer", "none", ""),
        ("guest", "member", ""),
        ("rol_1", "member", ""),
    ],
)
def test_the_default_role_is_the_less_of_the_own_and_the_organisations(
    role: str, organization: str, default: str
) -> None:
    assert default_role(role, organization) == default
