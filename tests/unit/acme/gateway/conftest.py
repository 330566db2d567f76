"""One gateway a test module, on a port of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.acme.gateway.rig import Rig, running


@pytest.fixture(scope="module")
async def gateway() -> AsyncIterator[Rig]:
    async with running() as rig:
        yield rig


@pytest.fixture
def rig(gateway: Rig) -> Rig:
    """The module's gateway, with services that have forgotten what they were told."""
    gateway.projects.before = None
    gateway.projects.requests.clear()
    gateway.projects.calls.clear()
    gateway.sessions.requests.clear()
    gateway.settings.requests.clear()
    return gateway
