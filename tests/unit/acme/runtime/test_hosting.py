"""A plugin comes up step by step; what goes wrong on the way is told, and is the plugin's affair alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from acme_projects import plugin as projects
from acme_users import plugin as users

from acme import Attempt, Delivery, Job, Plugin, Resources, deliver, work
from acme.contracts.projects.v1 import ProjectsBase
from acme.plugin import Replicas
from acme.runtime.assembly import assemble
from acme.runtime.discovery import Entry
from acme.testing import Client, Server
from tests.unit.acme.runtime.plugins import Projects, Settings, configured, made, serving

LIMIT = 10.0
"""Seconds to wait for what comes by itself."""
LATE = 3.0
"""Seconds after which a start is given up; those that work take a tenth of one."""


async def brought_up(postgres: Server, data: Path, plugin: Plugin, **tables: Any) -> Entry:
    async with configured(postgres, data, plugin, values=tables) as config, assemble(config, [plugin]) as node:
        return node.roster.entries[plugin.name]


async def test_a_plugin_that_is_up_says_where_and_what_was_migrated(postgres: Server, tmp_path: Path) -> None:
    entry = await brought_up(postgres, tmp_path, made())
    assert (entry.health, entry.placement, entry.version, entry.reason) == ("up", "local", "1.0", "")
    assert entry.migrations == "0"


@asynccontextmanager
async def failing(resources: Resources[Any]) -> AsyncIterator[Sequence[object]]:
    raise RuntimeError("no luck today\nand a second line")
    yield ()


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (made(service=failing), "service: RuntimeError: no luck today"),
        (made(package="no_such_package"), "migrations: ModuleNotFoundError: No module named 'no_such_package'"),
        (
            made(contracts=(ProjectsBase,)),
            "service: it declares acme.projects.v1.Projects, and its service yields nothing",
        ),
        (
            made(contracts=(ProjectsBase,), service=serving(Projects(), Projects())),
            "service: it declares acme.projects.v1.Projects, and its service yields "
            "acme.projects.v1.Projects, acme.projects.v1.Projects",
        ),
        (
            made(service=serving(Projects())),
            "service: it declares nothing, and its service yields acme.projects.v1.Projects",
        ),
    ],
)
async def test_what_goes_wrong_is_named_with_its_step(
    postgres: Server, tmp_path: Path, plugin: Plugin, reason: str
) -> None:
    entry = await brought_up(postgres, tmp_path, plugin)
    assert (entry.health, entry.reason) == ("quarantined", reason)


def waiting(limit: float) -> Any:
    """A factory that hangs, or gives up by itself after `limit` seconds."""

    @asynccontextmanager
    async def service(resources: Resources[Any]) -> AsyncIterator[Sequence[object]]:
        async with asyncio.timeout(limit):
            await asyncio.Event().wait()
        yield ()

    return service


async def refused(api: str) -> dict[str, Any]:
    """What somebody logged in is told who asks for projects, while users are served."""
    account = {"email": "ada@example.com", "password": "correct horse battery staple", "display_name": "Ada"}
    async with Client(api) as client:
        (await client.post("/v1/users", account)).expect(202)
        del account["display_name"]
        session = (await client.post("/v1/sessions", account)).expect(201)
    async with Client(api, session["access_token"]) as ada:
        (await ada.get("/v1/users/me")).expect(200)
        problem: dict[str, Any] = (await ada.get("/v1/projects")).expect(503)
        return problem


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        (3600, "service: it did not start within 3 s ([platform] plugin_start)"),
        (0.05, "service: TimeoutError"),
    ],
    ids=["hangs", "gives up by itself"],
)
async def test_a_plugin_whose_start_hangs_is_put_aside_and_the_others_serve(
    postgres: Server, tmp_path: Path, limit: float, reason: str
) -> None:
    hanging = replace(projects, service=waiting(limit))
    async with configured(postgres, tmp_path, hanging, users) as config:
        platform = msgspec.structs.replace(config.platform, plugin_start=LATE if limit > LATE else 60.0)
        async with assemble(msgspec.structs.replace(config, platform=platform), [hanging, users]) as node:
            assert node.roster.entries["projects"].reason == reason
            problem = await refused(node.url)
            assert "did not start" not in str(problem)


async def test_a_plugin_whose_migration_fails_half_way_is_put_aside_and_goes_on_once_it_is_mended(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    folder = tmp_path / "site" / "half_way" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "0001_first.sql").write_text("CREATE TABLE one (id int)")
    (folder / "0002_second.sql").write_text("CREATE TABLE two (id int); INSERT INTO two VALUES (1); SELECT 1 / 0")
    half = made("projects", package="half_way", contracts=(ProjectsBase,), service=serving(Projects()))
    async with configured(postgres, tmp_path / "data", half, users) as config:
        async with assemble(config, [half, users]) as node:
            assert node.roster.entries["projects"].reason == (
                "migrations: DivisionByZeroError: division by zero;"
                " while applying half_way/migrations/0002_second.sql; nothing of it was done"
            )
            problem = await refused(node.url)
            assert "division" not in str(problem)
        (folder / "0002_second.sql").write_text("CREATE TABLE two (id int)")  # which it could not, had any of it stayed
        async with assemble(config, [half, users]) as node:
            entry = node.roster.entries["projects"]
            assert (entry.health, entry.migrations) == ("up", "2 (1 new)")
            async with node.databases["projects"].connection() as connection:
                assert await connection.fetchval("SELECT count(*) FROM two") == 0


async def test_a_database_that_cannot_be_reached_quarantines_the_plugin(postgres: Server, tmp_path: Path) -> None:
    plugin, nowhere = made(), f"postgresql://acme@/made?host={tmp_path}"
    entry = await brought_up(postgres, tmp_path, plugin, database={"urls": {"made": nowhere}})
    assert entry.reason.startswith("migrations: Unavailable: ")


async def test_settings_reach_the_plugin_in_its_own_type(postgres: Server, tmp_path: Path) -> None:
    seen: list[Resources[Settings]] = []

    @asynccontextmanager
    async def service(resources: Resources[Settings]) -> AsyncIterator[Sequence[object]]:
        seen.append(resources)
        yield ()

    tables = {"plugins": {"made": {"size": 7}}, "platform": {"data": str(tmp_path), "region": "us-east"}}
    await brought_up(postgres, tmp_path, made(service=service), **tables)
    assert (seen[0].settings, seen[0].name, seen[0].region) == (Settings(7), "made", "us-east")


async def test_settings_that_are_wrong_quarantine_the_plugin(postgres: Server, tmp_path: Path) -> None:
    entry = await brought_up(postgres, tmp_path, made(), plugins={"made": {"sise": 7}})
    assert entry.reason == (
        "settings: the command line: plugins.made.sise: unknown key. Did you mean size? Allowed in [plugins.made]: size"
    )


async def test_links_in_mails_point_at_the_gateway_unless_configured(postgres: Server, tmp_path: Path) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def service(resources: Resources[Settings]) -> AsyncIterator[Sequence[object]]:
        seen.append(resources.public_url)
        yield ()

    plugin = made(service=service)
    async with configured(postgres, tmp_path, plugin) as config, assemble(config, [plugin]) as node:
        assert seen == [node.url]
    public = {"data": str(tmp_path), "public_url": "https://acme.example"}
    await brought_up(postgres, tmp_path, plugin, platform=public)
    assert seen[1] == "https://acme.example"


async def test_a_job_runs_at_the_start_inside_the_plugins_database(postgres: Server, tmp_path: Path) -> None:
    ran = asyncio.Event()

    async def job(resources: Resources[Settings]) -> None:
        async with work():
            assert await resources.database.fetchval("SELECT 1") == 1
        ran.set()

    plugin = made(jobs=(Job("tidy", every=3600, run=job),))
    async with configured(postgres, tmp_path, plugin) as config, assemble(config, [plugin]):
        await asyncio.wait_for(ran.wait(), LIMIT)


async def test_of_two_processes_one_runs_a_singleton_and_both_what_is_for_every_one(
    postgres: Server, tmp_path: Path
) -> None:
    ran: list[str] = []
    both = asyncio.Event()

    async def single(resources: Resources[Settings]) -> None:
        ran.append("single")

    async def every(resources: Resources[Settings]) -> None:
        ran.append("every")
        if ran.count("every") == 2:
            both.set()

    jobs = (Job("single", 3600, single), Job("every", 3600, every, Replicas.EVERY))
    plugin = made(jobs=jobs)
    async with configured(postgres, tmp_path / "one", plugin) as config:
        other = msgspec.structs.replace(config.platform, data=str(tmp_path / "two"))
        second = msgspec.structs.replace(config, platform=other)
        async with assemble(config, [plugin]), assemble(second, [plugin]) as node:
            await asyncio.wait_for(both.wait(), LIMIT)
            async with node.databases["made"].connection() as connection:
                leases = await connection.fetch("SELECT name FROM acme.leases")
            assert [row["name"] for row in leases] == ["made.single"]
        assert ran.count("single") <= 2  # the second may have taken it over when the first gave it back


async def test_a_delivery_reaches_its_handler_after_the_commit(postgres: Server, tmp_path: Path) -> None:
    arrived: asyncio.Queue[tuple[str, bytes, int]] = asyncio.Queue()

    async def handler(resources: Resources[Settings], attempt: Attempt) -> None:
        arrived.put_nowait((resources.name, attempt.payload, attempt.number))

    async def job(resources: Resources[Settings]) -> None:
        async with work():
            deliver("parcel", b"content")

    delivery = Delivery("parcel", handler)
    plugin = made(deliveries=(delivery,), jobs=(Job("post", every=3600, run=job),))
    async with configured(postgres, tmp_path, plugin) as config, assemble(config, [plugin]):
        assert await asyncio.wait_for(arrived.get(), LIMIT) == ("made", b"content", 1)


async def test_a_plugin_that_fails_to_stop_does_not_keep_others_from_stopping(postgres: Server, tmp_path: Path) -> None:
    stopped: list[str] = []

    def stopping(name: str) -> Plugin:
        @asynccontextmanager
        async def service(resources: Resources[Settings]) -> AsyncIterator[Sequence[object]]:
            yield ()
            stopped.append(name)
            raise RuntimeError("stuck")

        return made(name, service=service)

    plugins = [stopping("first"), stopping("second")]
    async with configured(postgres, tmp_path, *plugins) as config, assemble(config, plugins):
        pass
    assert stopped == ["second", "first"]
