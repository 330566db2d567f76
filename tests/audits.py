"""The audit service's parts over a real database, for tests of what lies under its contracts."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from acme_audit import _checkpoints, ledger, plugin
from acme_audit.checkpoints import Checkpoints
from acme_audit.keys import SubjectKeys
from acme_audit.store import Head, LogStore, SubjectStore

from acme import NoSettings, work
from acme.codec.avro import Avro
from acme.contracts.audit.v1 import Actor, AuditRecord, Category, Decision, Outcome, Target
from acme.drivers import postgres
from acme.drivers.clock import MovableClock
from acme.drivers.files import Files
from acme.drivers.vault import Vault
from acme.ids import new_id
from acme.pages import Pages
from acme.plugin import Event, Resources, TokenProfile
from acme.ports import Database, ObjectStore
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
        self.logs = LogStore(self.database)
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
        with self.units.outside():
            await self.checkpoints.first_key()
            return [*await self.checkpoints.sign_due(), *await self.checkpoints.archive(self.objects)]

    async def erase(self, subject: str) -> bool:
        """Destroys a subject's key."""
        with self.units.outside():
            async with work():
                return await SubjectKeys(SubjectStore(self.database), self.cipher, self.clock).destroy(subject)

    async def head(self, name: str = LOG) -> Head:
        found = await self.logs.head(name)
        assert found is not None
        return found

    async def tamper(self, *statements: str) -> None:
        """What somebody does who owns the database: without the triggers."""
        async with self.pool.connection() as connection:
            await connection.begin()
            await connection.execute("SET LOCAL session_replication_role = replica")
            for statement in statements:
                await connection.execute(statement)
            await connection.commit()


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
