"""Events that lack a record."""

from __future__ import annotations

from datetime import timedelta

from acme_audit import witness
from acme_audit.store import WitnessStore

from acme.contract import load
from acme.contracts.users.v1 import UserCreated
from tests.audits import ADA, Rig, heard


def test_it_hears_every_event_of_the_users_service() -> None:
    messages = load("acme.contracts").messages.values()
    events = {each.cls for each in messages if each.event is not None and each.event.topic == "acme.users.events"}
    assert set(witness.MESSAGES) == events


async def lacking(rig: Rig) -> tuple[int, str]:
    return await witness.count_lacking(WitnessStore(rig.database), rig.clock.now())


async def hear(rig: Rig, *ids: str) -> None:
    with rig.units.outside():
        await witness.hear(rig.resources, [heard(UserCreated(user_id=ADA), event) for event in ids])


async def test_an_event_lacks_its_record_after_five_minutes(rig: Rig) -> None:
    await hear(rig, "evt_1", "evt_2", "evt_3")
    await rig.ingest(rig.record(event_ids=["evt_2"]))
    assert await lacking(rig) == (0, "")
    rig.clock.advance(timedelta(minutes=6))
    assert await lacking(rig) == (2, "evt_1")
    await rig.ingest(rig.record(event_ids=["evt_1", "evt_3"]))
    assert await lacking(rig) == (0, "")


async def test_the_record_may_come_before_the_event(rig: Rig) -> None:
    await rig.ingest(rig.record(event_ids=["evt_1"]))
    await hear(rig, "evt_1")
    rig.clock.advance(timedelta(minutes=6))
    assert await lacking(rig) == (0, "")


async def test_what_is_settled_is_forgotten_in_time(rig: Rig) -> None:
    await hear(rig, "evt_1")
    await hear(rig, "evt_1")
    await rig.ingest(rig.record(event_ids=["evt_1", "evt_of_another_service"]))
    await lacking(rig)
    counts = "SELECT (SELECT count(*) FROM announced) || ' ' || (SELECT count(*) FROM accounted)"
    assert await rig.database.fetchval(counts) == "0 2"
    rig.clock.advance(timedelta(days=15))
    await lacking(rig)
    assert await rig.database.fetchval(counts) == "0 0"


async def test_an_event_that_is_heard_once_more_does_not_lack_its_record(rig: Rig) -> None:
    """As after `acme events reset audit.witness --to earliest --again`."""
    await hear(rig, "evt_1")
    await rig.ingest(rig.record(event_ids=["evt_1"]))
    assert await lacking(rig) == (0, "")
    rig.clock.advance(timedelta(days=6))
    await hear(rig, "evt_1")
    rig.clock.advance(timedelta(minutes=6))
    assert await lacking(rig) == (0, "")
