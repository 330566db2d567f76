"""The standard health service tells the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from acme.dispatch.health import Health
from tests.unit.acme.dispatch.town import soon

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
UNKNOWN = HealthCheckResponse.SERVICE_UNKNOWN


def asked(service: str) -> bytes:
    return HealthCheckRequest(service=service).SerializeToString()


def said(reply: bytes | None) -> int | None:
    return None if reply is None else HealthCheckResponse.FromString(reply).status


class World:
    """What a health is of."""

    def __init__(self) -> None:
        self.services: dict[str, int] = {}
        self.able = True
        self.health = Health(self.services.keys(), lambda: self.able)

    def check(self, service: str) -> int | None:
        return said(self.health.check(asked(service)))


def test_a_service_is_serving_while_it_is_hosted() -> None:
    world = World()
    assert world.check("a") is None
    world.services["a"] = 1
    world.health.changed()
    assert world.check("a") == SERVING
    del world.services["a"]
    world.health.changed()
    assert world.check("a") == NOT_SERVING


def test_the_whole_is_serving_while_it_is_able_to() -> None:
    world = World()
    assert world.check("") == SERVING
    world.able = False
    assert world.check("") == NOT_SERVING


def test_on_its_way_out_nothing_is_serving() -> None:
    world = World()
    world.services["a"] = 1
    world.health.draining = True
    world.health.changed()
    assert {world.check(""), world.check("a")} == {NOT_SERVING}


async def test_whoever_watches_hears_every_change_once() -> None:
    world = World()
    watch = world.health.watch(asked("a"))
    overall = world.health.watch(asked(""))
    async with asyncio.timeout(5):
        assert said(await anext(watch)) == UNKNOWN
        assert said(await anext(overall)) == SERVING
        waiting = soon(_next(watch))
        await asyncio.sleep(0)
        world.health.changed()  # nothing that this one watches
        world.services["a"] = 1
        world.health.changed()
        assert said(await waiting) == SERVING
        world.able = False  # nobody says so
        assert said(await anext(overall)) == NOT_SERVING


async def _next(replies: AsyncIterator[bytes]) -> bytes:
    return await anext(replies)
