"""What may be sent again, and how often."""

from __future__ import annotations

import math

import pytest

from acme.context import ANONYMOUS, Call, IdempotencyKey, Principal
from acme.contract import Method
from acme.dispatch.again import BURST, Budget, repeatable
from tests.services import ANN, CONTRACTS

KEY = IdempotencyKey("one", b"")


def method(path: str) -> Method:
    service, _, name = path.partition("/")
    return next(one for one in CONTRACTS.services[service].methods if one.name == name)


@pytest.mark.parametrize(
    ("path", "principal", "key", "may"),
    [
        ("acme.authority.v1.Authority/Changes", ANONYMOUS, None, True),  # declared idempotent
        ("acme.projects.v1.Projects/GetProject", ANN, None, True),  # GET
        ("acme.projects.v1.Projects/CreateProject", ANN, None, False),
        ("acme.projects.v1.Projects/CreateProject", ANN, KEY, True),
        ("acme.projects.v1.Projects/CreateProject", ANONYMOUS, KEY, False),  # nobody's key is kept
        ("acme.users.v1.Sessions/RefreshSession", ANN, KEY, False),  # a secret is not kept
    ],
)
def test_a_call_may_be_repeated_when_twice_is_once(
    path: str, principal: Principal, key: IdempotencyKey | None, may: bool
) -> None:
    call = Call(path, principal, "req_1", math.inf, "gateway", idempotency=key)
    assert repeatable(method(path), call) is may


def test_a_budget_lasts_for_a_burst_and_then_for_a_tenth() -> None:
    budget = Budget()
    assert sum(budget.spend() for _ in range(100)) == BURST
    spent = 0
    for _ in range(1000):
        budget.earn()
        spent += budget.spend()
    assert 98 <= spent <= 100
    for _ in range(1000):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == BURST
