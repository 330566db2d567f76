"""What becomes known of one request on its way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from acme.context import ANONYMOUS
from acme.drivers.clock import SystemClock
from acme.drivers.memory import MemoryLimiter
from acme.errors import Exhausted
from acme.gateway.addresses import Addresses
from acme.gateway.exchange import Exchange
from acme.gateway.headers import RequestIds
from acme.gateway.limits import Quota
from acme.gcra import Limit
from acme.telemetry import Metrics


def exchange(peer: str = "203.0.113.9", **headers: str) -> Exchange:
    given = CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))
    request: Any = SimpleNamespace(
        _message=SimpleNamespace(headers=given), protocol=SimpleNamespace(address=peer), _task=None, task=None
    )
    return Exchange(request, RequestIds(), Addresses(["10.0.0.0/8"]))


def quota(name: str, burst: int) -> Quota:
    limiter = MemoryLimiter(SystemClock(), Metrics(), 1)
    return Quota(limiter, Metrics(), name, "default", Limit(rate=0.001, burst=burst), 100)


async def test_at_first_nobody_is_known_and_no_limit_was_asked() -> None:
    made = exchange(X_Request_Id="r-1")
    assert (made.request_id, made.principal, made.quota, made.bound) == ("r-1", ANONYMOUS, None, None)


async def test_the_address_is_the_client_s_behind_a_proxy_of_ours() -> None:
    assert exchange("10.0.0.1", X_Forwarded_For="198.51.100.1").address == "198.51.100.1"
    assert exchange(X_Forwarded_For="198.51.100.1").address == "203.0.113.9"


async def test_it_remembers_the_limit_that_was_asked_last() -> None:
    made, first, last = exchange(), quota("first", 9), quota("last", 3)
    made.charge(first, "a")
    made.charge(last, "b")
    assert made.quota is last
    assert last.limit.left(made.spare) == 2


async def test_a_limit_that_has_nothing_left_refuses_and_is_remembered_too() -> None:
    made, small = exchange(), quota("small", 1)
    made.charge(small, "a")
    with pytest.raises(Exhausted) as caught:
        made.charge(small, "a")
    assert caught.value.reason == "rate_limited"
    assert made.quota is small
    assert made.spare < 0
