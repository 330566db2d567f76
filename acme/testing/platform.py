"""A running platform for tests."""

from __future__ import annotations

import base64
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypeVar
from urllib.parse import parse_qs, quote, urlsplit

from acme.context import ANONYMOUS, Principal
from acme.contracts.authority.v1 import AuthorityStub, GrantsRequest
from acme.drivers.clock import MovableClock
from acme.plugin import Plugin
from acme.runtime.assembly import Node, assemble
from acme.runtime.discovery import contracts_of, discover, enlist
from acme.runtime.hosting import Placement as Within
from acme.runtime.roles import WHOLE, Role
from acme.runtime.settings import load
from acme.testing import faults
from acme.testing.client import Client
from acme.testing.databases import FreshDatabase, migrated, opened
from acme.testing.faults import Fault
from acme.testing.loops import Loop
from acme.testing.mailbox import Mailbox
from acme.testing.outbox import Outbox
from acme.testing.people import PASSWORD, User, principal_of, somebody
from acme.testing.server import Server, lease, roomy
from acme.testing.stubs import speaking
from acme.testing.vouched import Vouched, vouch
from acme.testing.workers import hosting
from acme.tokens import memberships

T = TypeVar("T")

Placement: TypeAlias = Within | Literal["process"]
"""Where services run, and how they are called: in this process, or each plugin in one of its own."""

REGION: Final = "local"
"""The region of every platform of the kit."""

PLENTY: Final = {"rate": 6e4, "burst": 1_000_000, "address_rate": 6e4, "address_burst": 1_000_000}
"""Limits that no test meets by chance, nor one that sets the clock back by up to a quarter of an hour (a bucket that is
further ahead than its burst counts as empty): a test that is about limits sets its own."""
CLASSES: Final = ("default", "credentials")


