"""Random requests, valid and invalid, over every REST route, sent to the same services in this process and behind gRPC: the
same answers, and the same rows in every table, after the declared canonicaliser (tests/canonical.py).

A case is a batch of requests on two platforms that are in the same state: people, sessions and projects made alike. Before
each case the tables are put back and the clocks set back, so that a case fails alone as it did among the others. hypothesis
prints the smallest batch that differs, what differs, and the line that repeats it.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Final

import pytest
import pytest_asyncio
from acme_audit import plugin as audit_plugin
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin
from hypothesis import Phase, example, given, settings

from acme.contract import Kind, Rules, load
from acme.testing import Platform, Server, User
from acme.testing.databases import FreshDatabase
from acme.testing.platform import Placement
from tests.canonical import Published, answer, canonical, difference, opened, settled
from tests.people import People
from tests.random_requests import ANN, BOB, CAROL, ENDING, Asked, batches

CONTRACTS: Final = load("acme.contracts")
PLUGINS: Final = [users_plugin, projects_plugin, audit_plugin]
CASES: Final = max(500, settings().max_examples)
"""In the soak profile 10,000."""
LONGEST: Final = 10
"""Requests of a case at most."""

_ID: Final = re.compile(r"\b(prj|ses|org|inv|tem|rol|sva|pat|usr)_[0-7][0-9a-hjkmnp-tv-z]{25}\b")
_VARIABLE: Final = re.compile(r"\{(\w+)\}")
_KINDS: Final = {
    "organization_id": "org",
    "project_id": "prj",
    "user_id": "usr",
    "subject_id": "usr",
    "token_id": "pat",
}
"""What a path variable names, where its field has no rule that says so."""

NOT_PUT_BACK: Final = (
    *("acme.migrations", "acme.leases", "public.signing_keys"),  # requests do not reach them
    *("public.authority", "public.authority_changes"),  # what processes have heard they cannot unhear
)
READ: Final = {
    "acme.migrations": "",
    "acme.leases": "",
    "public.signing_keys": "",
    # Of the outbox the payload comes as a message; of deliveries only what happens before the answer.
    "acme.outbox": "SELECT topic, key, type, headers, created_at FROM acme.outbox ORDER BY id",
    # A reset writes its mail after the answer, sooner or later.
    "acme.deliveries": "SELECT kind, created_at FROM acme.deliveries WHERE kind <> 'mail' OR NOT EXISTS ("
    "SELECT FROM acme.deliveries WHERE kind = 'password_reset') ORDER BY created_at",
    "acme.idempotency": "SELECT * FROM acme.idempotency ORDER BY created_at, method, key",
    "public.memberships": "SELECT * FROM memberships ORDER BY joined_at, user_id",
    "public.email_verifications": "SELECT * FROM email_verifications ORDER BY expires_at, email_key",
    # What a reset gives is written after the answer. The others are named by MACs.
    "public.mail_tokens": "SELECT * FROM mail_tokens WHERE purpose <> 'reset_password' ORDER BY expires_at, purpose",
    "public.account_attempts": "SELECT * FROM account_attempts ORDER BY attempted_at, attempts",
    "public.address_failures": "SELECT * FROM address_failures ORDER BY failed_at",
    "public.mail_quotas": "SELECT * FROM mail_quotas ORDER BY sent_at",
    "public.authority": "SELECT last_sequence - {heard} AS changes, key_version FROM authority",
    "public.authority_changes": "SELECT sequence - {heard} AS number, session_id, subject, epoch, created_at"
    " FROM authority_changes WHERE sequence > {heard} ORDER BY sequence",
}
"""What is compared of a table, in an order that both sides share. Of others everything, by their first columns: ids."""


WRITING: Final = (
    "SELECT EXISTS (SELECT FROM acme.deliveries WHERE kind = 'password_reset'"
    " AND done_at IS NULL AND failed_at IS NULL AND last_error IS NULL)"
)
"""A reset is being written after its answer: put back now, the tables of the next case would have its mail."""
LATE: Final = 30.0
"""Seconds for it."""


class Tables:
    """The tables of one plugin's database: read as text, and put back to what they were."""

    def __init__(self, database: FreshDatabase) -> None:
        self._database = database
        self._published = Published(CONTRACTS)
        self._reading = self._restoring = self._before = ""
        self._revokes = False
        self._heard = 0

    async def keep(self) -> None:
        """Remembers everything as it is, but for what waits to be sent and for answers kept."""
        found = await self._database.fetch(
            """
            SELECT table_schema || '.' || table_name AS name,
                   string_agg(quote_ident(column_name), ', ') FILTER (WHERE is_generated = 'NEVER') AS columns
            FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
            WHERE table_schema IN ('public', 'acme') AND table_type = 'BASE TABLE'
                  AND NOT (SELECT relispartition FROM pg_class WHERE oid = to_regclass(table_schema || '.' || table_name))
            GROUP BY 1 ORDER BY 1
            """
        )
        names = {row["name"]: row["columns"] for row in found}
        self._revokes = "public.authority" in names
        await self._database.execute(
            "DELETE FROM acme.outbox; DELETE FROM acme.deliveries; DELETE FROM acme.idempotency"
        )
        self._reading = " UNION ALL ".join(
            f"SELECT '{name}' AS name, to_jsonb(t)::text AS row FROM ({query}) AS t"  # noqa: S608 - ours and the catalogue's
            for name in names
            if (query := READ.get(name, f"SELECT * FROM {name} ORDER BY 1, 2"))  # noqa: S608 - a name of the catalogue
        )
        copies, back = [], []
        for name, columns in names.items():
            if name not in NOT_PUT_BACK:
                copy = f"kept.{name.replace('.', '_')}"
                copies.append(f"CREATE TABLE {copy} AS TABLE {name}")
                insert = f"INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {copy}"  # noqa: S608 - names of the catalogue
                back.append(f"DELETE FROM {name}; {insert}")  # noqa: S608 - as above
        await self._database.execute("; ".join(["CREATE SCHEMA kept", *copies]))
        # Foreign keys are triggers, which a replica has not.
        self._restoring = "; ".join(["BEGIN", "SET LOCAL session_replication_role = replica", *back, "COMMIT"])
        await self._hear()
        self._before = await self._rows()

    async def restore(self) -> None:
        """Puts back what was kept, if anything changed."""
        if await self._rows() != self._before:
            async with asyncio.timeout(LATE):
                while await self._database.fetchval(WRITING):  # noqa: ASYNC110 - it is the service that knows
                    await asyncio.sleep(0.001)
            await self._database.execute(self._restoring)
            await self._hear()

    async def read(self) -> str:
        """Every row, and every event as a message. Not canonical yet."""
        return "\n".join([await self._rows(), *await self._published.read(self._database)])

    async def _hear(self) -> None:
        if self._revokes:
            self._heard = await self._database.fetchval("SELECT last_sequence FROM authority")

    async def _rows(self) -> str:
        rows = await self._database.fetch(self._reading.replace("{heard}", str(self._heard)))
        return "\n".join(f"{row['name']} {row['row']}" for row in rows)


