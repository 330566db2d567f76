"""The audit service's parts over a real database, for tests of what lies under its contracts."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from acme_audit import _checkpoints, canonical, ledger, plugin
from acme_audit.checkpoints import Checkpoints
from acme_audit.keys import SubjectKeys
from acme_audit.notes import Checkpoint
from acme_audit.sealing import sealed
from acme_audit.store import CheckpointStore, Head, LogStore, RecordStore, Signed, SubjectStore, WitnessStore
from acme_audit.verify.anchors import Anchors
from acme_audit.verify.report import Report
from acme_audit.verify.run import Asked, Verification, verify
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from acme import NoSettings, work
from acme.archives import Entry, Layout
from acme.archives.manifest import digest, file_name, manifest_name
from acme.archives.reading import manifest_of
from acme.codec.avro import Avro
from acme.contracts.audit.v1 import Actor, AuditRecord, Category, Decision, Outcome, Target
from acme.drivers import postgres
from acme.drivers.clock import MovableClock
from acme.drivers.files import Files
from acme.drivers.vault import Vault
from acme.ids import new_id
from acme.pages import Pages
from acme.plugin import Event, Resources, TokenProfile
from acme.ports import Clock, Database, ObjectStore
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing.databases import migrated
from acme.testing.server import Server
from acme.work import UnitFactory
from tests.services import CONTRACTS

REGION: Final = "us-east"
ORGANIZATION: Final = "org_01m821mp30er1rnjnb3atkr46z"
OTHER: Final = "org_01m821mp30er1rnjnb3atkr470"
LOG: Final = f"{REGION}/{ORGANIZATION}"
ADA: Final = "usr_01m821mp30er1rnjnb3atkr46z"
_NUMBERS: Final = itertools.count()


class Content(NamedTuple):
    """A record in its place."""

    sequence: int
    canonical: bytes
    record: AuditRecord


@dataclass
class Rig:
    """A database of the audit service, and what the platform would hand to it."""

    url: str
    pool: Database
    clock: MovableClock
    objects: ObjectStore
    region: str = REGION
    cipher: Vault = field(default_factory=lambda: Vault(b"a master secret for the tests, 32+"))

    def __post_init__(self) -> None:
        self.units = UnitFactory(
            "audit",
            self.pool,
            contracts=CONTRACTS,
            avro=Avro(CONTRACTS),
            cipher=self.cipher,
            clock=self.clock,
            metrics=Metrics(),
        )
        self.database = self.units.database
        self.logs, self.signed = LogStore(self.database), CheckpointStore(self.database)
        self.resources: Resources[NoSettings] = Resources(
            name="audit",
            settings=NoSettings(),
            database=self.database,
            cache=None,  # type: ignore[arg-type]  # the audit service caches nothing
            directory=None,  # type: ignore[arg-type]  # and calls nobody
            clock=self.clock,
            cipher=self.cipher,
            archive=self.objects,
            pages=Pages(self.cipher),
            tokens=TokenProfile("acme", "acme"),
            region=self.region,
            public_url="https://acme.test",
        )

    @property
    def checkpoints(self) -> Checkpoints:
        return _checkpoints(self.resources)

    def record(self, **said: Any) -> AuditRecord:
        """A record of Ada's, with everything in it."""
        made = {
            "id": new_id("aud", self.clock),
            "organization_id": ORGANIZATION,
            "region": self.region,
            "occurred_at": self.clock.now(),
            "action": "acme.projects.v1.Projects/ArchiveProject",
            "category": Category.WRITE,
            "outcome": Outcome.OK,
            "actor": Actor(kind="user", id=ADA, session_id="ses_01m821mp30er1rnjnb3atkr46z", service="gateway"),
            "decisions": [Decision(permission="projects.archive", resource="prj_1", role="owner", granted=True)],
            "targets": [Target(kind="prj", id=f"prj_{next(_NUMBERS)}")],
            "changes": ["name"],
            "address": "192.0.2.1",
            "request_id": "req_1",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "service": "projects",
            "service_version": "0.1.0",
            "event_ids": [new_id("evt", self.clock)],
            "subject_id": ADA,
        }
        return AuditRecord(**{**made, **said})

    async def ingest(self, *records: AuditRecord) -> None:
        """Lets the consumer hear records, as one batch."""
        with self.units.outside():
            async with work():
                await ledger.ingest(self.resources, [heard(record) for record in records])

    async def grow(self, count: int, *, batch: int = 200, **said: Any) -> None:
        """Adds so many records."""
        for start in range(0, count, batch):
            await self.ingest(*(self.record(**said) for _ in range(min(batch, count - start))))

    async def sign(self) -> list[str]:
        """Signs what is due, and archives it; returns what stands against it."""
        return [*await self.sign_only(), *await self.checkpoints.archive(self.objects)]

    async def sign_only(self) -> list[str]:
        """The same without the object store."""
        with self.units.outside():
            await self.checkpoints.first_key()
            return await self.checkpoints.sign_due()

    async def archive(self, *records: AuditRecord, start: int = 0, previous: str = "") -> str:
        """Writes records into the archive as one file of partition 0, sealed, from this offset on; returns the SHA-256 of
        its manifest, for the next one."""
        layout = Layout(Avro(CONTRACTS), CONTRACTS.message_of(AuditRecord))
        entries = [
            Entry(
                start + number, int(self.clock.time() * 1000), record.id, b"", "acme.audit.v1.AuditRecord", record, None
            )
            for number, record in enumerate(await sealed(self.resources, [heard(record) for record in records]))
        ]
        content = layout.write(0, start, start + len(entries), (), entries)
        manifest = manifest_of(layout.read(content), content, previous).content()
        await self.objects.create(file_name(layout.topic, 0, start), content)
        await self.objects.create(manifest_name(layout.topic, 0, start), manifest)
        return digest(manifest)

    async def erase(self, subject: str) -> bool:
        """Destroys a subject's key."""
        with self.units.outside():
            async with work():
                return await SubjectKeys(SubjectStore(self.database), self.cipher, self.clock).destroy(subject)

    async def verify(self, **asked: Any) -> Report:
        """What `acme audit verify` finds."""
        return await verify(self.resources, Asked(**asked))

    async def verify_as_of(self, head: Head) -> Report:
        """The same of one log, as if it had begun when this was its head."""
        report = Report()
        keys = await self.checkpoints.public_keys()
        anchors = Anchors(self.objects, self.signed, "", keys, report, region=self.region)
        await Verification(self.database, self.objects, anchors, keys, report).one(head, Asked(), self.clock.now())
        return report

    async def contents(self, name: str = LOG) -> list[Content]:
        """All of a log, with addresses as they are kept."""
        rows = await RecordStore(self.database).scan((await self.head(name)).id, 0, 1 << 40, limit=10_000)
        read = [(row["canonical"], canonical.read(row["canonical"])) for row in rows]
        return [Content(kept.sequence, content, canonical.record_of(kept, kept.address)) for content, kept in read]

    @asynccontextmanager
    async def copied(self, tables: Sequence[str]) -> AsyncIterator[None]:
        """Copies tables, and restores the copy at the end."""
        for table in tables:
            await self._tamper(f"CREATE TABLE copy_of_{table} AS TABLE {table}")
        yield
        for table in tables:
            await self._tamper(f"DELETE FROM {table}")  # noqa: S608 - a test's own
            overriding = "OVERRIDING SYSTEM VALUE" if table == "logs" else ""
            await self._tamper(f"INSERT INTO {table} {overriding} TABLE copy_of_{table}")

    async def head(self, name: str = LOG) -> Head:
        found = await self.logs.head(name)
        assert found is not None
        return found

    # What somebody does who owns the database: triggers do not keep them from it.

    async def alter(self, table: str, change: str, where: str = "true", *, log: str = LOG) -> None:
        """Changes rows of a log."""
        await self._tamper(f"UPDATE {table} SET {change} WHERE {where} AND {_of(table, log)}")  # noqa: S608 - a test's own

    async def delete(self, table: str, where: str = "true", *, log: str = LOG) -> None:
        """Deletes rows of a log."""
        await self._tamper(f"DELETE FROM {table} WHERE {where} AND {_of(table, log)}")  # noqa: S608 - a test's own

    async def flip(self, table: str, column: str, where: str, *, bit: int = 9) -> None:
        """Flips a bit."""
        await self.alter(table, f"{column} = set_bit({column}, {bit}, 1 - get_bit({column}, {bit}))", where)

    async def _tamper(self, statement: str) -> None:
        async with self.pool.connection() as connection:
            await connection.begin()
            await connection.execute("SET LOCAL session_replication_role = replica")
            assert not (await connection.execute(statement)).endswith(" 0")
            await connection.commit()


