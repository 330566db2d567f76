"""SQL of organisations and of offers of their ownership."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from acme_users import plugin as users_plugin
from acme_users.store import EARLIEST, MemberStore, Offer, OrganizationStore

from acme import Plugin
from acme.testing.databases import FreshDatabase
from tests.offices import account, founded

NOW = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture
def store(database: FreshDatabase) -> OrganizationStore:
    return OrganizationStore(database)


async def test_an_organisation_comes_back_as_it_was_made_and_changed(
    store: OrganizationStore, database: FreshDatabase
) -> None:
    owner = await account(database, NOW)
    made = await founded(database, owner.id, NOW)
    assert await store.lock(made.id) == made
    later = NOW + timedelta(seconds=1)
    changed = await store.change(made.id, name="B", default_role="none", at=later)
    assert changed == replace(made, name="B", default_role="none", updated_at=later, version=2)
    assert await store.organization(made.id, owner.id, at=NOW) == (changed, "owner")
    assert await store.organization(made.id, "usr_other", at=NOW) == (changed, "")
    assert await store.lock("org_unknown") is None
    with pytest.raises(LookupError):
        await store.change("org_unknown", name="B", default_role="none", at=later)


async def test_organisations_come_in_the_order_of_joining_without_those_whose_membership_has_expired(
    store: OrganizationStore, database: FreshDatabase
) -> None:
    owner, ann = await account(database, NOW), await account(database, NOW)
    members, joined = MemberStore(database), [ann.organization_id]
    for number in range(7):
        made = await founded(database, owner.id, NOW)
        end = NOW + timedelta(days=1) if number == 3 else None
        # Pairs of them in the same instant: the id decides.
        at = NOW + timedelta(seconds=1 + number // 2)
        await members.add(made.id, ann.id, "viewer", expires_at=end, at=at)
        joined += [made.id] if end is None else []
    found, after = [], EARLIEST
    while rows := await store.joined(ann.id, after=after, at=NOW + timedelta(days=1), limit=2):
        found += [row.organization.id for row in rows]
        after = (rows[-1].joined_at, rows[-1].organization.id)
    assert found == joined


async def test_there_is_one_offer_and_it_ends_with_either_membership(
    store: OrganizationStore, database: FreshDatabase
) -> None:
    owner, ann, bob = [await account(database, NOW) for _ in range(3)]
    made, members = await founded(database, owner.id, NOW), MemberStore(database)
    for user in (ann, bob):
        await members.add(made.id, user.id, "member", expires_at=None, at=NOW)
    end = NOW + timedelta(hours=24)
    for to in (ann, bob):
        await store.offer(Offer(made.id, owner.id, to.id, end))
    assert await store.offered(made.id, at=NOW) == Offer(made.id, owner.id, bob.id, end)
    assert await store.offered(made.id, at=end) is None
    await members.remove(made.id, bob.id)
    assert await store.offered(made.id, at=NOW) is None
    await store.offer(Offer(made.id, owner.id, ann.id, end))
    await store.withdraw(made.id)
    assert await store.offered(made.id, at=NOW) is None


async def test_offers_that_have_expired_are_purged(store: OrganizationStore, database: FreshDatabase) -> None:
    owner, ann = await account(database, NOW), await account(database, NOW)
    offers = []
    for days in range(3):
        made = await founded(database, owner.id, NOW)
        await MemberStore(database).add(made.id, ann.id, "member", expires_at=None, at=NOW)
        offers.append(Offer(made.id, owner.id, ann.id, NOW + timedelta(days=days)))
        await store.offer(offers[-1])
    assert await store.purge_offers(expired_by=NOW + timedelta(days=1), limit=1) == 1
    assert await store.purge_offers(expired_by=NOW + timedelta(days=1), limit=9) == 1
    assert await store.offered(offers[2].organization_id, at=NOW) == offers[2]


async def test_those_that_somebody_belongs_to_are_counted_without_expired_ones(
    store: OrganizationStore, database: FreshDatabase
) -> None:
    ann, bob = await account(database, NOW), await account(database, NOW)
    other = await founded(database, bob.id, NOW)
    end = NOW + timedelta(hours=1)
    await MemberStore(database).add(other.id, ann.id, "member", expires_at=end, at=NOW)
    assert [await store.count(ann.id, at=at) for at in (NOW, end)] == [2, 1]
