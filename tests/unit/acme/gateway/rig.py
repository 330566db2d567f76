"""A gateway on a real port, before services of the real contracts that keep what they are told in memory."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from acme import drivers
from acme.codec.json import Json
from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import Call, current
from acme.contract import Contracts, load
from acme.contracts.authority.v1 import AuthorityStub
from acme.contracts.projects.v1 import (
    ArchiveProjectRequest,
    CreateProjectRequest,
    GetProjectRequest,
    ListProjectsReply,
    ListProjectsRequest,
    Project,
    ProjectsBase,
    ProjectSettingsBase,
    Settings,
    UnarchiveProjectRequest,
    UpdateProjectRequest,
    UpdateProjectSettingsRequest,
)
from acme.contracts.users.v1 import (
    CreateSessionRequest,
    DeleteSessionReply,
    DeleteSessionRequest,
    SessionsBase,
    SessionTokens,
)
from acme.dispatch import Directory, Host, Pipeline, Placement
from acme.drivers.vault import Vault
from acme.errors import NotFound, Stale, Unauthenticated
from acme.gateway.app import Gateway
from acme.gateway.endpoints import Info
from acme.gateway.listening import Listening
from acme.gateway.settings import ClassSettings, GatewaySettings, LimitSettings
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.tokens import POLL_EVERY, Assertions, TokenSettings, Verifier
from acme.traces import Tracer
from tests.unit.acme.authority import Authority

CONTRACTS: Contracts = load("acme.contracts")
MUCH = ClassSettings(rate=6e6, burst=1_000_000, address_rate=6e6, address_burst=1_000_000)
UNLIMITED = LimitSettings(default=MUCH, credentials=MUCH)
"""As good as no limits, where a test is about something else."""
ID = "prj_01h455vb4pex5vsknk084sn02q"
GOOD = "a token that is valid"
SESSION = "ses_01h455vb4pex5vsknk084sn02q"


@dataclass
class Projects(ProjectsBase):
    """One project for everybody. `before` runs first in every method, with the request."""

    project: Project = field(
        default_factory=lambda: Project(
            id=ID, name="Apollo", labels={"a": "b"}, version=7, created_at=datetime(2026, 3, 1, tzinfo=UTC)
        )
    )
    requests: list[Any] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    before: Callable[[Any], Awaitable[None]] | None = None

    async def create_project(self, message: CreateProjectRequest) -> Project:
        await self._take(message)
        return Project(id=ID, name=message.name, description=message.description, labels=message.labels, version=1)

    async def get_project(self, message: GetProjectRequest) -> Project:
        await self._take(message)
        if message.id != ID:
            raise NotFound("There is no such project, or you may not see it.")
        return self.project

    async def list_projects(self, message: ListProjectsRequest) -> ListProjectsReply:
        await self._take(message)
        return ListProjectsReply(projects=[self.project] * (message.page_size or 50))

    async def update_project(self, message: UpdateProjectRequest) -> Project:
        await self._take(message)
        if message.if_match not in (None, self.project.version):
            raise Stale("The project has changed: read it again.")
        return self.project

    async def archive_project(self, message: ArchiveProjectRequest) -> Project:
        await self._take(message)
        return self.project

    async def unarchive_project(self, message: UnarchiveProjectRequest) -> Project:
        await self._take(message)
        return self.project

    async def _take(self, message: Any) -> None:
        call = current()
        call.decided = True
        self.requests.append(message)
        self.calls.append(call)
        if self.before is not None:
            await self.before(message)


@dataclass
class ProjectSettings(ProjectSettingsBase):
    """Settings that nobody keeps, at version 3."""

    requests: list[Any] = field(default_factory=list)

    async def update_project_settings(self, message: UpdateProjectSettingsRequest) -> Settings:
        current().decided = True
        self.requests.append(message)
        return Settings(settings=message.patch, version=4)


@dataclass
class Sessions(SessionsBase):
    """Anybody logs in whose password is "right"."""

    requests: list[Any] = field(default_factory=list)

    async def create_session(self, message: CreateSessionRequest) -> SessionTokens:
        self.requests.append(message)
        if message.password != "right":
            raise Unauthenticated("Address or password is wrong.", reason="invalid_credentials")
        return SessionTokens(access_token="a", refresh_token="r", token_type="Bearer", expires_in=600)

    async def delete_session(self, message: DeleteSessionRequest) -> DeleteSessionReply:
        current().decided = True
        return DeleteSessionReply()


@dataclass(frozen=True)
class Answer:
    """An HTTP answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def problem(self, status: int, code: str) -> Any:
        """The problem; checks that it is one and has this status and code."""
        assert (self.status, self.json["code"]) == (status, code), self
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["x-request-id"] == self.json["request_id"]
        assert self.json["status"] == status
        assert self.json["type"] == "about:blank"
        assert self.json["title"]
        assert self.json["detail"]
        return self.json


