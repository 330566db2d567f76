"""Limits of two gateways that are processes of their own and share a Redis, which dies and comes back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.redis_server import RedisServer
from tests.system.running import Platform, call, check_problem, wait_for

pytestmark = pytest.mark.drill

RATE, BURST = 0.6, 24
"""A minute; a hundredth of a request a second, so that nothing to speak of comes back while a test runs."""
SLICE = BURST // (2 * 2)


@dataclass
class Town:
    redis: RedisServer
    gateways: list[str]

    def tries(self, api: str) -> Counter[int]:
        """Log-ins without a body until there is nothing left; how often each status came.

        Who is faster than a lease is told to come back in a second, who has used up everything in a hundred.
        """
        found: Counter[int] = Counter()
        until = time.monotonic() + 10
        while time.monotonic() < until:
            reply = call(api, "POST", "/v1/sessions", {})
            found[reply.status] += 1
            if int(reply.headers.get("Retry-After", 0)) > 1:
                return found
        raise AssertionError(f"there was always something left: {found}")

    def states(self) -> list[str]:
        """What each gateway says of its limiter."""
        return [str(call(api, "GET", "/readyz").json["stores"]["limiter"]) for api in self.gateways]

    def ready(self) -> bool:
        """Whether both are ready."""
        return all(call(api, "GET", "/readyz").status == 200 for api in self.gateways)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    redis = RedisServer(folder / "redis")
    redis.start()
    limits = {"ADDRESS_RATE": RATE, "ADDRESS_BURST": BURST}
    environ = {f"ACME_GATEWAY__LIMITS__CREDENTIALS__{key}": str(value) for key, value in limits.items()}
    environ |= {"ACME_LIMITER__URL": redis.url(), "ACME_SPLIT__GATEWAYS": "2"}
    environ["ACME_PLATFORM__DISABLED"] = '["projects", "audit"]'
    one = Platform(folder / "platform", "--port", "0", "--split", environ=environ)
    try:
        one.start()
        gateways = [each["address"] for each in one.ready["processes"] if each["name"].startswith("gateway")]
        yield Town(redis, gateways)
        assert one.stop() == 0
    finally:
        one.close()
        redis.kill()


def test_two_gateways_together_let_one_burst_through_and_what_they_held(town: Town) -> None:
    started = time.monotonic()
    wait_for("both have met their Redis", lambda: town.states() == ["ok", "ok"])
    found = [town.tries(town.gateways[number % 2]) for number in range(8)]
    through = sum(each[422] for each in found)
    back = RATE / 60 * (time.monotonic() - started)
    assert {status for each in found for status in each} == {422, 429}
    assert BURST <= through <= BURST + back + 2 * SLICE * 2
    assert through < 2 * BURST, "that would be a burst each"


def test_who_is_refused_is_told_when_to_come_back_and_others_go_on(town: Town) -> None:
    for api in town.gateways:
        town.tries(api)
        refused = call(api, "POST", "/v1/sessions", {})
        check_problem(refused, 429, "rate_limited")
        wait = int(refused.headers["Retry-After"])
        assert refused.headers["RateLimit"] == f'"credentials-address";r=0;t={wait}'
        assert refused.headers["RateLimit-Policy"] == f'"credentials-address";q={BURST};w={BURST * 100}'
        assert call(api, "GET", "/v1/users/me").status == 401, "another class"


def test_without_redis_each_keeps_its_share_and_says_so_until_it_is_back(town: Town) -> None:
    town.redis.kill()
    wait_for("both know", lambda: all(state.startswith("Redis is gone") for state in town.states()))
    assert all(state.endswith("at 1/2 of each") for state in town.states())
    wait_for("they are ready all the same", town.ready)
    assert [town.tries(api)[422] for api in town.gateways] == [BURST // 2] * 2
    for api in town.gateways:
        assert b"acme_limiter_up 0.0" in call(api, "GET", "/metrics").body
    town.redis.start()
    wait_for("both know", lambda: town.states() == ["ok", "ok"])
    assert sum(town.tries(town.gateways[number % 2])[422] for number in range(8)) >= BURST
