"""The way to the database: made when it is needed, with a deadline, and back after everything."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from acme.drivers import postgres
from acme.drivers.embedded import EmbeddedPostgres
from acme.drivers.log.link import Link
from acme.errors import Unavailable
from acme.ports import Connection
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.unit.acme.drivers.log.conftest import ask, kill_others
from tests.waiting import until


async def one(connection: Connection) -> object:
    return await connection.fetchval("SELECT 1")


async def test_without_a_server_everything_is_unavailable_and_the_state_says_so(tasks: Tasks) -> None:
    link = Link("postgresql://nobody@/bus?host=/nowhere", connections=1, limit=5.0, tasks=tasks, metrics=Metrics())
    with pytest.raises(Unavailable):
        await link.run(one)
    assert link.state == "the database cannot be reached"
    await link.close()


async def test_what_does_not_end_in_time_is_unavailable_and_the_next_one_works(url: str, tasks: Tasks) -> None:
    link = Link(url, connections=1, limit=10.0, tasks=tasks, metrics=Metrics())
    assert await link.run(one) == 1
    with pytest.raises(Unavailable, match="in time"):
        await link.run(lambda connection: connection.fetchval("SELECT pg_sleep(1000)"), limit=0.1)
    assert link.state != "ok"
    assert await link.run(one) == 1
    assert link.state == "ok"
    await link.close()


async def test_whoever_waits_in_a_circle_goes_round_again(url: str, database: postgres.Pool, tasks: Tasks) -> None:
    await ask(database, "CREATE TABLE pair AS SELECT generate_series(1, 2) AS id, 0 AS n")
    await ask(database, "ALTER DATABASE " + url.partition("?")[0].rpartition("/")[2] + " SET deadlock_timeout = '10ms'")
    link = Link(url, connections=2, limit=10.0, tasks=tasks, metrics=Metrics())
    both = asyncio.Barrier(2)
    tries = 0

    async def add(connection: Connection, rows: tuple[int, int]) -> None:
        nonlocal tries
        tries += 1
        await connection.begin()
        await connection.execute("UPDATE pair SET n = n + 1 WHERE id = $1", rows[0])
        if tries <= 2:
            await both.wait()
        await connection.execute("UPDATE pair SET n = n + 1 WHERE id = $1", rows[1])
        await connection.commit()

    await asyncio.gather(*(link.run(partial(add, rows=rows)) for rows in ((1, 2), (2, 1))))
    assert tries == 3
    assert await ask(database, "SELECT array_agg(n) FROM pair") == [2, 2]
    await link.close()


async def test_after_a_restart_of_the_server_it_goes_on(server: EmbeddedPostgres, url: str, tasks: Tasks) -> None:
    link = Link(url, connections=2, limit=10.0, tasks=tasks, metrics=Metrics())
    assert await link.run(one) == 1
    await server.stop()
    with pytest.raises(Unavailable):
        await link.run(one)
    await server.start()
    async with asyncio.timeout(10.0):
        while link.state != "ok":
            try:
                await link.run(one)
            except Unavailable:
                await asyncio.sleep(0.01)
    await link.close()


async def test_a_session_that_is_killed_costs_one_operation_at_most(
    url: str, database: postgres.Pool, tasks: Tasks
) -> None:
    link = Link(url, connections=1, limit=10.0, tasks=tasks, metrics=Metrics())
    assert await link.run(one) == 1
    running = asyncio.gather(
        link.run(lambda connection: connection.fetchval("SELECT pg_sleep(1000)")), return_exceptions=True
    )
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(1000)%' AND state = 'active'"

    async def is_asleep() -> bool:
        return bool(await ask(database, asleep))

    await until(is_asleep)
    assert await kill_others(database) >= 1
    [error] = await running
    assert isinstance(error, Unavailable)
    assert await link.run(one) == 1
    await link.close()
