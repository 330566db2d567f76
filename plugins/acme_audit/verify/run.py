"""All logs, and what belongs to none of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from acme import ObjectStore, Resources, Statements
from acme_audit.store import CheckpointStore, Head, LogStore, RecordStore, SubjectStore, WitnessStore
from acme_audit.verify.anchors import Anchors
from acme_audit.verify.archive import ArchivedRecords
from acme_audit.verify.records import Walk
from acme_audit.verify.report import Report, Status
from acme_audit.verify.signed import Chain, Roots
from acme_audit.witness import PATIENCE


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be verified."""

    log: str = ""
    """Only this one."""
    start: int = 0
    """From this record on."""
    end: int | None = None
    """To this record, included."""
    offline: bool = False
    """Nothing outside of the database is looked at."""
    checkpoint: str = ""
    """A note that somebody kept."""


class Verification:
    """Verifies a database."""

    def __init__(
        self,
        database: Statements,
        objects: ObjectStore | None,
        anchors: Anchors,
        keys: list[Ed25519PublicKey],
        report: Report,
    ) -> None:
        self._logs, self._records = LogStore(database), RecordStore(database)
        self._signed, self._witnesses = CheckpointStore(database), WitnessStore(database)
        self._anchors, self._keys, self._report = anchors, keys, report
        self._archive = (
            ArchivedRecords(objects, self._records, SubjectStore(database), report) if objects is not None else None
        )

    async def one(self, head: Head, asked: Asked, now: datetime) -> None:
        """Verifies a log."""
        self._report.logs += 1
        chain = Chain(head, self._signed, self._keys, self._report)
        expected = [*await chain.read(), *self._anchors.expected(head)]
        end = head.size if asked.end is None else min(asked.end + 1, head.size)
        start = min(asked.start, end)
        roots = Roots(head, self._report, expected, start=start)
        try:
            head.tree()
        except ValueError as error:
            self._report.add(Status.TAMPERED, "head", head.name, None, str(error))
        walk = Walk(head, self._logs, self._records, self._report, roots, start=start, end=end)
        await walk.run()
        await self._beyond(head)
        await self._anchors.compare(head, chain, now)

    async def _beyond(self, head: Head) -> None:
        """Records and nodes that nobody has appended."""
        last, levels = await self._records.last(head.id), await self._logs.levels(head.id)
        signed = await self._signed.newest(head.id)
        now = await self._logs.head(head.name)
        size = now.size if now is not None else 0
        if last >= size:
            self._report.add(Status.TAMPERED, "beyond", head.name, size, "it stands behind the end of the log")
        if now is None or signed > now.signed:
            text = f"number {signed} is there, and the log says that {now.signed if now else 0} is the last"
            self._report.add(Status.TAMPERED, "signatures", head.name, None, text)
        for level, highest in levels.items():
            if highest >= size >> level:
                text = f"the tree has a hash over 2^{level} records that is not there yet"
                self._report.add(Status.TAMPERED, "node", head.name, None, text)

    async def all(self, asked: Asked, now: datetime) -> None:
        """Verifies all logs, and whether that is all."""
        known: set[str] = set()
        sizes: dict[int, tuple[str, int]] = {}
        while heads := await self._logs.heads(after=max(known, default="")):
            for head in heads:
                await self.one(head, asked, now)
                known.add(head.name)
                sizes[head.id] = head.name, head.size
        for log_id in await self._records.orphans():
            text = f"there are records of a log {log_id}, and no such log"
            self._report.add(Status.TAMPERED, "log", "", None, text)
        await self._anchors.missing(known)
        if self._archive is not None:
            await self._archive.compare(sizes, now)
        count, first = await self._witnesses.lacking(until=now - PATIENCE)
        if count:
            text = f"{count:,} events have no record, the first is {first}"
            self._report.add(Status.INCOMPLETE, "events", "", None, text)


async def verify(resources: Resources[Any], asked: Asked) -> Report:
    """Verifies the audit service's database.

    Raises:
        ValueError: the checkpoint that somebody kept is none, or there is no such log.
    """
    began, report, now = time.monotonic(), Report(), resources.clock.now()
    database = resources.database
    keys = [Ed25519PublicKey.from_public_bytes(key.public) for key in await CheckpointStore(database).keys()]
    signed = CheckpointStore(database)
    objects = None if asked.offline else resources.archive
    anchors = Anchors(objects, signed, asked.checkpoint, keys, report, region=resources.region)
    verification = Verification(database, objects, anchors, keys, report)
    log = asked.log or (anchors.log if asked.checkpoint else "")
    if log:
        head = await LogStore(database).head(log)
        if head is None and log != anchors.log:
            raise ValueError(f"there is no log {log}")
        if head is None:
            report.add(Status.TAMPERED, "log", log, None, "a checkpoint of it was kept, and the database has nothing")
        else:
            await verification.one(head, asked, now)
    else:
        await verification.all(asked, now)
    report.seconds = time.monotonic() - began
    return report
