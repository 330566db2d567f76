"""Every method × outcome leaves exactly the audit records that its contract promises.

What has to be there follows from the contracts and from the matrix of who may do what (`tests/matrix`): one record of a
success, of a refusal that is committed, of a denial; none of any other refusal, nor of a repetition that is answered from
what was stored. A method that no table speaks of fails.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, cast

import pytest
import pytest_asyncio
from acme_audit import plugin as audit_plugin
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.contract import Work
from acme.contracts.audit.v1 import AuditRecord, Category, Outcome
from acme.contracts.projects.v1 import JoinProjectRequest, LeaveProjectsRequest, ProjectMembersStub
from acme.ids import new_id
from acme.plugin import Plugin
from acme.testing import Platform, Reply
from tests.contract.test_matrix import fill, send
from tests.matrix.answers import ARCHIVED, OWN, Cell, cells
from tests.matrix.audits import COMMITTED, EVERY, INTERNAL, hidden, outcome, own, targets, without_a_row, writes
from tests.matrix.methods import METHODS, anchor, ids
from tests.matrix.rows import ROWS
from tests.matrix.world import World
from tests.people import new_email
from tests.published import Published
from tests.waiting import until

pytestmark = pytest.mark.every_placement

SEED: Final = 9008
"""Of the samples."""
SAMPLE: Final = 6
"""One of so many cells, where not all of them are tried,"""
LOCALLY: Final = 2
"""and placed locally."""
PATHS: Final = sorted(METHODS)
KEPT: Final = [
    path
    for path in PATHS
    if (method := METHODS[path]).permission
    and writes(method)
    and not method.secret_reply
    and method.routes[0].verb != "GET"
]
"""Methods whose outcomes are kept for an Idempotency-Key."""
PLUGINS: Final = (users_plugin, projects_plugin, audit_plugin)


SOME: Final = pytest.param(LOCALLY, id="some", marks=pytest.mark.sample)
ALL: Final = pytest.param(1, id="all", marks=pytest.mark.drill)


@pytest.fixture(scope="module", params=[SOME, ALL])
def share(request: pytest.FixtureRequest) -> int:
    """One of how many cells is tried."""
    locally: int = request.param
    return locally if locally == 1 or request.getfixturevalue("placement") == "local" else SAMPLE


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return list(PLUGINS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(platform: Platform) -> AsyncIterator[World]:
    async with World.opened(platform) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def published(world: World) -> Published:
    return Published(world.platform, [plugin.name for plugin in PLUGINS])


@dataclass
class Twice:
    """A platform whose clients send everything twice with one Idempotency-Key, and look at what the first has left."""

    platform: Platform
    published: Published
    first: tuple[Reply, list[AuditRecord]] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.platform, name)

    def client(self) -> Twice:
        return self

    async def request(self, verb: str, template: str, body: Any, *, headers: Mapping[str, str]) -> Reply:
        keyed = {**headers, "Idempotency-Key": f'"{new_email()}"'}
        client = self.platform.client()
        first = await client.request(verb, template, body, headers=keyed)
        self.first = first, mine(await self.published.new())
        return await client.request(verb, template, body, headers=keyed)


def mine(records: list[AuditRecord]) -> list[AuditRecord]:
    """Without those of internal methods, which deliveries call when they come to it, of jobs, and of the gateway's own."""
    return [
        r
        for r in records
        if f"{r.action}".removeprefix("acme.") not in INTERNAL
        and r.category is not Category.SYSTEM
        and r.service != "gateway"
    ]


