"""Calls are counted while they are served, whatever becomes of them."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from acme.context import Call
from acme.dispatch.measures import Measures
from acme.dispatch.status import guarded, guarded_stream
from acme.errors import NotFound
from acme.tasks import Tasks
from acme.telemetry import Metrics
from tests.services import ANN, CONTRACTS
from tests.waiting import sample

SERVICE = "acme.projects.v1.Projects"
METHOD = CONTRACTS.services[SERVICE].methods[0]
SERIES = f'rpc_server_active_calls{{rpc_service="{SERVICE}"}}'


def call() -> Call:
    return Call(f"{SERVICE}/GetProject", ANN, "req_1", math.inf, "gateway")


class Requests:
    failure: BaseException | None = None


@pytest.mark.parametrize("streams", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("end", ["reply", "refusal", "fault", "cancelled"])
async def test_a_call_is_in_flight_until_it_ends_in_any_way(streams: bool, end: str) -> None:
    metrics, began, go = Metrics(), asyncio.Event(), asyncio.Event()
    measures = Measures(metrics)

    async def perform(call: Call, raw: Any) -> None:
        began.set()
        await go.wait()
        if end != "reply":
            raise NotFound("No.") if end == "refusal" else RuntimeError("oh")

    async def many(call: Call, raw: Any) -> Any:
        await perform(call, raw)
        yield None

    async def run() -> None:
        if streams:
            async for _ in guarded_stream(METHOD, "local", many, measures)(call(), Requests()):
                pass
        else:
            await guarded(METHOD, "local", perform, measures)(call(), None)

    async with Tasks("measures", metrics) as tasks:
        running = tasks.spawn("call", run())
        await began.wait()
        assert (sample(metrics, SERIES), measures.active(SERVICE).count) == (1.0, 1)
        if end == "cancelled":
            running.cancel()
        go.set()
        await tasks.settle()
    assert (sample(metrics, SERIES), measures.active(SERVICE).count) == (0.0, 0)
