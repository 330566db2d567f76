"""Databases that come to be there. Sockets' paths are tested with the pool, in test_postgres.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme.drivers.embedded import EmbeddedPostgres
from acme.drivers.postgres import Address, create_database, ensure_database
from acme.errors import Unavailable
from tests.prepared import prepare


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(prepare(tmp_path_factory.mktemp("server") / "data"))
    await server.start()
    yield server
    await server.stop()


async def test_a_database_that_is_missing_is_made_whoever_comes_first(server: EmbeddedPostgres) -> None:
    url = server.url("wanted")
    await asyncio.gather(*(ensure_database(url) for _ in range(4)))
    raw = await Address(url).connect()
    assert await raw.fetchval("SELECT current_database()") == "wanted"
    await raw.close()
    await ensure_database(url)


async def test_a_name_that_would_need_quoting_is_refused(server: EmbeddedPostgres) -> None:
    with pytest.raises(ValueError, match="lower-case letters"):
        await create_database(server.url("postgres"), "Robert'); DROP")


async def test_no_server_is_unavailable(tmp_path: Path) -> None:
    url = f"postgresql://acme@/bus?host={tmp_path}"
    with pytest.raises(Unavailable):
        await ensure_database(url)
    with pytest.raises(Unavailable):
        await create_database(url, "bus")


async def test_a_database_that_is_closed_to_everybody_is_unavailable(server: EmbeddedPostgres) -> None:
    await ensure_database(server.url("closed"))
    raw = await Address(server.url("postgres")).connect()
    await raw.execute("ALTER DATABASE closed ALLOW_CONNECTIONS false")
    await raw.close()
    with pytest.raises(Unavailable):
        await ensure_database(server.url("closed"))