class Side:
    """One platform with ann, who has two sessions and three projects, bob, who has one of each, and carol, who has not
    proved her address."""

    def __init__(self, platform: Platform, tables: Sequence[Tables]) -> None:
        self._platform, self._tables = platform, tables
        self._people = People(platform)
        self._tokens = {"": "", "garbage": "e30.e30.e30"}
        self._seeded: dict[str, list[str]] = {}
        self._callers: set[str] = set()
        self._time = platform.clock.now()
        self.met: Counter[tuple[str, int]] = Counter()
        """Answers by path, without ids, and status."""

    async def seed(self) -> None:
        """Makes everybody and everything, always in the same order."""
        ann, bob = await self._platform.sign_up(ANN), await self._platform.sign_up(BOB)
        others = [await self._platform.log_in(email) for email in (ANN, BOB)]
        await self._people.sign_up(CAROL)
        projects = [await self._project(user, name) for user, name in ((ann, "A"), (ann, "B"), (ann, "C"), (bob, "D"))]
        (await self._platform.client(ann).post(f"/v1/projects/{projects[1]}:archive")).expect(200)
        self._tokens |= {"ann": ann.access_token, "bob": bob.access_token}
        self._callers = {ann.principal.session, bob.principal.session}
        self._seeded = {
            "prj": projects,
            "ses": [user.principal.session for user in others],
            "org": [ann.organization, bob.organization],
            "refresh": [user.refresh_token for user in others],
            "verify": [await self._people.token(CAROL)],
            "page": [await self._page(ann, "projects"), await self._page(ann, "sessions"), "nonsense"],
        }
        for tables in self._tables:
            await tables.keep()
        self._time = self._platform.clock.now()

    async def _project(self, user: User, name: str) -> str:
        made = await self._platform.client(user).post("/v1/projects", {"name": name, "labels": {"z": "1", "a": "2"}})
        return str(made.expect(201)["id"])

    async def _page(self, user: User, what: str) -> str:
        return str((await self._platform.client(user).get(f"/v1/{what}", page_size=1)).expect(200)["next_page_token"])

    async def run(self, batch: Sequence[Asked]) -> str:
        """What a batch is answered, and the state after it; canonical."""
        for tables in self._tables:
            await tables.restore()
        self._platform.clock.advance(self._time - self._platform.clock.now())
        known = {kind: list(values) for kind, values in self._seeded.items()}
        lines, client = [], self._platform.client()
        for number, each in enumerate(batch, 1):
            sent = each.at(known)
            caused = f"00-{number:032x}-{number:016x}-00"  # or each platform makes a trace of its own
            headers = {"X-Request-Id": f"request-{number}", "traceparent": caused, **dict(sent.headers)}
            if sent.by:
                headers["Authorization"] = f"Bearer {self._tokens[sent.by]}"
            reply = await settled(partial(client.request, sent.verb, sent.path, body=sent.body, headers=headers))
            self.met[f"{sent.verb} {_place(sent.path)}", reply.status] += 1
            lines.append(f"{number}. {each.verb} {each.path}\n{answer(reply)}")
            for found in _ID.finditer(reply.body.decode("utf-8", "replace")):
                kind, new = found[1], found[0]
                # A caller that ends the own session may be heard for a moment longer, and which moment is chance.
                if new not in known.setdefault(kind, []) and new not in self._callers:
                    known[kind].append(new)
        return canonical("\n".join([*lines, *[await tables.read() for tables in self._tables]]))


