"""Services for tests of what lies under services: dispatch and units of work. Their handlers are scripts of the test.

They keep published contracts, because those are what is compiled: `Projects` has a permission and both NONE and AUTO
methods, `Users.CreateUser` is public and MANUAL, `Sessions.RefreshSession` is public and has a secret reply, `Authority` is
internal and NONE.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from acme import authorise, events, mail, work
from acme.codec.avro import Avro
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import CALL, Call, IdempotencyKey, Kind, Membership, Principal
from acme.contract import Contracts, load
from acme.contracts.audit.v1 import AuditRecord
from acme.contracts.authority.v1 import AuthorityBase, ChangesReply, ChangesRequest
from acme.contracts.projects.v1 import (
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectsReply,
    ListProjectsRequest,
    Project,
    ProjectCreated,
    ProjectsBase,
    ProjectsStub,
    ProjectTransfer,
    TransferProjectRequest,
)
from acme.contracts.users.v1 import (
    CreateUserReply,
    CreateUserRequest,
    RefreshSessionRequest,
    SessionsBase,
    SessionTokens,
    UsersBase,
    UsersStub,
)
from acme.dispatch import Directory, Host, Pipeline, Placement
from acme.drivers import postgres
from acme.drivers.clock import MovableClock
from acme.drivers.vault import Vault
from acme.errors import Refused
from acme.ports import Database, Row
from acme.runtime.migrations import migrate
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing.server import Server
from acme.work import UnitFactory

T = TypeVar("T")
Script = Callable[[Any], Awaitable[Any]]

ANN: Final = Principal(
    Kind.USER,
    "usr_ann",
    scopes=frozenset({"*"}),
    organization="org_ann",
    memberships={"org_ann": Membership("owner", default_role="owner")},
)
PROJECT: Final = "prj_01m821mp30er1rnjnb3atkr46z"
"""An id of a project, as the rules want it."""
INSERT: Final = "INSERT INTO things (id) VALUES ($1)"
SIGN_UP: Final = CreateUserRequest(email="ann@example.com", password="correct horse battery", display_name="Ann")
"""A request of the MANUAL method."""
CONTRACTS: Final[Contracts] = load("acme.contracts")


async def _no_script(message: Any) -> Any:
    raise AssertionError("the test gave this service no script")


class Projects(ProjectsBase):
    """Does what the test says."""

    script: Script = staticmethod(_no_script)

    async def create_project(self, message: CreateProjectRequest) -> Project:
        reply: Project = await self.script(message)
        return reply

    async def get_project(self, message: GetProjectRequest) -> Project:
        reply: Project = await self.script(message)
        return reply

    async def transfer_project(self, message: TransferProjectRequest) -> ProjectTransfer:
        reply: ProjectTransfer = await self.script(message)
        return reply

    async def list_projects(self, message: ListProjectsRequest) -> ListProjectsReply:
        reply: ListProjectsReply = await self.script(message)
        return reply


class Users(UsersBase):
    """Does what the test says."""

    script: Script = staticmethod(_no_script)

    async def create_user(self, message: CreateUserRequest) -> CreateUserReply:
        reply: CreateUserReply = await self.script(message)
        return reply


class Sessions(SessionsBase):
    """Does what the test says."""

    script: Script = staticmethod(_no_script)

    async def refresh_session(self, message: RefreshSessionRequest) -> SessionTokens:
        reply: SessionTokens = await self.script(message)
        return reply


class Authority(AuthorityBase):
    """Does what the test says."""

    script: Script = staticmethod(_no_script)

    async def changes(self, message: ChangesRequest) -> ChangesReply:
        reply: ChangesReply = await self.script(message)
        return reply


@dataclass
class Stage:
    """What services stand on, and the services."""

    pool: Database
    url: str
    clock: MovableClock
    metrics: Metrics
    tasks: Tasks
    wire: Wire = field(default_factory=lambda: Wire(CONTRACTS))
    avro: Avro = field(default_factory=lambda: Avro(CONTRACTS))
    cipher: Vault = field(default_factory=lambda: Vault(b"a master secret for the tests, 32+"))
    projects: Projects = field(default_factory=Projects)
    users: Users = field(default_factory=Users)
    sessions: Sessions = field(default_factory=Sessions)
    authority: Authority = field(default_factory=Authority)

    def __post_init__(self) -> None:
        self.units = self.factory(self.pool)
        self.pipeline = Pipeline(CONTRACTS, self.wire, Checks(CONTRACTS), self.metrics, self.clock)
        self.directories = {name: self.directory(name, self.units) for name in ("local", "loopback")}

    def factory(self, pool: Database) -> UnitFactory:
        """Units of work over a pool."""
        return UnitFactory(
            "things",
            pool,
            contracts=CONTRACTS,
            avro=self.avro,
            cipher=self.cipher,
            clock=self.clock,
            metrics=self.metrics,
            kinds=["ping"],
        )

    def directory(self, placement: Any, units: UnitFactory | None) -> Directory:
        """All four services in one placement."""
        directory = Directory(self.pipeline)
        chosen: Placement = placement
        for instance in (self.projects, self.users, self.sessions, self.authority):
            directory.host(Host(CONTRACTS.service_of(instance), instance, "things", units), chosen)
        return directory

    def client(self, stub: type[T], placement: str = "loopback", caller: str = "gateway") -> T:
        """A client that calls in the name of `caller`."""
        return self.directories[placement].named(caller).client(stub)

    async def create(self, key: str = "", request: str = "a", placement: str = "loopback") -> Project:
        """Calls the AUTO method as Ann, from the gateway."""
        with calling(key=key, fingerprint=request.encode()):
            return await self.client(ProjectsStub, placement).create_project(CreateProjectRequest(name=request))

    def writes(self, reply: Project | Refused | None = None) -> list[str]:
        """Lets the AUTO method write a thing, an event and a mail; returns the names of the requests it has served."""
        served: list[str] = []

        async def script(message: CreateProjectRequest) -> Project:
            served.append(message.name)
            authorise.own("projects.create")
            await self.units.database.execute(INSERT, f"{message.name}{len(served)}")
            events.add(ProjectCreated(project_id="prj_1"))
            mail.add(to="ann@example.com", subject="Made", text="It is made.")
            if isinstance(reply, Refused):
                raise reply
            return reply or Project(id=f"prj_{len(served)}", name=message.name, labels={"a": "b"})

        self.projects.script = script
        return served

    def signs_up(self, *, error: Exception | None = None, inside: bool = False) -> list[str]:
        """Lets the MANUAL method write one thing in each of two units, the second of which is the last."""
        served: list[str] = []

        async def script(message: CreateUserRequest) -> CreateUserReply:
            served.append(message.email)
            async with work():
                await self.units.database.execute(INSERT, f"attempt {len(served)}")
            async with work(last=True):
                await self.units.database.execute(INSERT, message.email)
                events.add(ProjectCreated(project_id="prj_1"))
                if error is not None and inside:
                    raise error
            if error is not None:
                raise error
            return CreateUserReply()

        self.users.script = script
        return served

    async def sign_up(self, key: str = "") -> CreateUserReply:
        with calling(key=key):
            return await self.client(UsersStub).create_user(SIGN_UP)

    async def quiet(self) -> None:
        """Waits until no statement and no transaction of anybody else's is left, and every connection works."""
        deadline = time.monotonic() + 5
        while await self.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state <> 'idle'"
        ):
            assert time.monotonic() < deadline, "something is still running"
            await asyncio.sleep(0.002)
        assert await asyncio.gather(*(self.value("SELECT 1") for _ in range(8))) == [1] * 8

    async def sql(self, sql: str, *args: Any) -> list[Row]:
        """A statement of the test's own."""
        async with self.pool.connection() as connection:
            return list(await connection.fetch(sql, *args))

    async def value(self, sql: str, *args: Any) -> Any:
        async with self.pool.connection() as connection:
            return await connection.fetchval(sql, *args)

    async def counts(self) -> tuple[int, int, int, int]:
        """Rows of (things, outbox without audit records, deliveries, idempotency)."""
        row = (
            await self.sql(
                "SELECT (SELECT count(*) FROM things),"
                " (SELECT count(*) FROM acme.outbox WHERE topic <> 'acme.audit.log'),"
                " (SELECT count(*) FROM acme.deliveries), (SELECT count(*) FROM acme.idempotency)"
            )
        )[0]
        return (row[0], row[1], row[2], row[3])

    async def records(self) -> list[AuditRecord]:
        """The audit records that were left, oldest first."""
        rows = await self.sql("SELECT payload FROM acme.outbox WHERE topic = 'acme.audit.log' ORDER BY id")
        return [self.avro.decode(row["payload"]) for row in rows]

    async def clear(self) -> None:
        """Empties all tables."""
        async with self.pool.connection() as connection:
            await connection.execute("TRUNCATE things, acme.outbox, acme.deliveries, acme.idempotency")

    def count(self, name: str, **labels: str) -> float:
        """The value of a counter's series; the sum of those that have these labels."""
        total = 0.0
        for line in self.metrics.render().decode().splitlines():
            if line.startswith(name + "{") and all(f'{label}="{value}"' in line for label, value in labels.items()):
                total += float(line.rpartition(" ")[2])
        return total


