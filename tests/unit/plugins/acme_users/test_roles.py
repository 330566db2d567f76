"""Pages of roles, of any size, over any number of them."""

from __future__ import annotations

from typing import Final, Literal

import pytest
from acme_users import plugin as users_plugin
from acme_users.roles import MOST
from acme_users.standing import BUILT_IN
from hypothesis import given, settings
from hypothesis import strategies as st

from acme.contracts.users.v1 import ListRolesRequest
from acme.plugin import Plugin
from acme.testing import Platform
from tests.offices import Office, looking, role

SIZES: Final = st.integers(1, len(BUILT_IN) + 8)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture(scope="module")
def placement() -> Literal["local"]:
    return "local"


@settings(max_examples=60)
@given(number=st.integers(0, 7), sizes=st.lists(SIZES, min_size=1, max_size=4))
async def test_pages_of_any_sizes_come_to_the_whole_list(platform: Platform, number: int, sizes: list[int]) -> None:
    assert number < MOST
    async with looking(platform, "users") as users, Office.opened(platform, users) as office:
        made = [await role(office.database, office.id, platform.clock.now()) for _ in range(number)]
        whole = [*BUILT_IN, *(entry.id for entry in made)]
        found: list[str] = []
        token, turn = "", 0
        while turn == 0 or token:
            size = sizes[turn % len(sizes)]
            request = ListRolesRequest(organization_id=office.id, page_size=size, page_token=token)
            reply = await office.roles().list_roles(request)
            found += [entry.id for entry in reply.roles]
            token, turn = reply.next_page_token, turn + 1
            assert len(reply.roles) == min(size, len(whole) - len(found) + len(reply.roles))
        assert found == whole
