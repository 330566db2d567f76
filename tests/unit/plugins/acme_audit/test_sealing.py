"""What the archive gets."""

from __future__ import annotations

from acme_audit import canonical
from acme_audit.sealing import sealed

from tests.audits import ADA, Rig, heard


async def test_the_archive_holds_the_same_ciphertext_as_the_log(rig: Rig) -> None:
    records = [rig.record(), rig.record(subject_id=""), rig.record(address="")]
    await rig.ingest(*records)
    archived = await sealed(rig.resources, [heard(record) for record in records])
    assert archived == [content.record for content in await rig.contents()]
    assert archived == await sealed(rig.resources, [heard(record) for record in records])
    assert [record.address for record in records] == ["192.0.2.1", "192.0.2.1", ""]  # what was heard stays as it was
    assert b"192.0.2.1" not in b"".join(bytes(record) for record in archived)


async def test_nothing_personal_of_an_erased_subject_is_archived(rig: Rig) -> None:
    await rig.erase(ADA)
    (archived,) = await sealed(rig.resources, [heard(rig.record())])
    assert archived.address == ""
    assert canonical.content(archived, "")["subject_id"] == ADA