async def finished(work: Awaitable[Any]) -> None:
    """For `Tasks.spawn`."""
    await work


@asynccontextmanager
async def stage(server: Server, folder: Path, *, size: int = 4) -> AsyncIterator[Stage]:
    """A stage on a fresh database with the platform's tables and a table `things`."""
    metrics = Metrics()
    async with server.database() as name, Tasks("test", metrics) as tasks:
        url = server.url(name)
        pool = await postgres.open(url, size=size, tasks=tasks)
        clock = MovableClock(folder / "clock")
        try:
            await migrate(pool, "things", "acme.work", clock)
            async with pool.connection() as connection:
                await connection.execute("CREATE TABLE things (id text PRIMARY KEY, note text NOT NULL DEFAULT '')")
            yield Stage(pool, url, clock, metrics, tasks)
        finally:
            clock.close()
            await pool.close()


@contextmanager
def calling(
    principal: Principal = ANN,
    *,
    key: str = "",
    fingerprint: bytes = b"a",
    seconds: float = 10.0,
    service: str = "gateway",
    method: str = "",
) -> Iterator[Call]:
    """The context that the gateway makes for a request."""
    idempotency = IdempotencyKey(key, fingerprint) if key else None
    call = Call(method, principal, "req_1", time.monotonic() + seconds, service, "192.0.2.1", "00-trace", idempotency)
    token = CALL.set(call)
    try:
        yield call
    finally:
        CALL.reset(token)


def refusal(error: Refused) -> tuple[Any, ...]:
    """All that may cross of a refusal."""
    return (type(error), error.code, error.reason, error.message, error.faults, error.retry_after)
