"""The records in the archive, against those in the database: each came over the bus once, and went both ways.

The archive is read once, from its first file to its last, and every file is proved on the way (`acme.archived`). What has to
be remembered is one bit a record of the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from acme import ArchiveBroken, ObjectStore, archived
from acme.contracts.audit.v1 import AuditRecord
from acme_audit import canonical
from acme_audit.keys import subject_of
from acme_audit.ledger import log_name
from acme_audit.store import Found, RecordStore, SubjectStore
from acme_audit.verify.report import Report, Status

BATCH: Final = 1000

GRACE: Final = timedelta(hours=2)
"""How long a record may take into the archive, whose files wait for more records, and out of the bus into the database."""


class ArchivedRecords:
    """Compares."""

    def __init__(self, objects: ObjectStore, records: RecordStore, subjects: SubjectStore, report: Report) -> None:
        self._objects, self._records, self._subjects, self._report = objects, records, subjects, report
        self._seen: dict[int, bytearray] = {}
        """By log, a bit for each record."""

    async def compare(self, sizes: Mapping[int, tuple[str, int]], now: datetime) -> None:
        """Notes what differs. `sizes`: name and size of each log, by its id."""
        self._seen = {log_id: bytearray((size + 7) // 8) for log_id, (_, size) in sizes.items()}
        batch: list[tuple[AuditRecord, datetime]] = []
        try:
            file = ""
            async for entry in archived(self._objects, AuditRecord):
                if entry.file != file:
                    file = entry.file
                    self._report.archived += 1
                if entry.message is None:
                    continue  # none of ours, or one that nobody could read: it is a dead letter of the consumer, too
                batch.append((entry.message, entry.at))
                if len(batch) == BATCH:
                    await self._batch(batch, now)
                    batch.clear()
        except ArchiveBroken as broken:
            status = Status.INCOMPLETE if broken.missing else Status.TAMPERED
            self._report.add(status, "archive", "", None, str(broken))
            return  # what comes after is not known to be missing
        await self._batch(batch, now)
        for log_id, (name, size) in sizes.items():
            await self._missing(log_id, name, size, now)

    async def _batch(self, batch: list[tuple[AuditRecord, datetime]], now: datetime) -> None:
        kept = await self._records.by_id([record.id for record, _ in batch])
        for record, at in batch:
            found = kept.get(record.id)
            if found is not None:
                await self._one(record, found)
            elif at < now - GRACE:
                name = log_name(record.region, record.organization_id)
                text = f"{record.id} is in the archive, and not in the log"
                self._report.add(Status.INCOMPLETE, "archive", name, None, text)

    async def _one(self, record: AuditRecord, found: Found) -> None:
        seen = self._seen.get(found.log_id)
        if seen is not None and 0 <= found.sequence < 8 * len(seen):
            seen[found.sequence >> 3] |= 1 << (found.sequence & 7)
        if not await self._equal(record, found.canonical):
            name = log_name(record.region, record.organization_id)
            self._report.add(
                Status.TAMPERED, "archive", name, found.sequence, "the archive has another record of this id"
            )

    async def _equal(self, record: AuditRecord, content: bytes) -> bool:
        """Whether both say the same, but for an address that one of them was written too late to have."""
        try:
            ours: dict[str, Any] = msgspec.json.decode(content)
        except msgspec.DecodeError:
            return False
        theirs = canonical.content(record, record.address)
        for name in canonical.PLACE:
            ours.pop(name, None)
        if ours == theirs:
            return True
        if ("address" in ours) == ("address" in theirs):
            return False
        ours.pop("address", None)
        theirs.pop("address", None)
        subject = subject_of(record)
        return ours == theirs and (await self._subjects.read([subject])).get(subject, b"") is None

    async def _missing(self, log_id: int, name: str, size: int, now: datetime) -> None:
        """The first record that is not in the archive, when it is old enough to be."""
        seen = self._seen[log_id]
        at = next((number for number, byte in enumerate(seen) if byte != 0xFF), len(seen))
        if at == len(seen):
            return
        sequence = at * 8 + next(bit for bit in range(8) if not seen[at] >> bit & 1)
        if sequence >= size:
            return
        for row in await self._records.scan(log_id, sequence, sequence + 1, limit=1):
            try:
                recorded_at = canonical.read(row["canonical"]).recorded_at
            except ValueError:
                return  # that is told already
            if recorded_at < now - GRACE:
                self._report.add(Status.INCOMPLETE, "archive", name, sequence, "it is not in the archive")
