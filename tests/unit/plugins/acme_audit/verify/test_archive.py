"""The database against the archive of the same records."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from acme_audit.verify.report import Report, Status

from acme.archives.manifest import file_name, manifest_name
from acme.contracts.audit.v1 import AuditRecord
from tests.audits import ADA, LOG, OTHER, REGION, Rig, found

TOPIC = "acme.audit.log"
OLD = timedelta(hours=3)


@pytest.fixture
async def records(rig: Rig) -> list[AuditRecord]:
    """Of two logs, all in the log, signed, and in two files of the archive."""
    made = [rig.record(organization_id=OTHER) if number % 5 == 4 else rig.record() for number in range(40)]
    await rig.ingest(*made)
    before = await rig.archive(*made[:25])
    await rig.archive(*made[25:], start=25, previous=before)
    return made


async def verified(rig: Rig) -> Report:
    """What is found when everything has had time to arrive."""
    rig.clock.advance(OLD)
    await rig.sign()
    return await rig.verify()


async def test_what_is_in_both_is_in_order(rig: Rig, records: Sequence[AuditRecord]) -> None:
    report = await verified(rig)
    assert (report.faults, report.archived) == ([], 4)  # two files, two checkpoints


async def test_what_is_in_the_archive_alone_is_missing_in_the_log(rig: Rig, records: Sequence[AuditRecord]) -> None:
    extra = rig.record()
    await rig.archive(extra, start=40, previous=await previous(rig, 25))
    assert (await rig.verify()).status is not Status.INCOMPLETE  # it may be on its way
    report = await verified(rig)
    assert (report.status, found(report)) == (Status.INCOMPLETE, {"archive": None})
    assert extra.id in report.faults[0].text


async def previous(rig: Rig, start: int) -> str:
    """What the file after this one has to name."""
    return hashlib.sha256(await rig.objects.get(manifest_name(TOPIC, 0, start))).hexdigest()


async def test_what_is_in_the_log_alone_is_missing_in_the_archive(rig: Rig, records: Sequence[AuditRecord]) -> None:
    await rig.grow(3)
    await rig.sign()
    assert (await rig.verify()).faults == []  # it may be on its way
    report = await verified(rig)
    assert (report.status, found(report)) == (Status.INCOMPLETE, {"archive": 32})
    assert report.faults[0].log == LOG


async def test_a_log_that_was_rewritten_and_signed_with_the_stolen_key_is_not_what_was_archived(
    rig: Rig, records: Sequence[AuditRecord]
) -> None:
    """Whoever has database and master key signs what they like; the archive is not theirs."""
    contents = await rig.contents()
    for table in ("records", "nodes"):
        await rig.delete(table)
    await rig.alter("logs", "size = 0, head = decode(repeat('00', 32), 'hex'), frontier = ''")
    forged = [replace(record) for record in records if record.organization_id != OTHER]
    forged[7].action = "forged"
    await rig.ingest(*forged)
    assert len(await rig.contents()) == len(contents)
    report = await verified(rig)
    assert (report.status, found(report)) == (Status.TAMPERED, {"archive": 7})


async def test_an_altered_file_is_found(rig: Rig, records: Sequence[AuditRecord]) -> None:
    name = file_name(TOPIC, 0, 25)
    content = bytearray(await rig.objects.get(name))
    content[len(content) // 2] ^= 1
    await rig.objects.put(name, bytes(content))
    report = await verified(rig)
    assert report.status is Status.TAMPERED
    assert name in report.faults[0].text


@pytest.mark.parametrize("name", [file_name(TOPIC, 0, 0), manifest_name(TOPIC, 0, 0), file_name(TOPIC, 0, 25)])
async def test_a_missing_file_is_found(rig: Rig, records: Sequence[AuditRecord], name: str) -> None:
    await rig.objects.delete(name)
    report = await verified(rig)
    assert report.status is Status.INCOMPLETE
    assert name in report.faults[0].text


async def test_a_file_that_is_gone_with_its_manifest_is_found(rig: Rig, records: Sequence[AuditRecord]) -> None:
    for name in (file_name(TOPIC, 0, 25), manifest_name(TOPIC, 0, 25)):
        await rig.objects.delete(name)
    report = await verified(rig)
    assert (report.status, {fault.kind for fault in report.faults}) == (Status.INCOMPLETE, {"archive"})
    assert {fault.log: fault.sequence for fault in report.faults} == {LOG: 20, f"{REGION}/{OTHER}": 5}


async def test_erasure_between_log_and_archive_is_no_fault(rig: Rig) -> None:
    made = [rig.record() for _ in range(4)]
    await rig.ingest(*made[:2])
    await rig.erase(ADA)
    await rig.ingest(*made[2:])
    await rig.archive(*made)  # none with an address, and two of the log have one
    assert (await verified(rig)).faults == []


async def test_an_address_that_only_one_of_both_has_is_found_while_its_key_lives(rig: Rig) -> None:
    made = [rig.record(address=""), rig.record()]
    await rig.ingest(*made)
    await rig.archive(replace(made[0], address="192.0.2.1"), made[1])
    report = await verified(rig)
    assert (report.status, found(report)) == (Status.TAMPERED, {"archive": 0})


async def test_a_record_that_is_in_the_archive_twice_is_in_the_log_once(rig: Rig) -> None:
    made = [rig.record() for _ in range(3)]
    await rig.ingest(*made)
    await rig.archive(*made, made[1])
    assert (await verified(rig)).faults == []


async def test_one_log_alone_is_not_compared_with_the_archive(rig: Rig) -> None:
    await rig.grow(3)
    rig.clock.advance(OLD)
    await rig.sign()
    assert (await rig.verify(log=LOG)).faults == []
    assert (await rig.verify()).status is Status.INCOMPLETE
