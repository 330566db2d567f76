"""SQL of custom roles."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.store import InvitationStore, MemberStore, RoleStore

from acme import Plugin
from acme.testing.databases import FreshDatabase
from tests.offices import account, founded, invitation, role

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> RoleStore:
    return RoleStore(database)


@pytest.fixture
async def acme(database: FreshDatabase) -> str:
    return (await founded(database, (await account(database, NOW)).id, NOW)).id


async def test_a_role_comes_back_as_it_was_made_and_changed(
    store: RoleStore, database: FreshDatabase, acme: str
) -> None:
    made = await role(database, acme, NOW, "a.b")
    assert await store.role(acme, made.id) == made
    assert await store.role("org_other", made.id) is None
    later = NOW + timedelta(seconds=1)
    await store.change(made.id, name="R", permissions=["a.c", "a.d"], at=later)
    changed = replace(made, name="R", permissions=("a.c", "a.d"), updated_at=later, version=2)
    assert await store.role(acme, made.id) == changed
    await store.delete(made.id)
    assert await store.role(acme, made.id) is None


async def test_roles_come_oldest_first(store: RoleStore, database: FreshDatabase, acme: str) -> None:
    made = [await role(database, acme, NOW) for _ in range(3)]
    assert await store.roles(acme, after="", limit=9) == made
    assert await store.roles(acme, after=made[0].id, limit=1) == made[1:2]
    assert await store.count(acme) == 3
    assert await store.count("org_other") == 0


@pytest.mark.parametrize(
    "use", ["member", "service account", "deleted service account", "invitation", "expired invitation"]
)
async def test_a_role_is_in_use_by_members_service_accounts_and_open_invitations(
    store: RoleStore, database: FreshDatabase, acme: str, use: str
) -> None:
    made = await role(database, acme, NOW)
    assert not await store.in_use(acme, made.id, at=NOW)
    if use == "member":
        ann = (await account(database, NOW)).id
        await MemberStore(database).add(acme, ann, made.id, expires_at=None, at=NOW)
    elif "account" in use:
        await database.execute(
            "INSERT INTO service_accounts (id, organization_id, name, role, created_at, deleted_at)"
            " VALUES ($1, $2, 'Bot', $3, $4, $5)",
            f"sva_{acme}",
            acme,
            made.id,
            NOW,
            NOW if use.startswith("deleted") else None,
        )
    else:
        end = NOW + (timedelta(0) if use.startswith("expired") else timedelta(days=1))
        to = invitation(acme, "a@example.com", NOW, role=made.id, expires_at=end)
        await InvitationStore(database).add(to, to.id.encode())
    assert await store.in_use(acme, made.id, at=NOW) == (use in {"member", "service account", "invitation"})
