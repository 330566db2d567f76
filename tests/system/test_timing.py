"""What somebody learns who measures the time of answers instead of reading them.

For each of sign-up, reset, log-in and a log-in during a pause: the times of answers for an address that somebody has proved
and for one that nobody has, taken in turns, compared by AUC: how often a time of the one is longer than a time of the
other. 0.5 says nothing, 1.0 everything. The figures are shown at the end of the run; only `make soak` takes enough of them
to hold them against a bound (keycloak/keycloak#51887, logto-io/logto#8773).
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import pytest
from acme_users import plugin as users_plugin
from hypothesis import settings

from acme.contracts.users.v1 import (
    CreateSessionRequest,
    CreateUserRequest,
    RequestPasswordResetRequest,
    SessionsStub,
    UsersStub,
)
from acme.errors import Refused
from acme.plugin import Plugin
from acme.testing import Platform
from acme.testing.people import PASSWORD
from tests.people import OTHER, People, new_email

SOAK: Final = settings.default is not None and settings.default.max_examples >= 10_000
PAIRS: Final = 1000 if SOAK else 6
"""Accounts, and as many addresses without one."""
BOUND: Final = 0.05
"""How far from 0.5 the AUC may be in a soak: nearly four standard deviations of equal samples of this size."""

Ask = Callable[[str, str], Awaitable[object]]
"""(address, address of the client) → an answer or a refusal."""


def auc(one: Sequence[float], other: Sequence[float]) -> float:
    """The chance that one of `one` is larger than one of `other`, ties counting half (Mann and Whitney's U)."""
    ordered = sorted(other)
    wins = sum(bisect_left(ordered, value) + bisect_right(ordered, value) for value in one)
    return wins / (2 * len(one) * len(other))


def test_auc_of_equal_samples_is_a_half_and_of_separate_ones_is_one() -> None:
    assert auc([1, 2, 3], [3, 2, 1]) == 0.5
    assert (auc([5, 6], [1, 2]), auc([1, 2], [5, 6])) == (1.0, 0.0)


@pytest.fixture(scope="module")
def plugins() -> list[Plugin]:
    return [users_plugin]


@pytest.fixture(scope="module")
async def known(platform: Platform) -> list[str]:
    """Addresses that somebody has proved."""
    people, made = People(platform), [new_email() for _ in range(PAIRS)]
    for email in made:
        await people.verified(email)
    return made


async def taken(ask: Ask, email: str, address: str) -> float:
    """Seconds until the answer."""
    started = time.perf_counter()
    with suppress(Refused):
        await ask(email, address)
    return time.perf_counter() - started


def asks(platform: Platform) -> dict[str, Ask]:
    async def log_in(email: str, address: str) -> object:
        request = CreateSessionRequest(email=email, password=OTHER)
        return await platform.stub(SessionsStub, address=address).create_session(request)

    async def reset(email: str, address: str) -> object:
        request = RequestPasswordResetRequest(email=email)
        return await platform.stub(UsersStub, address=address).request_password_reset(request)

    async def sign_up(email: str, address: str) -> object:
        request = CreateUserRequest(email=email, password=PASSWORD, display_name="Ann")
        return await platform.stub(UsersStub, address=address).create_user(request)

    return {"log-in": log_in, "log-in during a pause": log_in, "reset": reset, "sign-up": sign_up}


@pytest.mark.drill
@pytest.mark.soak
@pytest.mark.parametrize("method", ["log-in", "log-in during a pause", "reset", "sign-up"])
async def test_the_time_of_an_answer_does_not_tell_whether_an_address_is_known(
    platform: Platform, known: list[str], method: str, measured: Callable[[str, object], None]
) -> None:
    ask = asks(platform)[method]
    times: dict[bool, list[float]] = {True: [], False: []}
    for number, email in enumerate(known):
        pair = [(True, email), (False, new_email())]
        for is_known, address in pair if number % 2 else pair[::-1]:
            client = f"10.{is_known:d}.{number // 256}.{number % 256}"
            if method == "log-in during a pause":
                for _ in range(5):
                    await taken(ask, address, client)
            times[is_known].append(await taken(ask, address, client))
    figure = auc(times[True], times[False])
    measured(f"AUC of the times of {method}, known against unknown, {PAIRS} of each", round(figure, 3))
    if SOAK:
        assert abs(figure - 0.5) <= BOUND
