"""Who may do what, to whose things: every method, every caller, every target, over HTTP.

What has to come back follows from the contracts (`tests/matrix`). First come all requests that change nothing: refused ones,
and those that name another organisation's things, after each of which the databases are as they were. Then come the others,
each on things of its own. `make test` tries a sample of the cells, a larger one where services are placed locally; there
`make test-drills` tries every cell.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio
from acme_audit import plugin as audit_plugin
from acme_projects import plugin as projects_plugin
from acme_users import plugin as users_plugin

from acme.plugin import Plugin
from acme.testing import Platform, Reply
from tests.matrix.answers import ARCHIVED, Cell, cells
from tests.matrix.methods import METHODS, anchor, ids, variables
from tests.matrix.watch import Watch
from tests.matrix.world import World

pytestmark = pytest.mark.every_placement

SEED: Final = 9008
"""Of the samples."""
SAMPLE: Final = 12
"""One of so many cells, where not all of them are tried,"""
LOCALLY: Final = 3
"""and placed locally."""
PATHS: Final = sorted(METHODS)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin, projects_plugin, audit_plugin]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(platform: Platform) -> AsyncIterator[World]:
    async with World.opened(platform) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watches(world: World) -> tuple[Watch, ...]:
    found = Watch(world.users), Watch(world.projects), Watch(world.audit)
    for watch in found:
        await watch.begin()
    return found


SOME: Final = pytest.param(LOCALLY, id="some", marks=pytest.mark.sample)
ALL: Final = pytest.param(1, id="all", marks=pytest.mark.drill)


@pytest.fixture(scope="module", params=[SOME, ALL])
def share(request: pytest.FixtureRequest) -> int:
    """One of how many cells is tried."""
    locally: int = request.param
    return locally if request.getfixturevalue("placement") == "local" else SAMPLE


def chosen(path: str, share: int, *, refused: bool) -> list[Cell]:
    pick = random.Random(f"{SEED} {path}")
    there = [cell for cell in cells(path) if cell.refused == refused]
    return [cell for cell in there if share == 1 or pick.randrange(share) == 0] or there[:1]


async def send(world: World, cell: Cell, targets: dict[str, str]) -> Reply:
    """The request of a cell."""
    method, row, caller = cell.method, cell.row, cell.caller
    route = method.routes[0]
    body = dict(row.body or {}) if route.body else None
    if not cell.refused:
        await world.prepare(row.prepare, caller, targets, body)
    body = None if body is None else {name: fill(value, targets) for name, value in body.items()}
    values: dict[str, Any] = {}
    for name, prefix in ids(method).items():
        kind = row.ids.get(name, prefix)
        there = world.outside if name in cell.foreign else targets
        values[name] = there["archived" if cell.target == ARCHIVED and name == anchor(method) else kind]
    template = route.template
    for name in variables(method):
        template = template.replace(f"{{{name}}}", row.path.get(name) or values.pop(name))
    if body is not None and route.body == "*":
        repeated = {f.name for f in method.request.fields if f.repeated}
        body |= {name: [value] if name in repeated else value for name, value in values.items()}
        body |= {name: world.outside["rol"] for name in row.roles if name in cell.foreign}
    token = world.rooms[cell.path].token if caller.program else world.tokens.get(caller.name, "")
    headers = {**row.headers, **({"Authorization": f"Bearer {token}"} if token else {})}
    return await world.platform.client().request(route.verb, template, body, headers=headers)


def fill(value: Any, targets: dict[str, str]) -> Any:
    return targets.get(value[1:-1], value) if isinstance(value, str) else value


def check(world: World, cell: Cell, reply: Reply) -> str:
    """What is wrong with an answer, or nothing."""
    if reply.status != cell.status:
        return f"{cell}: expected {cell.status}, got {reply.status} {reply.body.decode(errors='replace')[:300]}"
    if cell.status >= 400 and not reply.json.get("code"):
        return f"{cell}: a refusal without a code"
    if cell.row.batch and cell.status == 200:
        held = cell.caller.on_project(cell.method.permission)
        hidden = bool(cell.foreign) or cell.method.permission not in held
        if bool(reply.json["missing"]) != hidden or bool(reply.json["projects"]) == hidden:
            return f"{cell}: {reply.json}"
    outside = [found for found in world.outside.values() if found in reply.body.decode()]
    if outside and not set(outside) <= {world.outside["prj"]}:
        return f"{cell}: {outside} shows"
    return ""


@pytest.mark.parametrize("path", PATHS)
async def test_plane_9008_9333_8834_and_cve_2025_61928_whoever_may_not_is_refused_and_nothing_changes(
    world: World, watches: tuple[Watch, ...], share: int, path: str
) -> None:
    """Ids of others in paths (plane) and bodies (Better Auth), on every method: no twin of one is forgotten (plane#9212)."""
    wrong = []
    for cell in chosen(path, share, refused=True):
        for watch in watches:
            await watch.writes()
        reply = await send(world, cell, dict(world.rooms[path].targets))
        wrong.append(check(world, cell, reply))
        written = [write for watch in watches for write in await watch.writes()]
        if written and not cell.method.public:
            wrong.append(f"{cell}: {written}")
    assert not [fault for fault in wrong if fault]


@pytest.mark.parametrize("path", PATHS)
async def test_whoever_may_is_let_in(world: World, share: int, path: str) -> None:
    wrong = []
    for cell in chosen(path, share, refused=False):
        reply = await send(world, cell, await world.fresh(path))
        wrong.append(check(world, cell, reply))
    assert not [fault for fault in wrong if fault]