def _of(table: str, log: str) -> str:
    return f"{'id' if table == 'logs' else 'log_id'} = (SELECT id FROM logs WHERE name = '{log}')"  # noqa: S608 - as above


async def fill(database: Any, organization: str, clock: Clock, *, region: str) -> None:
    """Two records and a checkpoint of an organisation, over a bare connection."""
    keys = SubjectKeys(SubjectStore(database), Vault(bytes(32)), clock)
    log = ledger.Ledger(LogStore(database), keys, WitnessStore(database), clock, region=region)
    await log.append(
        [AuditRecord(id=new_id("aud", clock), organization_id=organization, region=region) for _ in range(2)]
    )
    head, now = await LogStore(database).head(ledger.log_name(region, organization)), clock.now()
    assert head is not None
    note = Checkpoint(head.name, 1, head.size, head.tree().root(), now).sign(Ed25519PrivateKey.generate())
    await CheckpointStore(database).add(head.id, Signed(1, head.size, now, note))
    await CheckpointStore(database).archived(head.id, 1)


def found(report: Report) -> dict[str, int | None]:
    """First place of each kind of fault, whatever the log."""
    return {fault.kind: fault.sequence for fault in report.faults}


def heard(message: Any, event_id: str = "evt_1", occurred_at: datetime | None = None) -> Event[Any]:
    """An event, as a consumer hears it."""
    return Event(
        message=message,
        id=event_id,
        source="projects",
        occurred_at=occurred_at or datetime.fromisoformat("2026-01-01T00:00:00Z"),
        organization="",
        aggregate=REGION,
        principal_kind="user",
        principal_id=ADA,
        request_id="req_1",
        traceparent="",
        topic="acme.audit.log",
        partition=0,
        offset=0,
    )


@asynccontextmanager
async def rig(server: Server, folder: Path) -> AsyncIterator[Rig]:
    """A rig on a fresh database."""
    async with migrated(server, plugin) as name, Tasks("test", Metrics()) as tasks:
        clock = MovableClock(folder / "clock")
        pool = await postgres.open(server.url(name), size=4, tasks=tasks)
        try:
            yield Rig(server.url(name), pool, clock, Files(folder / "objects"))
        finally:
            clock.close()
            await pool.close()


def hexed(hashes: Sequence[bytes]) -> list[str]:
    return [each.hex() for each in hashes]