def wrong(world: World, cell: Cell, records: list[AuditRecord], asked: Mapping[str, str]) -> list[str]:
    """What is wrong with what a cell has left."""
    method, caller, expected = cell.method, cell.caller, outcome(cell)
    if [record.outcome for record in records] != ([] if expected is None else [expected]):
        return [f"{cell}: expected {expected!r}, got {[(r.action, r.outcome, r.reason) for r in records]}"]
    if expected is None:
        return []
    [record] = records
    room = world.rooms[cell.path]
    found: dict[str, tuple[object, object]] = {
        "action": (record.action, method.path[1:]),
        "category": (record.category, Category.WRITE if method.work is not Work.NONE else Category.READ),
        "region": (record.region, "local"),
        "caller": (record.actor and record.actor.service, "gateway"),
        "request id": (bool(record.request_id), True),
        "reason": (bool(record.reason), expected is not Outcome.OK),
    }
    if method.audit.reads:
        found["category"] = record.category, Category.READ
    if not method.public:
        person = room.program if caller.program else world.people[caller.person].id
        found["actor"] = record.actor and record.actor.id, person
        found["subject"] = record.subject_id, "" if caller.program else person
        found["decision"] = method.permission in {decision.permission for decision in record.decisions}, True
    if anchor(method) and ids(method)[anchor(method)] in ("org", "prj") and not cell.foreign:
        belongs = not hidden(cell)
        found["organisation"] = record.organization_id == room.targets["org"], belongs
    if expected is Outcome.OK and not cell.foreign:
        missing = targets(cell, asked) - {target.id for target in record.targets}
        found["targets"] = missing, set()
    return [f"{cell}: {name} is {is_!r}, not {ought!r}" for name, (is_, ought) in found.items() if is_ != ought]


def chosen(tried: list[Cell], share: int, path: str) -> list[Cell]:
    """One of `share` cells, one success among them where there is any."""
    pick = random.Random(f"{SEED} {path}")
    sample = [cell for cell in tried if share == 1 or pick.randrange(share) == 0]
    if any(cell.status < 400 for cell in sample):
        return sample
    return [*sample, *[cell for cell in tried if cell.status < 400][:1]]


def asked(cell: Cell, things: Mapping[str, str]) -> dict[str, str]:
    """Field → id of a request for one's own things."""
    found = {name: things[cell.row.ids.get(name, prefix)] for name, prefix in ids(cell.method).items()}
    return found | ({anchor(cell.method): things["archived"]} if cell.target == ARCHIVED else {})


def test_every_method_is_spoken_of() -> None:
    assert without_a_row() == []
    assert {path for path in INTERNAL if not writes(EVERY[path])} == set()


async def told(world: World, published: Published, path: str, tried: list[Cell]) -> None:
    """Each of them leaves what the contract promises."""
    faults = []
    for cell in tried:
        things = dict(world.rooms[path].targets) if cell.refused else await world.fresh(path)
        await published.new()
        reply = await send(world, cell, things)
        assert reply.status == cell.status, (str(cell), reply.status, reply.body)
        faults += wrong(world, cell, mine(await published.new()), asked(cell, things))
    assert not faults


@pytest.mark.parametrize("path", PATHS)
async def test_a_request_leaves_what_the_contract_promises(
    world: World, published: Published, share: int, path: str
) -> None:
    await told(world, published, path, chosen(own(path), share, path))


@pytest.mark.parametrize("path", KEPT)
async def test_a_repetition_leaves_nothing_more(world: World, published: Published, path: str) -> None:
    cell = next(cell for cell in cells(path) if cell.target == OWN and cell.status < 400)
    twice = Twice(world.platform, published)
    things = await world.fresh(path)
    # Whoever has left in the test before is back.
    await world.users.execute(
        "INSERT INTO memberships (user_id, organization_id, role, joined_at) VALUES ($1, $2, 'owner', $3)"
        " ON CONFLICT DO NOTHING",
        *(world.people[cell.caller.person].id, things["org"], world.platform.clock.now()),
    )
    await published.new()
    again = await send(replace(world, platform=cast(Platform, twice)), cell, things)
    assert twice.first is not None
    first, records = twice.first
    assert (first.status, again.status, again.body) == (cell.status, cell.status, first.body)
    assert [record.outcome for record in records] == [Outcome.OK]
    assert mine(await published.new()) == []


@pytest.mark.parametrize("path", sorted(COMMITTED))
async def test_a_refusal_that_is_committed_leaves_its_record(world: World, published: Published, path: str) -> None:
    body, status, reason = COMMITTED[path]
    client, ann = world.platform.client(), await world.platform.sign_up()
    used = ann.refresh_token
    if "{used}" in body.values():
        for _ in range(2):
            reply = (await client.post("/v1/sessions:refresh", {"refresh_token": ann.refresh_token})).expect(200)
            ann = replace(ann, refresh_token=reply["refresh_token"])
    things = {"known": ann.email, "used": used}
    route = METHODS[path].routes[0]
    bearer = {} if METHODS[path].public else {"Authorization": f"Bearer {ann.access_token}"}
    await published.new()
    content = {name: fill(value, things) for name, value in body.items()}
    reply = await client.request(route.verb, route.template, content, headers=bearer)
    assert (reply.status, reply.json["code"]) == (status, reason)
    [record] = mine(await published.new())
    assert (record.action, record.outcome, record.reason) == (METHODS[path].path[1:], Outcome.REFUSED, reason)
    named = {target.id for target in record.targets} | {record.actor.id if record.actor else ""}
    assert ann.id in named
    assert record.subject_id == ann.id


