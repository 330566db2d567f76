"""More than a gateway can serve, for a moment: `make overload` does it for longer, and tells how much of it was served."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.bench.overload import Drill, drill, requests
from tests.system.running import Platform, call

pytestmark = pytest.mark.drill


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Drill:
    """A list of fifty projects, asked for three times as often as can be."""
    one = Platform(tmp_path_factory.mktemp("overload") / "platform", "--port", "0")
    try:
        one.start()
        port = urlsplit(one.api).port or 0
        request = requests(one)["list 50 projects"]
        found = asyncio.run(drill("list", one.running.pid, port, request, 4.0, 400))
        assert call(one.api, "GET", "/readyz").status == 200
        assert one.stop() == 0
    finally:
        one.close()
    print("\n".join(found.lines()))
    return found


def test_what_can_be_served_is_served_and_others_hear_when_to_come_again(done: Drill) -> None:
    """On a machine with much else to do capacity is another from second to second: `make overload` asks for four fifths."""
    assert done.over.good > 0
    assert done.goodput > 0.3
    statuses = done.over.statuses
    assert statuses[503] > 0
    assert done.over.retry_after == statuses[503]
    assert set(statuses) <= {200, 503, 504}


def test_health_is_told_all_the_while(done: Drill) -> None:
    assert done.probes
    assert done.failures == 0


def test_memory_stays_bounded(done: Drill) -> None:
    assert done.most - done.before < 64 << 20


def test_soon_after_all_are_served_again(done: Drill) -> None:
    assert done.recovery < 5.0
    assert done.after.good > 0