class Platform:
    """Plugins, hosted. Made by `Platform.start`; everything it gave out ends with it."""

    def __init__(
        self,
        node: Node,
        databases: Mapping[str, FreshDatabase],
        data: Path,
        clock: MovableClock,
        outbox: Outbox,
    ) -> None:
        self._node, self._databases, self._outbox = node, databases, outbox
        self._clients: dict[str, Client] = {}
        self._loop = Loop()
        self.data: Final = data
        """The data folder."""
        self.clock: Final = clock
        """The time of every process of the platform; `advance` moves it."""
        self.mailbox: Final = Mailbox(data / "mailbox")
        """The mails it would have sent."""

    @classmethod
    @asynccontextmanager
    async def start(
        cls,
        plugins: Iterable[Plugin] | None = None,
        *,
        placement: Placement = "loopback",
        fault: Fault = "clean",
        events: bool = False,
        settings: Mapping[str, Any] | None = None,
        server: Server | None = None,
    ) -> AsyncIterator[Platform]:
        """Hosts `plugins` (all that are installed, when `None`) on fresh databases, behind a gateway on a free port.

        In the placement "process" each is in a process of its own.

        `events`: what is announced goes over a bus, and consumers hear it; otherwise it stays in the outboxes.

        `fault` is what happens to calls on their way, once all are up (`faults.py`). `settings` go over the kit's: nested
        tables, as in `acme.toml`. `server` is the PostgreSQL to use, with the processes that go with it; the fixture
        `postgres` shares one among all tests of a run, and without it one is started for as long as this platform runs.

        Raises:
            acme.config.ConfigError: `settings` are wrong.
            AssertionError: a plugin did not come up; with the step and the reason.
        """
        hosted = [plugin for _, plugin in discover().usable()] if plugins is None else list(plugins)
        async with AsyncExitStack() as stack:
            if server is None:
                server = stack.enter_context(lease(f"pid-{os.getpid()}"))
            data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="acme-test-", dir=roomy())))
            clock = MovableClock(data / "clock")
            stack.callback(clock.close)
            databases = {plugin.name: await stack.enter_async_context(migrated(server, plugin)) for plugin in hosted}
            urls = {name: server.url(database) for name, database in databases.items()}
            values = _merged(_defaults(data, server.url("postgres"), urls), settings or {})
            if events:
                values["bus"] = {"url": server.url(await stack.enter_async_context(server.database()))}
            role, within = WHOLE, placement
            if within == "process":
                values["services"] = await stack.enter_async_context(hosting(server, hosted, values, data))
                role, within = Role(gateway=True, host=frozenset(), alone=False), "local"
            config = load(values=values, name="the test")
            node = await stack.enter_async_context(
                assemble(config, hosted, role=role, placement=within, tokens=Vouched)
            )
            down = [f"{e.name}: {e.reason}" for e in node.roster.entries.values() if e.health != "up"]
            if down:
                raise AssertionError("not every plugin came up: " + "; ".join(down))
            # To look at what is left behind. They connect when somebody looks, and keep the connection for the next.
            looks = {name: await stack.enter_async_context(opened(url)) for name, url in urls.items()}
            platform = cls(node, looks, data, clock, Outbox(contracts_of(enlist(hosted))))
            stack.push_async_callback(platform._close)
            node.directory.wrap(faults.around(fault))
            if fault == "crash":
                for database in databases.values():
                    async with server.connection(database) as connection:
                        await faults.arm(connection)
            yield platform

    @property
    def url(self) -> str:
        """The origin of the API, such as "http://127.0.0.1:45123"."""
        return self._node.url

    # ---- who calls ----------------------------------------------------------------------------------------------

    def somebody(self, *, scopes: Iterable[str] = ("*",)) -> User:
        """A user of whom no service has heard: cheap, and enough to call by contract what asks nothing of users."""
        return somebody(self.clock, region=REGION, scopes=scopes)

    async def sign_up(self, email: str = "", *, password: str = PASSWORD, display_name: str = "Ada") -> User:
        """A user with an account, a proved e-mail address and a session, all over HTTP. Needs the users plugin."""
        email = email or f"user-{secrets.token_hex(6)}@example.com"
        anybody = self.client()
        account = {"email": email, "password": password, "display_name": display_name}
        before = len(self.mailbox.list(email))
        (await anybody.post("/v1/users", account)).expect(202)
        mail = await self.mailbox.wait(email, number=before + 1)
        token = parse_qs(urlsplit(mail.links[0]).query)["token"][0]
        (await anybody.post("/v1/users:verifyEmail", {"token": token})).expect(200)
        return await self.log_in(email, password=password)

    async def log_in(self, email: str, *, password: str = PASSWORD) -> User:
        """The same user in a new session."""
        session = (await self.client().post("/v1/sessions", {"email": email, "password": password})).expect(201)
        access, refresh = session["access_token"], session["refresh_token"]
        return User(principal_of(access), email, password, access, refresh)

    def principal(self, user: User) -> Principal:
        """What the platform knows of a user who calls, without its memberships where it has an account."""
        return user.principal

    async def _known(self, principal: Principal) -> Principal:
        """With the memberships of this moment, as every verifier of a token knows them a second later at most."""
        authority = self._node.directory.named("tokens").client(AuthorityStub)
        grants = await authority.grants(GrantsRequest(subject=principal.id))
        return replace(principal, memberships=memberships(grants))

    # ---- how they call ------------------------------------------------------------------------------------------

    def client(self, as_: User | None = None) -> Client:
        """An HTTP client with the user's access token, or without any. Closed with the platform."""
        token = as_.access_token if as_ is not None else ""
        if as_ is not None and not token:
            raise ValueError("somebody made up has no access token: sign them up to call over HTTP")
        client = self._clients.get(token)
        if client is None:
            client = self._clients[token] = Client(self.url, token, self._loop)
        return client

    def stub(
        self,
        stub: type[T],
        *,
        as_: User | None = None,
        as_service: str = "",
        idempotency_key: str = "",
        address: str = "127.0.0.1",
    ) -> T:
        """A client of a contract, which calls as the user (as nobody without one) from `address`, with this
        Idempotency-Key if given; or as the service `as_service`, by itself. Refusals are raised.

        Somebody who has signed up calls with the memberships of that moment; nobody has to wait for them to arrive."""
        if as_service:
            return self._node.directory.named(as_service).client(stub)
        edge = self._node.directory.named("gateway")

        async def who() -> tuple[Principal, str]:
            principal = ANONYMOUS if as_ is None else as_.principal
            if as_ is not None and as_.access_token:
                principal = await self._known(principal)
            return principal, vouch(principal, self._node.cipher)

        return speaking(edge, stub, who, self._loop, idempotency_key=idempotency_key, address=address)

    # ---- what they left behind ----------------------------------------------------------------------------------

    async def published(self, topic: str, *, key: str = "") -> list[Any]:
        """The events on a topic of the bus, decoded, in order for each aggregate; those of one aggregate, if given."""
        if self._node.bus is None:
            raise RuntimeError("start the platform with events=True, and in a placement within this process")
        return await self._outbox.published(self._node.bus, topic, key=key)

    async def outbox(self, plugin: str, *, key: str = "") -> list[Any]:
        """The events that a plugin published, decoded, oldest first, without audit records; those with one key, if given."""
        self._loop.check()
        return await self._outbox.read(self._databases[plugin], key=key)

    async def audited(self, plugin: str, *, after: int = 0) -> tuple[list[Any], int]:
        """The audit records (`acme.audit.v1.AuditRecord`) that a plugin has left and no bus has taken, oldest first; and a
        place to go on from (`after`)."""
        self._loop.check()
        return await self._outbox.records(self._databases[plugin], after=after)

    def database(self, plugin: str) -> str:
        """The address of a plugin's database, for looking at what no contract shows."""
        return self._databases[plugin].url

    async def _close(self) -> None:
        for client in self._clients.values():
            await client.close()


def _defaults(data: Path, server: str, databases: Mapping[str, str]) -> dict[str, Any]:
    return {
        "platform": {"data": str(data), "region": REGION, "public_url": "https://acme.test"},
        "database": {"url": server, "urls": dict(databases), "connections": 4},
        "bus": {"url": "outbox:"},
        "clock": {"url": f"movable:{quote(str(data / 'clock'))}"},
        "gateway": {"host": "127.0.0.1", "port": 0, "access_log": False, "limits": dict.fromkeys(CLASSES, PLENTY)},
        "secrets": {"master_key": base64.b64encode(secrets.token_bytes(32)).decode()},
    }


def _merged(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, Mapping) else value
    return merged