def _place(path: str) -> str:
    return _ID.sub("{id}", path.partition("?")[0])


@asynccontextmanager
async def side(placement: Placement, server: Server) -> AsyncIterator[Side]:
    """A seeded platform."""
    async with AsyncExitStack() as stack:
        platform = await stack.enter_async_context(Platform.start(PLUGINS, placement=placement, server=server))
        databases = [await stack.enter_async_context(opened(platform.database(plugin.name))) for plugin in PLUGINS]
        made = Side(platform, [Tables(database) for database in databases])
        await made.seed()
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sides(postgres: Server) -> AsyncIterator[tuple[Side, Side]]:
    async with side("local", postgres) as local, side("grpc", postgres) as remote:
        yield local, remote


def asked(route: str, body: bytes | None = None) -> Asked:
    """A request of ann's."""
    verb, path = route.split()
    return Asked(verb, path, "ann", () if body is None else (("Content-Type", "application/json"),), body)


EVERY: Final = [
    asked("POST /v1/projects", b'{"name":"New","labels":{"b":"1","a":"2"}}'),
    asked("GET /v1/projects/@prj:0@"),
    asked("GET /v1/projects"),
    asked("PATCH /v1/projects/@prj:0@", b'{"name":"Renamed"}'),
    asked("POST /v1/projects/@prj:0@:archive"),
    asked("POST /v1/projects/@prj:0@:unarchive"),
    asked("POST /v1/users", b'{"email":"dave@example.com","password":"correct horse battery","display_name":"Dave"}'),
    asked("POST /v1/users:verifyEmail", b'{"token":"@verify:0@"}'),
    asked("GET /v1/users/me"),
    asked("PATCH /v1/users/me", b'{"display_name":"Ann"}'),
    asked("GET /v1/organizations"),
    asked("POST /v1/sessions", b'{"email":"bob@example.com","password":"correct horse battery staple"}'),
    asked("POST /v1/sessions:refresh", b'{"refresh_token":"@refresh:0@"}'),
    asked("GET /v1/sessions"),
    asked("DELETE /v1/sessions/@ses:0@"),
]
"""What is done of the most usual routes, after each other: chance alone may miss one."""


