"""Everything together, and what belongs to no log."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from acme_audit import witness
from acme_audit.verify.report import Status

from acme.contracts.users.v1 import UserCreated
from tests.audits import ADA, LOG, Rig, found, heard


async def test_an_empty_database_is_in_order(rig: Rig) -> None:
    report = await rig.verify()
    assert (report.status, report.logs) == (Status.OK, 0)


async def test_events_without_a_record_are_told(sound: Rig) -> None:
    known, unknown = "evt_known", "evt_unknown"
    await sound.ingest(sound.record(event_ids=[known]))
    events = [heard(UserCreated(user_id=ADA), event) for event in (known, unknown)]
    await witness.hear(sound.resources, events)
    assert (await sound.verify()).status is Status.OK
    sound.clock.advance(timedelta(minutes=6))
    report = await sound.verify()
    assert (report.status, found(report)) == (Status.INCOMPLETE, {"events": None})
    assert unknown in report.faults[0].text


async def test_erasure_breaks_nothing(sound: Rig) -> None:
    await sound.erase(ADA)
    assert (await sound.verify()).status is Status.OK


async def test_a_log_that_grows_meanwhile_is_verified_as_it_was(sound: Rig) -> None:
    async def grow() -> None:
        for _ in range(20):
            await sound.grow(10)
            await sound.sign()

    async def look() -> None:
        for _ in range(5):
            assert (await sound.verify()).faults == []

    await asyncio.gather(grow(), look())
    assert (await sound.verify()).records == 509


async def test_a_log_that_nobody_knows_is_refused(sound: Rig) -> None:
    with pytest.raises(ValueError, match="no log"):
        await sound.verify(log="us-east/org_x")
    with pytest.raises(ValueError, match="signed note"):
        await sound.verify(checkpoint="x")


async def test_one_log_is_verified_alone(sound: Rig) -> None:
    report = await sound.verify(log=LOG)
    assert (report.status, report.logs, report.records) == (Status.OK, 1, 300)
