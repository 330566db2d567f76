"""Tokens of other issuers: which are believed, for how long, and what happens when an issuer is no longer trusted.

All that can be wrong with one is in tests/attacks/jwt, through a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from acme import drivers
from acme.errors import Code, Refused, Unavailable
from acme.tasks import Tasks
from acme.telemetry import Metrics
from acme.tokens import TokenSettings, Verifier
from acme.tokens.claims import foreign_id
from tests.issuer import KEYS, ORGANIZATION, Issuer, Page, issuing
from tests.unit.acme.authority import Authority, Direct, refusal
from tests.waiting import sample, until


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as one:
        yield one


def tokens(**issuers: Any) -> TokenSettings:
    return msgspec.convert({"issuers": issuers}, TokenSettings)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def verifier(authority: Authority, issuer: Issuer, metrics: Metrics) -> AsyncIterator[Verifier]:
    fetcher = drivers.open_fetcher()
    made = Verifier(
        Direct(authority),
        authority.clock,
        tokens(one=issuer.settings()),
        metrics,
        frozenset({"projects.read"}),
        fetcher=fetcher,
    )
    await made.poll()
    yield made
    await fetcher.close()


async def outcome(verifier: Verifier, token: str) -> str:
    """The issuer of a token that is believed, or the reason why it is not."""
    try:
        return (await verifier.verify(token)).issuer
    except Refused as refused:
        return refused.reason


def good(authority: Authority, issuer: Issuer, **changed: Any) -> str:
    return issuer.token(**{"now": authority.clock.time(), **changed})


async def test_a_holder_is_who_its_issuer_says_with_what_was_declared(
    authority: Authority, issuer: Issuer, verifier: Verifier
) -> None:
    token = good(authority, issuer, roles=["chief"])
    found = await verifier.verify(token)
    assert (found.id, found.issuer) == (foreign_id(issuer.url, "ada"), "one")
    assert {name: each.role for name, each in found.memberships.items()} == {ORGANIZATION: "admin"}
    assert found.covers("projects.update")
    assert found.expires_at == authority.clock.time() + 630
    assert verifier.cached(token) is found
    assert authority.looked_up == [], "the authority knows nothing of it"


async def test_tokens_of_our_own_are_believed_as_before(authority: Authority, verifier: Verifier) -> None:
    found = await verifier.verify(authority.token())
    assert (found.id, found.issuer) == ("usr_1", "")


async def test_an_issuer_cannot_sign_for_us_nor_for_another(
    authority: Authority, issuer: Issuer, verifier: Verifier
) -> None:
    now = authority.clock.time()
    with issuing() as other:
        verifier.configure(tokens(one=issuer.settings(), two=other.settings()))
        assert (await verifier.verify(other.token(now=now))).issuer == "two"
        ours = authority.claims()
        for forged in (
            other.token(now=now, iss=issuer.url),
            issuer.token(**ours),
            issuer.token(header={"kid": next(iter(authority.private))}, **ours),
        ):
            assert (await refusal(verifier, forged)).reason == "invalid_token"


async def test_without_something_to_fetch_with_nobody_else_is_believed(authority: Authority, issuer: Issuer) -> None:
    alone = Verifier(Direct(authority), authority.clock, tokens(one=issuer.settings()), Metrics())
    await alone.poll()
    alone.configure(tokens(one=issuer.settings()))
    assert (await refusal(alone, good(authority, issuer))).reason == "invalid_token"
    assert issuer.asked == []


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": -31}, "token_expired"),
        ({"exp": -29}, ""),
        ({"nbf": 29}, ""),
        ({"nbf": 31}, "invalid_token"),
        ({"iat": 29}, ""),
        ({"iat": 31}, "invalid_token"),
        ({"iat": -7000, "exp": 229}, ""),
        ({"iat": -7000, "exp": 231}, "invalid_token"),
    ],
    ids=str,
)
async def test_clocks_may_differ_by_what_is_declared(
    authority: Authority, issuer: Issuer, verifier: Verifier, claims: dict[str, int], reason: str
) -> None:
    now = int(authority.clock.time())
    token = good(authority, issuer, **{name: now + seconds for name, seconds in claims.items()})
    assert await outcome(verifier, token) == (reason or "one")


async def test_a_token_without_iat_lives_no_longer_from_now_on(
    authority: Authority, issuer: Issuer, verifier: Verifier
) -> None:
    now = int(authority.clock.time())
    assert await verifier.verify(good(authority, issuer, iat=None, exp=now + 7229))
    assert (await refusal(verifier, good(authority, issuer, iat=None, exp=now + 7231))).reason == "invalid_token"


@pytest.mark.parametrize(
    ("declared", "typ", "believed"),
    [
        (["at+jwt"], "at+jwt", True),
        (["at+jwt"], "application/AT+jwt", True),
        (["at+jwt"], "JWT", False),
        (["at+jwt"], None, False),
        (["at+jwt"], "", False),
        (["JWT"], "jwt", True),
        (["JWT", ""], None, True),
        (["JWT"], "at+jwt", False),
        (["JWT"], "logout+jwt", False),
    ],
    ids=str,
)
async def test_a_token_is_of_a_type_that_is_declared(
    authority: Authority, issuer: Issuer, verifier: Verifier, declared: list[str], typ: Any, believed: bool
) -> None:
    verifier.configure(tokens(one=issuer.settings(types=declared)))
    token = good(authority, issuer, header={"typ": typ})
    assert await outcome(verifier, token) == ("one" if believed else "invalid_token")


async def test_one_of_several_audiences_suffices(authority: Authority, issuer: Issuer, verifier: Verifier) -> None:
    verifier.configure(tokens(one=issuer.settings(audience=["a", "b"])))
    assert await verifier.verify(good(authority, issuer, aud=["x", "b"]))
    assert await verifier.verify(good(authority, issuer, aud="a"))
    assert (await refusal(verifier, good(authority, issuer, aud=["acme-api", {"a": 1}]))).reason == "invalid_token"


async def test_a_key_that_is_withdrawn_ends_what_was_believed_by_it(
    authority: Authority, issuer: Issuer, verifier: Verifier
) -> None:
    token = good(authority, issuer)
    await verifier.verify(token)
    issuer.publish("k2")
    issuer.withdraw("k1")
    assert await verifier.verify(good(authority, issuer, kid="k2"))
    assert verifier.cached(token) is None
    assert (await refusal(verifier, token)).code is Code.UNAUTHENTICATED, "its issuer was asked a moment ago"


async def test_an_issuer_that_is_not_trusted_any_more_is_not_believed_from_then_on(
    authority: Authority, issuer: Issuer, verifier: Verifier
) -> None:
    token = good(authority, issuer)
    await verifier.verify(token)
    verifier.configure(tokens())
    assert verifier.cached(token) is None
    assert (await refusal(verifier, token)).reason == "invalid_token"
    verifier.configure(tokens(one=issuer.settings()))
    assert await verifier.verify(token)


async def test_what_is_declared_counts_from_its_change_on(
    authority: Authority, issuer: Issuer, verifier: Verifier
) -> None:
    token = good(authority, issuer)
    assert (await verifier.verify(token)).memberships
    asked = len(issuer.asked)
    verifier.configure(tokens(one=issuer.settings(principal={"covers": ["read"]})))
    assert verifier.cached(token) is None
    found = await verifier.verify(token)
    assert not found.memberships
    assert found.scopes == {"read", "projects.read"}
    assert len(issuer.asked) == asked, "its keys stayed where they were"
    verifier.configure(tokens(one=issuer.settings(principal={"covers": ["read"]})))
    assert verifier.cached(token) is found, "nothing changed"


async def test_nothing_is_believed_longer_than_the_keys_are(
    authority: Authority, issuer: Issuer, verifier: Verifier
) -> None:
    verifier.configure(tokens(one=issuer.settings(stale=5)))
    found = await verifier.verify(good(authority, issuer))
    assert 0 < found.expires_at - authority.clock.time() <= 5


async def test_an_issuer_that_never_answered_makes_nobody_wrong(
    authority: Authority, issuer: Issuer, verifier: Verifier
) -> None:
    issuer.pages[KEYS] = Page(b"", 500)
    with pytest.raises(Unavailable) as caught:
        await verifier.verify(good(authority, issuer))
    assert caught.value.reason == "tokens_unavailable"
    assert await verifier.verify(authority.token()), "others do not mind"
    assert verifier.issuers() == {
        "issuer one": "the keys could not be read, 1 times in a row: its tokens cannot be checked"
    }


async def test_what_needs_no_key_is_refused_without_looking_for_one(
    authority: Authority, issuer: Issuer, verifier: Verifier
) -> None:
    for wrong in (
        good(authority, issuer, aud="other"),
        good(authority, issuer, exp=1),
        good(authority, issuer, header={"jku": "https://elsewhere.example"}),
        good(authority, issuer, header={"typ": "JWT"}),
    ):
        await refusal(verifier, wrong)
    assert issuer.asked == []


async def test_keys_are_looked_at_before_anybody_needs_them(
    issuer: Issuer, verifier: Verifier, metrics: Metrics
) -> None:
    async def looked() -> bool:
        return sample(metrics, 'acme_token_issuer_fetches_total{issuer="one",result="ok"}') == 1

    async with Tasks("test", metrics) as tasks:
        verifier.start(tasks)
        await until(looked)
    assert verifier.issuers() == {"issuer one": "ok"}
    assert sample(metrics, 'acme_token_issuer_keys{issuer="one"}') == 1
    assert 21_000 < sample(metrics, 'acme_token_issuer_patience_seconds{issuer="one"}') <= 21_600
