"""Page tokens of every list over HTTP, after SpiceDB's GHSA-vhvq-fv9f-wh4q: a cursor that was altered made it panic.

Here one that was altered, or is another caller's or another list's, is a bad request.
"""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
from acme_audit import plugin as audit_plugin
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.plugin import Plugin
from acme.testing import Client, Platform
from tests.matrix.methods import LISTS, METHODS, ids, variables
from tests.matrix.world import Targets, World

pytestmark = pytest.mark.every_placement

FLIPS: Final = 16
"""Bits that are altered, one at a time, in each token."""


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin, audit_plugin]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(platform: Platform) -> AsyncIterator[World]:
    async with World.opened(platform) as world:
        yield world


def route(path: str, targets: Targets) -> str:
    """The list of a target."""
    method = METHODS[path]
    template = method.routes[0].template
    for name in variables(method):
        template = template.replace(f"{{{name}}}", targets[ids(method)[name]])
    return template


async def two_of_each(world: World, path: str, owner: Client) -> Targets:
    """Something to have a second page of, whatever is listed."""
    await world.fresh(path)
    targets = await world.fresh(path)
    await world.users.execute(
        "INSERT INTO team_members VALUES ($1, $2, $3, $4)",
        *(targets["tem"], targets["new"], targets["org"], world.platform.clock.now()),
    )
    await world.access_token(targets["sva"])
    await world.access_token(world.people["owner"].id)
    settings = f"/v1/projects/{targets['prj']}/settings"
    for version, theme in enumerate(("dark", "light")):
        (await owner.patch(settings, {"theme": theme}, headers={"If-Match": f'"{version}"'})).expect(200)
    return targets


def flipped(token: str) -> list[str]:
    """The token with one bit altered, in several places."""
    sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    places = random.Random(token).sample(range(8 * len(sealed)), FLIPS)
    altered = (bytes(byte ^ (1 << bit % 8) * (at == bit // 8) for at, byte in enumerate(sealed)) for bit in places)
    return [base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in altered]


@pytest.mark.parametrize("path", LISTS)
async def test_ghsa_vhvq_fv9f_wh4q_a_cursor_that_was_not_given_to_this_caller_for_this_list_is_a_bad_request(
    world: World, path: str
) -> None:
    platform = world.platform
    owner, admin = platform.client(world.people["owner"]), platform.client(world.people["admin"])
    targets = await two_of_each(world, path, owner)
    listed = route(path, targets)
    token = (await owner.get(listed, page_size=1)).expect(200)["next_page_token"]
    assert token
    (await owner.get(listed, page_size=1, page_token=token)).expect(200)
    for altered in (*flipped(token), token[:-4], token[4:], token + "AAAA", "A" * 1024, "é", "0"):
        assert (await owner.get(listed, page_token=altered)).expect(400)["code"] == "invalid_page_token", altered
    assert (await admin.get(listed, page_token=token)).expect(400)["code"] == "invalid_page_token"
    for other in LISTS:
        if other != path:
            elsewhere = route(other, targets)
            assert (await owner.get(elsewhere, page_token=token)).expect(400)["code"] == "invalid_page_token", other
