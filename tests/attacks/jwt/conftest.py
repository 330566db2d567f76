"""One world for all cases of a file."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.attacks.jwt import world as made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[made.World]:
    async with made.world() as one:
        yield one


@pytest.fixture(params=["ours", "theirs"])
def side(request: pytest.FixtureRequest, world: made.World) -> made.Side:
    """Whose tokens are forged."""
    return world.sides[request.param]
