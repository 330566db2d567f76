"""What becomes known of one request on its way."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import CIMultiDict, CIMultiDictProxy

from acme.context import ANONYMOUS
from acme.drivers.clock import SystemClock
from acme.drivers.memory import MemoryLimiter
from acme.errors import Exhausted
from acme.gateway.addresses import Addresses
from acme.gateway.deadlines import NEVER
from acme.gateway.exchange import Exchange
from acme.gateway.headers import RequestIds
from acme.gateway.limits import Quota
from acme.gateway.server import Request
from acme.gcra import Limit
from acme.telemetry import Metrics

NOWHERE = Addresses([])


def exchange(made: type[Request] = Exchange, peer: str = "203.0.113.9", **headers: str) -> Any:
    given = CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}))
    message: Any = SimpleNamespace(headers=given)
    connection: Any = SimpleNamespace(address=peer, network=peer, came=0.0, known=None)
    task: Any = object()
    return made(message, EMPTY_PAYLOAD, connection, object(), task)


def quota(name: str, burst: int) -> Quota:
    limiter = MemoryLimiter(SystemClock(), Metrics(), 1)
    return Quota(limiter, Metrics(), name, "default", Limit(rate=0.001, burst=burst), 100)


def test_at_first_nobody_is_known_and_no_limit_was_asked() -> None:
    made = exchange()
    assert (made.address, made.principal, made.quota, made.bound) == ("203.0.113.9", ANONYMOUS, None, None)
    assert (made.due, made.alarm) == (NEVER, None)


def test_it_is_the_request_that_a_connection_hands_over() -> None:
    made, plain = exchange(), exchange(Request)
    assert [getattr(made, name) is not None for name in Request.__slots__] == [True] * len(Request.__slots__)
    assert (made.has_body, made.read) == (plain.has_body, plain.read) == (False, True)
    assert type(made.headers) is type(plain.headers)


async def test_it_begins_with_the_id_that_the_client_has_given_it() -> None:
    made = exchange(X_Request_Id="r-1")
    made.begin(RequestIds(), NOWHERE)
    assert made.request_id == "r-1"


async def test_the_address_is_the_client_s_behind_a_proxy_of_ours() -> None:
    proxies = Addresses(["10.0.0.0/8"])
    near, far = (exchange(peer=peer, X_Forwarded_For="2001:db8::1") for peer in ("10.0.0.1", "203.0.113.9"))
    for made in (near, far):
        made.begin(RequestIds(), proxies)
    assert (near.address, near.network) == ("2001:db8::1", "2001:db8::/64")
    assert (far.address, far.network) == ("203.0.113.9", "203.0.113.9")


async def test_it_knows_the_task_that_serves_it() -> None:
    made, task = exchange(), asyncio.current_task()
    if sys.version_info < (3, 12):
        made._task = task  # what its connection says
    made.begin(RequestIds(), NOWHERE)
    assert made.task is task


def test_it_remembers_the_limit_that_was_asked_last() -> None:
    made, first, last = exchange(), quota("first", 9), quota("last", 3)
    made.charge(first, "a", 1000.0)
    made.charge(last, "b", 1000.0)
    assert made.quota is last
    assert last.limit.left(made.spare) == 2


def test_a_limit_that_has_nothing_left_refuses_and_is_remembered_too() -> None:
    made, small = exchange(), quota("small", 1)
    made.charge(small, "a", 1000.0)
    with pytest.raises(Exhausted) as caught:
        made.charge(small, "a", 1000.0)
    assert caught.value.reason == "rate_limited"
    assert made.quota is small
    assert made.spare < 0
