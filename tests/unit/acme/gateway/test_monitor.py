"""A process without a gateway tells operators how it is, from its first moment to its last."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from acme.gateway.endpoints import Readiness
from acme.gateway.monitor import Monitor
from acme.runtime import listener
from acme.telemetry import Metrics
from acme.testing import Client
from tests.unit.acme.gateway.rig import Rig


@asynccontextmanager
async def monitored() -> AsyncIterator[tuple[Monitor, Client]]:
    async with AsyncExitStack() as stack:
        metrics = Metrics()
        metrics.counter("things_total", "Things.").bind().add(3)
        monitor = Monitor(metrics, "1.2.3")
        socket = listener.listen("127.0.0.1", 0)
        client = await stack.enter_async_context(Client(listener.url(socket)))
        stack.push_async_callback(monitor.close)
        await monitor.start(socket)
        yield monitor, client


async def test_it_lives_and_is_not_ready_before_there_is_anything_to_ask() -> None:
    async with monitored() as (_, client):
        for path in ("/livez", "/healthz"):
            assert (await client.get(path)).expect(200) == {"status": "ok", "version": "1.2.3"}
        assert (await client.get("/readyz")).expect(503)["checks"] == {"started": "starting"}


async def test_metrics_are_in_prometheus_format() -> None:
    async with monitored() as (_, client):
        answer = await client.get("/metrics")
    assert (answer.status, answer.headers["content-type"]) == (200, Metrics.CONTENT_TYPE)
    assert b"things_total 3.0" in answer.body


async def test_it_is_ready_as_long_as_one_of_the_plugins_it_is_there_for_is(rig: Rig) -> None:
    health = {"users": "ok", "projects": "ok", "files": "unreachable"}
    async with monitored() as (monitor, client):
        monitor.readiness = readiness = Readiness(rig.verifier, lambda: health, dict, ("users", "projects"))
        assert (await client.get("/readyz")).expect(503)["checks"]["started"] == "starting"
        readiness.started = True
        assert (await client.get("/readyz")).expect(200)["plugins"] == health
        health["users"] = "quarantined"
        (await client.get("/readyz")).expect(200)
        health["projects"] = "quarantined"
        (await client.get("/readyz")).expect(503)
        health["projects"] = "ok"
        readiness.draining = True
        assert (await client.get("/readyz")).expect(503)["checks"]["draining"] == "draining"
        (await client.get("/livez")).expect(200)


@pytest.mark.parametrize(("verb", "path", "status"), [("GET", "/v1/projects", 404), ("POST", "/metrics", 405)])
async def test_it_answers_nothing_else(verb: str, path: str, status: int) -> None:
    async with monitored() as (_, client):
        assert (await client.request(verb, path)).status == status