async def test_a_wrong_password_leaves_a_record_whether_there_is_an_account_or_not(
    world: World, published: Published
) -> None:
    ann, client = await world.platform.sign_up(), world.platform.client()
    seen = []
    for email in (ann.email, new_email()):
        await published.new()
        (await client.post("/v1/sessions", {"email": email, "password": "not the password"})).expect(401)
        [record] = mine(await published.new())
        seen.append((record.outcome, record.reason, record.actor, record.organization_id, record.address))
        assert email not in repr(record)
    assert seen[0] == seen[1]


async def test_log_in_says_who_it_was_and_which_session_began(world: World, published: Published) -> None:
    ann = await world.platform.sign_up()
    await published.new()
    again = await world.platform.log_in(ann.email)
    [record] = mine(await published.new())
    assert record.actor is not None
    assert (record.actor.kind, record.actor.id, record.organization_id) == ("user", ann.id, ann.principal.organization)
    assert [target.id for target in record.targets] == [again.principal.session]
    assert len(record.event_ids) == 1


@pytest.mark.parametrize("path", sorted(INTERNAL))
async def test_an_internal_method_says_which_service_called(world: World, published: Published, path: str) -> None:
    things, clock = await world.fresh("projects.v1.Projects/GetProject"), world.platform.clock
    caller = INTERNAL[path]
    members = world.platform.stub(ProjectMembersStub, as_service=caller)
    await published.new()
    match path.rpartition("/")[2]:
        case "JoinProject":
            request = JoinProjectRequest(
                project_id=things["prj"],
                user_id=things["new"],
                role="viewer",
                invitation_id=new_id("inv", clock),
                inviter_id=things["keeper"],
            )
            await members.join_project(request)
            named = {request.project_id, request.user_id, request.invitation_id}
        case "LeaveProjects":
            subject, now = things["usr"], clock.now()
            await members.leave_projects(
                LeaveProjectsRequest(organization_id=things["org"], subject_id=subject, left_at=now)
            )
            named = {things["org"], subject}
        case _:
            # It needs somebody whose invitation it is.
            body, token = {"email": new_email(), "role": "viewer"}, world.tokens["the owner"]
            url, headers = f"/v1/projects/{things['prj']}/members", {"Authorization": f"Bearer {token}"}
            (await world.platform.client().request("POST", url, body, headers=headers)).expect(201)
            named = {things["prj"]}
    # A delivery that a test before this one asked for may come to it only now: it is about somebody else.
    [record] = [
        record
        for record in await published.new()
        if record.action == EVERY[path].path[1:] and named <= {target.id for target in record.targets}
    ]
    assert record.actor is not None
    assert record.actor.service == caller
    assert record.actor.kind == ("user" if path.endswith("InviteToProject") else "service")
    assert record.organization_id == things["org"]


async def test_what_the_gateway_refuses_arrives_at_the_audit_service(world: World, published: Published) -> None:
    client, asked = world.platform.client(), "acme.projects.v1.Projects/BatchGetProjects"
    for _ in range(3):
        (await client.post("/v1/projects:batchGet", {"ids": []}, headers={"Authorization": "Bearer nonsense"})).expect(
            401
        )
    world.platform.clock.advance(timedelta(seconds=61))
    found: list[AuditRecord] = []

    async def arrived() -> bool:
        found.extend(r for r in await published.new() if r.reason == "invalid_token" and r.action == asked)
        return bool(found)

    await until(arrived, 15)
    [record] = found
    assert (record.service, record.outcome, record.count) == ("gateway", Outcome.DENIED, 3)


def test_rows_of_committed_refusals_are_of_methods_there_are() -> None:
    assert COMMITTED.keys() <= ROWS.keys()
