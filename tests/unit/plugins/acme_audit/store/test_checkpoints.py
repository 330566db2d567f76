"""Checkpoints and the keys that sign them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from acme import work
from tests.audits import OTHER, Rig


async def test_the_first_key_stays_the_only_one(rig: Rig) -> None:
    with rig.units.outside():
        for number in (b"1", b"2"):
            async with work():
                await rig.signed.first_key(number, number, at=rig.clock.now())
    assert [key.public for key in await rig.signed.keys()] == [b"1"]


async def test_logs_are_due_that_grew_or_were_quiet_for_long(rig: Rig) -> None:
    await rig.grow(1)
    await rig.grow(1, organization_id=OTHER)
    long_ago = rig.clock.now() - timedelta(hours=1)
    due = await rig.signed.due(quiet_since=long_ago, after=0, limit=9)
    assert len(due) == 2
    assert await rig.signed.due(quiet_since=long_ago, after=due[0], limit=9) == due[1:]
    await rig.sign_only()
    assert await rig.signed.due(quiet_since=long_ago, after=0, limit=9) == []
    assert await rig.signed.due(quiet_since=rig.clock.now(), after=0, limit=9) == due


async def test_what_is_not_archived_is_listed_until_it_is(rig: Rig) -> None:
    for _ in range(2):
        await rig.grow(1)
        await rig.sign_only()
    head = await rig.head()
    assert await rig.signed.unarchived(after=0, limit=9) == [(head.id, head.name, 0)]
    await rig.signed.archived(head.id, 2)
    await rig.signed.archived(head.id, 1)
    assert await rig.signed.unarchived(after=0, limit=9) == []
    assert (await rig.signed.newest(head.id), await rig.signed.newest(99)) == (2, 0)


async def test_a_log_that_is_not_there_cannot_be_locked(rig: Rig) -> None:
    with rig.units.outside(), pytest.raises(LookupError, match="gone"):
        async with work():
            await rig.signed.lock(99)