def touched() -> list[Asked]:
    """Every route once, by the owner of what it names, with an empty body where it takes one."""
    made = []
    for service in CONTRACTS.services.values():
        for method in service.methods:
            if method.name in ENDING:
                continue
            fields = {field.name: field for field in method.request.fields}
            for route in method.routes:
                kinds = {
                    name: "0"
                    if fields[name].kind is Kind.INT
                    else f"@{(fields[name].rules or Rules()).id or _KINDS[name]}:0@"
                    for name in _VARIABLE.findall(route.template)
                }
                path = _VARIABLE.sub(lambda found: kinds[found[1]], route.template)  # noqa: B023 - called at once
                made.append(asked(f"{route.verb} {path}", b"{}" if route.body else None))
    return made


@pytest.mark.drill
@pytest.mark.soak
@example(batch=EVERY)
@example(batch=touched())
@settings(max_examples=CASES, print_blob=True, phases=set(Phase) - {Phase.explain})
@given(batch=batches(CONTRACTS, LONGEST))
async def test_random_requests_have_one_answer_and_one_effect_in_every_placement(
    sides: tuple[Side, Side], batch: list[Asked]
) -> None:
    local, remote = await asyncio.gather(*(each.run(batch) for each in sides))
    told = difference(local, remote, ["local", "grpc"])
    if told:
        raise AssertionError(f"local and grpc differ:\n{told}")  # pytest.fail would lose what hypothesis says with it


async def test_every_route_was_met_and_many_requests_were_done_and_many_refused(sides: tuple[Side, Side]) -> None:
    local, remote = sides
    assert not difference(await local.run(EVERY), await remote.run(EVERY), ["local", "grpc"])
    assert all(status < 300 for _, status in local.met) or local.met.total() > len(EVERY)
    await local.run(touched())
    met = {path for path, _ in local.met}
    methods = [m for service in CONTRACTS.services.values() for m in service.methods if m.name not in ENDING]
    routes = [r for m in methods for r in m.routes]
    assert [
        f"{r.verb} {r.template}"
        for r in routes
        if f"{r.verb} {_VARIABLE.sub('{id}', r.template.replace('{sequence}', '0'))}" not in met
    ] == []
    done = sum(count for (_, status), count in local.met.items() if status < 400)
    total = local.met.total()
    assert total < 1000 or 0.1 < done / total < 0.9


async def test_another_answer_and_another_row_are_told(sides: tuple[Side, Side]) -> None:
    local, remote = sides
    rename, read = asked("PATCH /v1/projects/@prj:0@", b'{"name":"One"}'), asked("GET /v1/users/me")
    one = await local.run([rename, read])
    assert difference(one, await remote.run([rename, read]), ["local", "grpc"]) == ""
    assert difference(one, await remote.run([replace(rename, body=b'{"name":"Two"}'), read]), ["local", "grpc"])
    before, after = await local.run([read]), await remote.run([replace(rename, verb="HEAD", body=None), read])
    assert "public.projects" in before
    assert difference(before, after, ["local", "grpc"])
