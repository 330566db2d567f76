"""The table of offers: one a project, while it stands."""

from __future__ import annotations

from datetime import datetime

import pytest
from acme_projects.store import Offer, Offered, ProjectStore, TransferStore

from acme.contracts.projects.v1 import Project
from acme.testing.databases import FreshDatabase
from tests.unit.plugins.acme_projects.store.test_projects import AT, LATER, NOWHERE, of, project


@pytest.fixture
def store(database: FreshDatabase) -> TransferStore:
    return TransferStore(database)


@pytest.fixture
async def kept(database: FreshDatabase) -> Project:
    made = project()
    await ProjectStore(database).insert(made)
    return made


async def find(store: TransferStore, kept: Project, user: str = "usr_h", at: datetime = AT) -> Offered | None:
    somebody = of(kept, subject=user)
    return await store.find(kept.id, user, allowed=somebody, seen=NOWHERE, offer=NOWHERE, at=at)


async def test_an_offer_shows_the_project_to_the_one_it_is_made_to_until_it_ends(
    store: TransferStore, kept: Project
) -> None:
    offer = Offer(kept.owner_id, kept.owner_id, "usr_h", LATER)
    assert await find(store, kept) is None
    await store.put(kept, offer)
    assert await find(store, kept) == Offered(kept, offer, allowed=True, may_offer=False)
    assert await find(store, kept, "usr_x") is None
    assert await find(store, kept, at=LATER) is None
    await store.drop(kept.id)
    assert await find(store, kept) is None


async def test_a_second_offer_takes_the_place_of_the_first(store: TransferStore, kept: Project) -> None:
    for user in ("usr_g", "usr_h"):
        await store.put(kept, Offer(kept.owner_id, kept.owner_id, user, LATER))
    assert await find(store, kept, "usr_g") is None
    assert await find(store, kept, "usr_h") is not None


async def test_an_offer_is_worth_nothing_outside_of_the_organisation(store: TransferStore, kept: Project) -> None:
    await store.put(kept, Offer(kept.owner_id, kept.owner_id, "usr_h", LATER))
    assert await store.find(kept.id, "usr_h", allowed=NOWHERE, seen=NOWHERE, offer=NOWHERE, at=AT) is None


@pytest.mark.parametrize("leaving", ["usr_o", "usr_b", "usr_h"])
async def test_offers_go_with_whoever_has_a_part_in_them_if_they_are_old_enough(
    store: TransferStore, kept: Project, leaving: str
) -> None:
    await store.put(kept, Offer("usr_o", "usr_b", "usr_h", LATER))
    await store.drop_all(kept.organization_id, leaving, ending=AT)
    await store.drop_all("org_other", leaving, ending=LATER)
    await store.drop_all(kept.organization_id, "usr_x", ending=LATER)
    assert await find(store, kept) is not None
    await store.drop_all(kept.organization_id, leaving, ending=LATER)
    assert await find(store, kept) is None
