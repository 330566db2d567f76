"""What is notified is heard, and a connection that breaks is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acme.drivers.embedded import EmbeddedPostgres
from acme.drivers.postgres import Address, notices
from acme.drivers.postgres.notices import listen
from acme.errors import Unavailable
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.prepared import prepare
from tests.waiting import until


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(prepare(tmp_path_factory.mktemp("server") / "data"))
    await server.start()
    yield server
    await server.stop()


OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)

"""Ends all other sessions of a server that is this module's own."""


async def test_nothing_is_heard_first_and_then_what_is_said_until_the_session_ends(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "CHECK", 0.01)  # it asks many times whether the server is there
    heard: list[str | None] = []
    ended: list[Unavailable] = []

    async def hear() -> None:
        try:
            await listen(Address(server.url("postgres")), "things", heard.append)
        except Unavailable as error:
            ended.append(error)

    raw = await Address(server.url("postgres")).connect()
    async with Tasks("test", Metrics()) as tasks:
        tasks.spawn("hear", hear())

        async def heard_so_far() -> bool:
            return len(heard) == count

        count = 1
        await until(heard_so_far)
        for said in ("one", "", "drei ä"):
            await raw.execute("SELECT pg_notify('things', $1)", said)
        count = 4
        await until(heard_so_far)
        assert heard == [None, "one", "", "drei ä"]
        await raw.execute(OTHERS)

        async def has_ended() -> bool:
            return bool(ended)

        await until(has_ended)
    await raw.close()


async def test_no_server_is_unavailable_and_nothing_is_heard(tmp_path: Path) -> None:
    heard: list[str | None] = []
    with pytest.raises(Unavailable):
        async with asyncio.timeout(5.0):
            await listen(Address(f"postgresql://acme@/bus?host={tmp_path}"), "things", heard.append)
    assert heard == []
