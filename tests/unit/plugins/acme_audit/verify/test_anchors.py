"""What only somebody outside of the database can tell: older copies, cut tails, logs that are gone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from acme_audit.checkpoints import object_name
from acme_audit.verify.report import Status

from tests.audits import LOG, OTHER, REGION, Rig, found

TABLES = ("logs", "records", "nodes", "checkpoints")


async def test_an_older_copy_of_the_database_is_found(sound: Rig) -> None:
    async with sound.copied(TABLES):
        await sound.grow(30)
        sound.clock.advance(timedelta(minutes=1))
        assert await sound.sign() == []
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert "older copy" in report.faults[0].text
    assert "330 records" in report.faults[0].text


async def test_an_older_copy_that_went_on_growing_is_found_by_whoever_signs_and_whoever_verifies(sound: Rig) -> None:
    async with sound.copied(TABLES):
        await sound.grow(30)
        sound.clock.advance(timedelta(minutes=1))
        await sound.sign()
    await sound.grow(40)
    sound.clock.advance(timedelta(minutes=1))
    assert [LOG in fault for fault in await sound.sign()] == [True]
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert found(report)["anchor"] is None


async def test_a_checkpoint_that_somebody_kept_tells_of_an_older_copy_too(sound: Rig) -> None:
    async with sound.copied(TABLES):
        await sound.grow(30)
        sound.clock.advance(timedelta(minutes=1))
        await sound.sign()
        kept = await sound.signed.one((await sound.head()).id, 4)
    assert kept is not None
    report = await sound.verify(offline=True, checkpoint=kept.note)
    assert report.status is Status.TAMPERED
    assert "330 records" in report.faults[0].text


async def test_a_checkpoint_that_somebody_kept_vouches_for_a_log(sound: Rig) -> None:
    kept = await sound.signed.one((await sound.head()).id, 2)
    assert kept is not None
    report = await sound.verify(offline=True, checkpoint=kept.note)
    assert (report.status, report.logs) == (Status.OK, 1)


async def test_without_anything_outside_nobody_vouches(sound: Rig) -> None:
    report = await sound.verify(offline=True)
    assert (report.status, found(report)) == (Status.UNANCHORED, {"anchor": None})


async def test_a_log_that_is_gone_is_found(sound: Rig) -> None:
    for table in ("records", "nodes", "checkpoints", "logs"):
        await sound.delete(table)
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert [fault.log for fault in report.faults if fault.kind == "log"] == [LOG]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_missing_file_is_found(sound: Rig, number: int) -> None:
    await sound.objects.delete(object_name(LOG, number))
    report = await sound.verify()
    assert (report.status, found(report)) == (Status.INCOMPLETE, {"archive": None})
    assert object_name(LOG, number) in report.faults[0].text


async def test_the_last_missing_file_is_found(sound: Rig) -> None:
    await sound.objects.delete(object_name(LOG, 3))
    report = await sound.verify()
    assert report.status is Status.INCOMPLETE
    assert object_name(LOG, 3) in report.faults[0].text


async def test_an_altered_file_is_found(sound: Rig) -> None:
    name = object_name(LOG, 2)
    content = await sound.objects.get(name)
    await sound.objects.put(name, content.replace(b"\n250\n", b"\n251\n"))
    report = await sound.verify()
    assert report.status is Status.TAMPERED
    assert name in report.faults[0].text


async def test_a_file_in_the_place_of_another_is_found(sound: Rig) -> None:
    await sound.objects.put(object_name(LOG, 2), await sound.objects.get(object_name(LOG, 1)))
    report = await sound.verify()
    assert (report.status, found(report)) == (Status.TAMPERED, {"anchor": None})


async def test_what_is_not_signed_in_time_is_unanchored(sound: Rig) -> None:
    await sound.grow(1)
    assert (await sound.verify()).status is Status.OK
    sound.clock.advance(timedelta(hours=1.5))
    report = await sound.verify()
    assert report.status is Status.UNANCHORED
    assert [(fault.log, fault.kind) for fault in report.faults] == [(LOG, "unsigned")]


async def test_what_does_not_get_into_the_object_store_in_time_is_unanchored(sound: Rig) -> None:
    await sound.grow(1, organization_id=OTHER)
    await sound.sign_only()
    assert (await sound.verify()).status is Status.OK
    sound.clock.advance(timedelta(minutes=30))
    report = await sound.verify()
    assert (report.status, found(report)) == (Status.UNANCHORED, {"anchor": None})
    assert report.faults[0].log == f"{REGION}/{OTHER}"


async def test_logs_of_another_region_in_the_same_store_are_not_missed(sound: Rig) -> None:
    await sound.objects.create(object_name("eu-west/org_1", 1), b"theirs")
    assert (await sound.verify()).faults == []
