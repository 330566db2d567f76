"""The kit vouches for whoever a test says that it is, and nobody else is believed for it."""

from __future__ import annotations

import pytest

from acme.codec.rules import Checks
from acme.codec.wire import Wire
from acme.context import ANONYMOUS, Kind, Membership, Principal
from acme.contracts.authority.v1 import AuthorityStub
from acme.dispatch import Directory, Pipeline
from acme.drivers.clock import SystemClock
from acme.drivers.vault import Vault
from acme.errors import Unavailable
from acme.telemetry import Metrics
from acme.testing.vouched import Vouched, vouch
from acme.tokens import TokenSettings, Verifier
from tests.services import ANN, CONTRACTS

CIPHER = Vault(b"a master secret for the tests, 32+")


@pytest.fixture
async def vouched() -> Vouched:
    clock, metrics = SystemClock(), Metrics()
    nobody = Directory(Pipeline(CONTRACTS, Wire(CONTRACTS), Checks(CONTRACTS), metrics, clock)).client(AuthorityStub)
    return Vouched(Verifier(nobody, clock, TokenSettings(), metrics), CIPHER)


def test_a_principal_comes_out_of_its_token_as_it_went_in(vouched: Vouched) -> None:
    assert vouched.fresh
    assert vouched.cached(vouch(ANN, CIPHER)) == ANN


def test_memberships_and_programs_go_along_too(vouched: Vouched) -> None:
    held = Membership("rol_1", frozenset({"projects.read"}), "", ("tem_1",))
    robot = Principal(Kind.SERVICE_ACCOUNT, "sva_1", "pat_1", frozenset({"*"}), "org_1", {"org_1": held})
    assert vouched.cached(vouch(robot, CIPHER)) == robot


def test_only_users_and_programs_have_tokens() -> None:
    assert vouch(ANONYMOUS, CIPHER) == vouch(Principal(Kind.SERVICE, "users"), CIPHER) == ""


@pytest.mark.parametrize("spoil", [lambda t: t[:-8] + "AAAAAAA=", lambda t: t[:20], lambda t: t[:12] + "!" + t[13:]])
def test_a_spoilt_token_is_nobodys(vouched: Vouched, spoil: object) -> None:
    assert callable(spoil)
    assert vouched.cached(spoil(vouch(ANN, CIPHER))) is None


async def test_other_tokens_are_the_verifiers(vouched: Vouched) -> None:
    assert vouched.cached("e30.e30.AA") is None
    with pytest.raises(Unavailable):  # the authority has never answered
        await vouched.verify("e30.e30.AA")
