"""How soon a session that was ended at one gateway is dead at another, while both are busy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.running import WITHOUT_AUDIT, Person, Platform, call
from tests.system.steady import steady

PATH = "/v1/projects"
SESSIONS = 100
LIMIT = 1.0
"""Seconds from the request that ends a session, at the 99th percentile."""
BUSY = 20.0
"""Seconds after which it is not slow but wrong."""


@dataclass
class Town:
    platform: Platform
    gateways: list[str]


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    one = Platform(
        tmp_path / "platform", "--port", "0", "--split", environ={"ACME_SPLIT__GATEWAYS": "2", **WITHOUT_AUDIT}
    )
    try:
        one.start()
        yield Town(one, [each["address"] for each in one.ready["processes"] if "gateway" in each["name"]])
        assert one.stop() == 0
    finally:
        one.close()


def seconds_until_dead(api: str, token: str, since: float) -> float:
    """Seconds from `since` on after which the question began that was the first to be refused: 401, or 503 by a gateway that
    knows of nothing new."""
    while True:
        begun = time.monotonic() - since
        status = call(api, "GET", PATH, token=token).status
        if status in {401, 503}:
            return begun
        assert status == 200
        assert begun < BUSY, "it is still believed"
        time.sleep(0.002)


@pytest.mark.drill
def test_a_session_that_ends_at_one_gateway_is_dead_at_the_other_within_a_second(
    town: Town, measured: Callable[[str, object], None]
) -> None:
    here, there = town.gateways
    honest = town.platform.join("honest@example.com")
    people = [town.platform.join("ada@example.com")]
    people += [town.platform.log_in("ada@example.com") for _ in range(SESSIONS - 1)]
    found = []
    with ExitStack() as stack:
        loads = [
            stack.enter_context(steady(api, PATH, lambda: honest.token, clients=4, pause=0.01)) for api in town.gateways
        ]
        for number, person in enumerate(people):
            ended_at, asked_at = (here, there) if number % 2 else (there, here)
            found.append(_ended(person, ended_at, asked_at))
        assert [failure for load in loads for failure in load.failures] == []
        assert all(load.asked > SESSIONS for load in loads), "both were busy meanwhile"
    found.sort()
    measured("seconds until a revoked session is dead at the other gateway, p50", round(statistics.median(found), 3))
    p99 = found[int(len(found) * 0.99) - 1]
    measured("seconds until a revoked session is dead at the other gateway, p99", round(p99, 3))
    measured("seconds until a revoked session is dead at the other gateway, the slowest", round(found[-1], 3))
    assert p99 <= LIMIT


def _ended(person: Person, ended_at: str, asked_at: str) -> float:
    for api in (ended_at, asked_at):
        assert call(api, "GET", PATH, token=person.token).status == 200
    since = time.monotonic()
    ended = call(ended_at, "DELETE", f"/v1/sessions/{person.tokens['session_id']}", token=person.token)
    assert ended.status == 204, ended.body
    assert call(ended_at, "GET", PATH, token=person.token).status == 401, "whoever was told finds it done"
    return seconds_until_dead(asked_at, person.token, since)
