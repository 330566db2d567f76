"""Plugins made for the tests of the runtime, and a configuration for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from acme.authorise import authorise
from acme.contracts.projects.v1 import GetProjectRequest, Project, ProjectsBase
from acme.plugin import Plugin, Resources
from acme.runtime.settings import Config, load
from acme.testing import Server


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the plugin `made`."""

    size: int = 1


class Projects(ProjectsBase):
    """Keeps the contract of projects in the least of ways."""

    async def get_project(self, message: GetProjectRequest) -> Project:
        authorise.own("projects.read")
        return Project(id=message.id, name="made up")


def made(name: str = "made", **changes: Any) -> Plugin:
    """A plugin with nothing in it; `changes` replace fields of its declaration."""

    @asynccontextmanager
    async def service(resources: Resources[Any]) -> AsyncIterator[Sequence[object]]:
        yield ()

    # `package` is one without migrations.
    fields: dict[str, Any] = {"version": "1.0", "package": "acme.testing", "contracts": (), "service": service}
    return Plugin(name=name, **{**fields, "settings": Settings, **changes})


def serving(*instances: object) -> Any:
    """A factory that yields these."""

    @asynccontextmanager
    async def service(resources: Resources[Any]) -> AsyncIterator[Sequence[object]]:
        yield instances

    return service


@asynccontextmanager
async def configured(
    server: Server, data: Path, *plugins: Plugin, values: dict[str, Any] | None = None
) -> AsyncIterator[Config]:
    """A configuration with a fresh database for each plugin and a free port; `values` go over it."""
    async with AsyncExitStack() as stack:
        urls = {p.name: server.url(await stack.enter_async_context(server.database())) for p in plugins}
        yield load(
            values={
                "platform": {"data": str(data)},
                "gateway": {"port": 0, "access_log": False},
                "bus": {"url": "outbox:"},  # one named "bus" on this server would be everybody's
                "database": {"url": server.url("postgres"), "urls": urls, "connections": 2},
                **(values or {}),
            }
        )
