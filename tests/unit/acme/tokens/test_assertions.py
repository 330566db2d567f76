"""What a client's certificate proved at the gateway, told to workers: sealed, short-lived, and checked as any token."""

from __future__ import annotations

import base64

import pytest

from acme.context import Kind
from acme.contracts.authority.v1 import Membership
from acme.drivers.vault import Vault
from acme.errors import Unauthenticated
from acme.telemetry import Metrics
from acme.tokens import TokenSettings, Verifier
from acme.tokens.assertions import LIFE, PREFIX, Assertions
from tests.unit.acme.authority import Authority, Direct

SUBJECT = "sva_01h455vb4pex5vsknk084sn02q"
MEMBER = Membership(organization_id="org_1", role="viewer", default_role="viewer")


class Town:
    """An authority, and a verifier that shares a master key with whoever asserts."""

    def __init__(self, reading: frozenset[str] = frozenset()) -> None:
        self.authority = Authority()
        self.authority.members[SUBJECT] = [MEMBER]
        clock = self.authority.clock
        self.assertions = Assertions(Vault(bytes(32)), clock.time, "local")
        self.verifier = Verifier(Direct(self.authority), clock, TokenSettings(), Metrics(), reading, self.assertions)

    def token(self, *scopes: str, life: float = LIFE) -> str:
        return self.assertions.make(SUBJECT, "crt_1", scopes, self.authority.clock.time() + life)


@pytest.fixture
async def town() -> Town:
    one = Town(frozenset({"projects.read"}))
    await one.verifier.poll()
    return one


async def test_an_assertion_stands_for_a_service_account_with_what_the_authority_says_of_it(town: Town) -> None:
    principal = await town.verifier.verify(town.token("projects.create"))
    assert (principal.kind, principal.id, principal.session) == (Kind.SERVICE_ACCOUNT, SUBJECT, "crt_1")
    assert principal.scopes == {"projects.create"}
    assert (principal.organization, principal.region) == ("org_1", "local")
    assert principal.memberships["org_1"].role == "viewer"
    assert principal.authenticated_at == 0


async def test_the_scope_read_stands_for_all_that_only_reads(town: Town) -> None:
    assert (await town.verifier.verify(town.token("read"))).scopes == {"read", "projects.read"}


async def test_a_service_account_that_is_gone_is_nobody(town: Town) -> None:
    token = town.token("*")
    await town.verifier.verify(token)
    town.authority.change_grants(SUBJECT)
    await town.verifier.poll()
    with pytest.raises(Unauthenticated) as refused:
        await town.verifier.verify(token)
    assert refused.value.reason == "invalid_token"


async def test_an_assertion_is_worthless_after_its_time(town: Town) -> None:
    token = town.token("*")
    principal = await town.verifier.verify(token)
    assert principal.expires_at == town.authority.clock.time() + LIFE
    town.authority.clock.advance(LIFE)
    assert town.verifier.cached(token) is None
    with pytest.raises(Unauthenticated) as refused:
        town.assertions.read(token)
    assert refused.value.reason == "token_expired"


def forged() -> dict[str, str]:
    """By what is wrong with it."""
    town = Town()
    token = town.token("*")
    sealed = bytearray(base64.urlsafe_b64decode(token.removeprefix(PREFIX)))
    sealed[-1] ^= 1
    stranger = Assertions(Vault(b"another" * 5), town.authority.clock.time)
    other_purpose = Vault(bytes(32)).seal("page", b'["sva_1","crt_1",["*"],"local",9e9]')
    no_assertion = Vault(bytes(32)).seal("tokens/certificate", b"[]")
    return {
        "a flipped bit": PREFIX + base64.urlsafe_b64encode(bytes(sealed)).decode(),
        "another key": stranger.make(SUBJECT, "crt_1", ("*",), 9e9),
        "another purpose": PREFIX + base64.urlsafe_b64encode(other_purpose).decode(),
        "nothing in it": PREFIX + base64.urlsafe_b64encode(no_assertion).decode(),
        "empty": PREFIX,
        "no base64": PREFIX + "x",
        "no ASCII": PREFIX + "ä",
        "long": PREFIX + "A" * 10_000,
        "cut": token[:-8],
    }


FORGED = forged()


@pytest.mark.parametrize("token", FORGED.values(), ids=FORGED.keys())
async def test_what_was_not_sealed_with_our_key_for_this_purpose_is_nothing(town: Town, token: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await town.verifier.verify(token)
    assert refused.value.reason == "invalid_token"


async def test_a_verifier_without_the_key_believes_none(town: Town) -> None:
    clock = town.authority.clock
    bare = Verifier(Direct(town.authority), clock, TokenSettings(), Metrics())
    await bare.poll()
    with pytest.raises(Unauthenticated):
        await bare.verify(town.token("*"))
