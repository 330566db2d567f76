"""A log that is in order: 300 records in it, a few in another, signed three times and archived."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.audits import OTHER, Rig


@pytest.fixture
async def sound(rig: Rig) -> Rig:
    for count in (100, 150, 50):
        await rig.grow(count)
        await rig.grow(3, organization_id=OTHER)
        rig.clock.advance(timedelta(minutes=1))
        assert await rig.sign() == []
    return rig