@dataclass
class Rig:
    """What a test needs."""

    gateway: Gateway
    port: int
    authority: Authority
    verifier: Verifier
    metrics: Metrics
    projects: Projects
    sessions: Sessions
    settings: ProjectSettings
    log: io.StringIO
    health: dict[str, str]

    async def raw(self, data: bytes) -> Answer:
        """Sends bytes on a connection of their own and reads one answer."""
        async with self.connection() as connection:
            connection.send(data)
            return await connection.answer()

    async def ask(self, method: str, path: str, body: Any = None, bearer: str | None = GOOD, **headers: str) -> Answer:
        """One request. `body` is sent as JSON unless it is bytes; `bearer` is a valid token, unless it says otherwise."""
        async with self.connection() as connection:
            connection.send(self.request(method, path, body, bearer, **headers))
            return await connection.answer(head=method == "HEAD")

    def request(self, method: str, path: str, body: Any = None, bearer: str | None = GOOD, **headers: str) -> bytes:
        """The bytes of a request; underscores in names of headers are dashes."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = {"Host": "localhost"}
        if bearer is not None:
            lines["Authorization"] = "Bearer " + (self.authority.token() if bearer == GOOD else bearer)
        if body is not None:
            lines |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("utf-8", "surrogateescape") + content

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.transport.abort()

    async def until(self, condition: Callable[[], object]) -> None:
        """Returns once it holds; TimeoutError after ten seconds."""
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110  what is waited for has no event
                await asyncio.sleep(0.01)

    async def served(self) -> None:
        """Returns once a request is being served."""
        await self.until(lambda: self.gateway.in_flight)

    def lines(self) -> list[Any]:
        """The access log so far."""
        self.gateway._access.flush()
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@dataclass
class Connection:
    """One client connection, in bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, head: bool = False) -> Answer:
        """The next answer; ConnectionError when there is none."""
        async with asyncio.timeout(10):
            try:
                lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = [line.split(": ", 1) for line in lines[1:-2]]
                headers = {name.lower(): value for name, value in pairs}
                assert len(headers) == len(pairs), "a header came twice"
                length = 0 if head else int(headers.get("content-length", "0"))
                return Answer(int(lines[0].split()[1]), headers, await self.reader.readexactly(length))
            except asyncio.IncompleteReadError as error:
                raise ConnectionError(error.partial) from None

    async def closed(self) -> bool:
        """Whether the server ends the connection."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read() == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def running(
    placement: Placement = "loopback",
    *,
    tokens: TokenSettings | None = None,
    context: ssl.SSLContext | None = None,
    further: Sequence[Listening] = (),
    queues: Mapping[str, Callable[[], tuple[int, int]]] | None = None,
    tracer: Tracer | None = None,
    **settings: Any,
) -> AsyncIterator[Rig]:
    """A rig with these settings of the gateway, and of tokens; over TLS with a `context`. `tracer` records requests."""
    authority, metrics = Authority(), Metrics()
    assertions = Assertions(Vault(bytes(32)), authority.clock.time, "local")
    projects, sessions = Projects(), Sessions()
    json_codec, wire = Json(CONTRACTS), Wire(CONTRACTS)
    directory = Directory(Pipeline(CONTRACTS, wire, Checks(CONTRACTS), metrics, authority.clock, tracer))
    settings_of_projects = ProjectSettings()
    services: tuple[tuple[str, Any], ...] = (
        ("projects", projects),
        ("projects", settings_of_projects),
        ("users", sessions),
        ("users", authority),
    )
    for plugin, instance in services:
        directory.host(Host(CONTRACTS.service_of(instance), instance, plugin), placement)
    hosted = [host.service for host in directory.hosts.values()]
    fetcher = drivers.open_fetcher()
    verifier = Verifier(
        directory.named("tokens").client(AuthorityStub),
        authority.clock,
        tokens or TokenSettings(),
        metrics,
        assertions=assertions,
        fetcher=fetcher,
    )
    log, health = io.StringIO(), {"projects": "ok", "users": "ok"}
    gateway = Gateway(
        hosted,
        directory.named("gateway"),
        json_codec,
        wire,
        verifier,
        metrics,
        drivers.open_limiter("memory:", clock=authority.clock, tasks=Tasks("rig", metrics), metrics=metrics),
        GatewaySettings(**{"limits": UNLIMITED, **settings}),
        Info(),
        lambda: health,
        log,
        assertions=assertions,
        queues=queues,
        tracer=tracer,
    )
    async with Tasks("rig", metrics) as tasks:
        await verifier.poll()
        tasks.loop("tokens", verifier.poll, pause=POLL_EVERY)
        port = await gateway.start(socket.create_server(("127.0.0.1", 0)), context, further)
        try:
            yield Rig(
                gateway, port, authority, verifier, metrics, projects, sessions, settings_of_projects, log, health
            )
        finally:
            await gateway.close()
            await fetcher.close()
