"""Which cache, broadcast and limiter a process has, and what happens to it without them."""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from acme_users import plugin as users

from acme.config import ConfigError
from acme.drivers.clock import MovableClock, SystemClock
from acme.errors import Unavailable
from acme.plugin import Resources
from acme.runtime.assembly import assemble
from acme.runtime.settings import load
from acme.runtime.stores import Stores, open_clock, open_stores, shared_by_processes
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.testing import PASSWORD, Client, Server
from tests.redis_server import RedisServer
from tests.unit.acme.runtime.plugins import configured, made
from tests.waiting import sample, until

NOBODY = "redis://127.0.0.1:1/0"
"""Where no Redis is."""
HEARD = 'acme_broadcast_messages_total{direction="heard"}'


async def signed_up(client: Client) -> Any:
    """The session of a new account."""
    account = {"email": "ada@example.com", "password": PASSWORD, "display_name": "Ada"}
    (await client.post("/v1/users", account)).expect(202)
    del account["display_name"]
    return (await client.post("/v1/sessions", account)).expect(201)


@asynccontextmanager
async def opened(values: dict[str, Any]) -> AsyncIterator[Stores]:
    metrics = Metrics()
    async with Tasks("test", metrics) as tasks, AsyncExitStack() as stack:
        yield await open_stores(load(values=values), SystemClock(), tasks, metrics, stack)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.kill()


async def test_by_default_both_are_in_memory_and_well() -> None:
    async with opened({}) as stores:
        assert stores.details() == {"cache": "ok", "broadcast": "ok"}
        cache = stores.cache.space("things")
        await cache.set("a", b"1", ttl=60)
        assert await cache.get("a") == b"1"


@pytest.mark.parametrize("port", ["cache", "broadcast"])
async def test_a_url_that_its_driver_cannot_read_is_a_mistake_in_the_configuration(port: str) -> None:
    with pytest.raises(ConfigError, match=rf"{port}\.url: unknown in the URL of Redis: retries") as caught:
        async with opened({port: {"url": "redis://user:hush@h/0?retries=9"}}):
            pass
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgresql://h/", "redis:", "memory", ""])
def test_a_scheme_that_no_driver_has_is_refused_with_the_settings(url: str) -> None:
    with pytest.raises(ConfigError, match=r"cache\.url"):
        load(values={"cache": {"url": url}})


def test_what_two_processes_cannot_share_is_named_with_what_to_do() -> None:
    shared = shared_by_processes(load())
    assert sorted(shared) == ["broadcast", "cache", "limiter"]
    for port, text in shared.items():
        assert f'{port}.url: "memory:"' in text
        assert f"ACME_{port.upper()}__URL" in text
    there = "rediss://cache:6379/0"
    everything = {port: {"url": there} for port in ("cache", "broadcast", "limiter")}
    assert shared_by_processes(load(values=everything)) == {}
    assert sorted(shared_by_processes(load(values={"cache": {"url": there}}))) == ["broadcast", "limiter"]
    assert "limiter" not in shared_by_processes(load(values={"limiter": {"gateways": 2}}))


async def test_a_plugin_gets_a_cache_of_its_own(postgres: Server, tmp_path: Path) -> None:
    kept: dict[str, Resources[Any]] = {}

    @asynccontextmanager
    async def service(resources: Resources[Any]) -> AsyncIterator[tuple[object, ...]]:
        kept[resources.name] = resources
        yield ()

    plugins = [replace(made(name), service=service) for name in ("one", "two")]
    async with configured(postgres, tmp_path, *plugins) as config, assemble(config, plugins):
        await kept["one"].cache.set("a", b"1", ttl=60)
        assert [await kept[name].cache.get("a") for name in ("one", "two")] == [b"1", None]


async def test_without_its_redis_a_node_starts_serves_and_says_so(postgres: Server, tmp_path: Path) -> None:
    values = {port: {"url": NOBODY} for port in ("cache", "broadcast", "limiter")}
    plugins = [users]
    async with (
        configured(postgres, tmp_path, *plugins, values=values) as config,
        assemble(config, plugins) as node,
        Client(node.url) as client,
    ):
        await signed_up(client)
        cache = node.stores.cache.space("things")
        assert await cache.get("a") is None
        with pytest.raises(Unavailable):
            await cache.increment("n", ttl=60)
        answer = (await client.get("/readyz")).expect(200)
        assert answer["ready"]
        states = {port: state.partition(" for ")[0] for port, state in answer["stores"].items()}
        silent = "it does not answer"
        assert states == {"cache": silent, "broadcast": silent, "limiter": "Redis is gone"}
        assert [sample(node.metrics, f"acme_{port}_up") for port in states] == [0, 0, 0]


async def test_a_revocation_at_one_node_is_told_to_the_other_over_redis(
    postgres: Server, tmp_path: Path, redis: RedisServer
) -> None:
    values = {
        "broadcast": {"url": redis.url()},
        "secrets": {"master_key": base64.b64encode(os.urandom(32)).decode()},
    }
    async with AsyncExitStack() as stack:
        config = await stack.enter_async_context(configured(postgres, tmp_path / "one", users, values=values))
        one = await stack.enter_async_context(assemble(config, [users]))
        tables = {"data": str(tmp_path / "two")}
        database = {"url": config.database.url, "urls": config.database.urls, "connections": 2}
        other = load(values={**values, "platform": tables, "gateway": {"port": 0}, "database": database})
        two = await stack.enter_async_context(assemble(other, [users]))
        here = await stack.enter_async_context(Client(one.url))

        async def both_hear() -> bool:
            return one.stores.broadcast.state == two.stores.broadcast.state == "ok"

        await until(both_hear)
        session = await signed_up(here)
        mine = await stack.enter_async_context(Client(two.url, session["access_token"]))
        (await mine.get("/v1/users/me")).expect(200)
        heard = sample(one.metrics, HEARD)
        (await mine.delete(f"/v1/sessions/{session['session_id']}")).expect(204)

        async def told() -> bool:
            return sample(one.metrics, HEARD) > heard

        await until(told)


async def test_the_clock_is_the_machines_unless_a_file_moves_it(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        assert isinstance(open_clock(load(), stack), SystemClock)
        place = tmp_path / "a clock"
        moved = open_clock(load(values={"clock": {"url": f"movable:{quote(str(place))}"}}), stack)
        mover = MovableClock(place)
        stack.callback(mover.close)
        mover.advance(timedelta(days=1))
        assert moved.time() - SystemClock().time() > 86_000
