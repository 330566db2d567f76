"""SQL of invitations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.store import NEWEST_INVITATION, InvitationStore

from acme import Plugin
from acme.testing.databases import FreshDatabase
from tests.offices import account, founded, invitation

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> InvitationStore:
    return InvitationStore(database)


@pytest.fixture
async def acme(database: FreshDatabase) -> str:
    return (await founded(database, (await account(database, NOW)).id, NOW)).id


async def test_an_invitation_comes_back_as_it_was_added_until_it_expires(store: InvitationStore, acme: str) -> None:
    added = invitation(acme, "ann@example.com", NOW, role="admin", membership_expires_at=NOW + 9 * DAY)
    await store.add(added, b"ann 1")
    last = NOW + DAY - timedelta(microseconds=1)
    assert await store.open(b"ann 1", at=last) == await store.invitation(acme, added.id, at=last) == added
    assert await store.open(b"ann 1", at=NOW + DAY) is await store.invitation(acme, added.id, at=NOW + DAY) is None
    assert await store.take(b"ann 1", at=NOW + DAY) is None
    assert await store.invitation("org_other", added.id, at=NOW) is None


async def test_a_token_is_taken_once(store: InvitationStore, acme: str) -> None:
    added = invitation(acme, "bob@example.com", NOW)
    await store.add(added, b"bob 1")
    assert await store.take(b"bob 1", at=NOW) == added
    assert await store.take(b"bob 1", at=NOW) is None


async def test_a_second_invitation_takes_the_place_of_one_to_the_same_and_of_no_other(
    store: InvitationStore, acme: str
) -> None:
    first = invitation(acme, "eve@example.com", NOW)
    project = invitation(acme, "eve@example.com", NOW, project_id="prj_1", project_name="P", project_role="viewer")
    second = invitation(acme, "eve@example.com", NOW, role="admin")
    for number, entry in enumerate((first, project, second)):
        assert await store.others(entry, at=NOW) == (1 if number else 0)
        await store.add(entry, f"eve {number}".encode())
    assert await store.invitations(acme, before=NEWEST_INVITATION, at=NOW, limit=9) == [second, project]
    assert await store.open(b"eve 0", at=NOW) is None
    assert await store.open(b"eve 2", at=NOW) == second


async def test_renewing_voids_the_token_of_before(store: InvitationStore, acme: str) -> None:
    added = invitation(acme, "dan@example.com", NOW)
    await store.add(added, b"dan 1")
    await store.renew(added.id, b"dan 2", inviter_id="usr_other", expires_at=NOW + 2 * DAY)
    assert await store.open(b"dan 1", at=NOW) is None
    again = await store.open(b"dan 2", at=NOW + DAY)
    assert again is not None
    assert (again.id, again.inviter_id) == (added.id, "usr_other")
    await store.delete(added.id)
    assert await store.open(b"dan 2", at=NOW) is None


async def test_invitations_come_newest_first_on_pages_and_expired_ones_are_purged(
    store: InvitationStore, acme: str
) -> None:
    added = [
        invitation(acme, f"{number}@example.com", NOW, expires_at=NOW + (3 - number % 2) * DAY) for number in range(5)
    ]
    for entry in added:
        await store.add(entry, entry.id.encode())
    found, before = [], NEWEST_INVITATION
    while rows := await store.invitations(acme, before=before, at=NOW, limit=2):
        found += rows
        before = rows[-1].id
    assert found == added[::-1]
    assert await store.purge(expired_by=NOW + 2 * DAY, limit=1) == 1
    assert await store.purge(expired_by=NOW + 2 * DAY, limit=99) >= 1  # other tests' too
    assert await store.invitations(acme, before=NEWEST_INVITATION, at=NOW, limit=9) == added[::-2]
