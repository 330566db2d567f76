"""A stranger's plugin: one method that does nothing, and one that reads a row. Its contracts are generated when the bench
starts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from acme import NoSettings, NotFound, Plugin, Resources, Statements, authorise
from bench_plugin.contracts.bench.v1 import (  # type: ignore[import-not-found]  # generated when the bench starts
    BenchBase,
    GetItemRequest,
    Item,
    PingReply,
    PingRequest,
    State,
)

COLUMNS: Final = ("id", "name", "owner_id", "created_at", "labels", "tags", "state", "version", "description")
ITEM: Final = (
    "SELECT id, name, owner_id, created_at, labels, tags, state, version, description FROM items WHERE id = $1"
)
"""The same is in tests/bench/edge/rival_app.py."""


class Bench(BenchBase):  # type: ignore[misc]  # its base is generated when the bench starts
    """Keeps the contract."""

    def __init__(self, database: Statements) -> None:
        self._database = database

    async def ping(self, message: PingRequest) -> PingReply:
        """Answers."""
        authorise.own("bench.ping")
        return PingReply(message="pong")

    async def get_item(self, message: GetItemRequest) -> Item:
        """Reads a row."""
        authorise.own("bench.read")
        row = await self._database.fetchrow(ITEM, message.id)
        if row is None:
            raise NotFound("There is no such item.")
        item = dict(zip(COLUMNS, row, strict=True))  # as acme_projects does
        item["state"] = State(item["state"])
        return Item(**item)


@asynccontextmanager
async def _service(resources: Resources[NoSettings]) -> AsyncIterator[tuple[object, ...]]:
    yield (Bench(resources.database),)


plugin = Plugin(name="bench", version="1.0", package=__name__, contracts=(BenchBase,), service=_service)
