"""Claims that would make of somebody what it is not, or of a moment for ever: RFC 7519 (section 4), RFC 8725, RFC 9068."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.attacks.jwt.world import Side, World

Case = Callable[[Side], str]
EXPIRED = ("invalid_token", "token_expired")


def claimed(**changed: Any) -> Case:
    """Good claims but for these, under a real signature."""
    return lambda side: side.token(claims=side.claims(**changed))


def later(**seconds: float) -> Case:
    """Claims that are times, in seconds from now."""
    return lambda side: side.token(
        claims=side.claims(**{name: side.good["iat"] + ahead for name, ahead in seconds.items()})
    )


def written(change: Callable[[str], str]) -> Case:
    """Claims whose JSON is changed as text."""
    return lambda side: side.token(claims=change(json.dumps(side.claims())))


def number(name: str, text: str) -> Case:
    """A claim that is a number which JSON can write and Python would not."""
    return written(lambda claims: json.dumps({**json.loads(claims), name: "HERE"}).replace('"HERE"', text))


def adding(text: str) -> Case:
    """Claims with more behind them."""
    return written(lambda claims: claims[:-1] + text + "}")


def issuer(change: Callable[[str], Any]) -> Case:
    return lambda side: side.token(claims=side.claims(iss=change(side.good["iss"])))


WHO: dict[str, Case] = {
    "iss-missing": claimed(iss=...),
    "iss-null": claimed(iss=None),
    "iss-empty": claimed(iss=""),
    "iss-other": claimed(iss="https://elsewhere.example"),
    "iss-with-a-slash": issuer(lambda iss: iss + "/"),
    "iss-in-other-case": issuer(lambda iss: iss.upper()),
    "iss-with-a-space": issuer(lambda iss: iss + " "),
    "iss-with-a-path": issuer(lambda iss: iss + "/../"),
    "iss-as-user-of-another": issuer(lambda iss: iss + "@elsewhere.example"),
    "iss-below-another": issuer(lambda iss: iss + ".elsewhere.example"),
    "iss-list": issuer(lambda iss: [iss]),
    "iss-object": issuer(lambda iss: {"iss": iss}),
    "iss-number": claimed(iss=1),
    "iss-of-the-attacker": lambda side: side.token(claims=side.claims(iss=side.trap)),
    "sub-missing": claimed(sub=...),
    "sub-null": claimed(sub=None),
    "sub-empty": claimed(sub=""),
    "sub-number": claimed(sub=1),
    "sub-list": claimed(sub=["usr_1"]),
    "sub-object": claimed(sub={"$gt": ""}),
    "sub-half-a-surrogate": claimed(sub="\ud800"),
    "sub-endless": claimed(sub="a" * 3000),
    "sub-twice": adding(',"sub":"usr_2"'),
    "sub-twice-spelt-otherwise": adding(',"\\u0073ub":"usr_2"'),
    "iss-twice": adding(',"iss":"https://elsewhere.example"'),
    "nested-name-twice": adding(',"realm_access":{"roles":[],"roles":["chief"]}'),
}

WHERE: dict[str, Case] = {
    "aud-missing": claimed(aud=...),
    "aud-null": claimed(aud=None),
    "aud-empty": claimed(aud=""),
    "aud-other": claimed(aud="other-api"),
    "aud-longer": claimed(aud="acme-api-2"),
    "aud-shorter": claimed(aud="acme"),
    "aud-in-other-case": claimed(aud="ACME-API"),
    "aud-with-a-space": claimed(aud="acme-api "),
    "aud-in-a-text": claimed(aud="other acme-api"),
    "aud-empty-list": claimed(aud=[]),
    "aud-list-of-others": claimed(aud=["other-api", "acme-api-2"]),
    "aud-list-in-a-list": claimed(aud=[["acme-api"]]),
    "aud-list-of-objects": claimed(aud=[{"aud": "acme-api"}]),
    "aud-object": claimed(aud={"acme-api": True}),
    "aud-truth": claimed(aud=True),
    "aud-star": claimed(aud="*"),
    "aud-twice": adding(',"aud":"acme-api"'),
}

WHEN: dict[str, Case] = {
    "exp-missing": claimed(exp=...),
    "exp-null": claimed(exp=None),
    "exp-text": claimed(exp="9999999999"),
    "exp-truth": claimed(exp=True),
    "exp-list": claimed(exp=[9999999999]),
    "exp-negative": claimed(exp=-1),
    "exp-zero": claimed(exp=0),
    "exp-now-but-for-skew": later(exp=-31),
    "exp-in-milliseconds": later(exp=1.7e12),
    "exp-in-a-year": later(exp=31_536_000),
    "exp-longer-than-allowed": later(exp=7300),
    "exp-nan": number("exp", "NaN"),
    "exp-infinity": number("exp", "Infinity"),
    "exp-beyond-a-double": number("exp", "1e999"),
    "exp-of-many-digits": number("exp", "9" * 5000),
    "exp-huge": number("exp", "9" * 30),
    "exp-hexadecimal": number("exp", "0x7fffffff"),
    "exp-octal": number("exp", "017777777777"),
    "exp-with-a-plus": number("exp", "+9999999999"),
    "exp-twice": adding(',"exp":9999999999'),
    "nbf-in-the-future": later(nbf=60),
    "nbf-text": claimed(nbf="0"),
    "nbf-negative": claimed(nbf=-1),
    "nbf-null": claimed(nbf=None),
    "nbf-truth": claimed(nbf=False),
    "nbf-beyond-a-double": number("nbf", "1e999"),
    "nbf-nan": number("nbf", "NaN"),
    "iat-in-the-future": later(iat=60),
    "iat-text": claimed(iat="now"),
    "iat-null": claimed(iat=None),
    "iat-negative": claimed(iat=-1),
    "iat-of-long-ago": later(iat=-100_000),
    "iat-zero": claimed(iat=0),
    "iat-minus-infinity": number("iat", "-Infinity"),
}

OWN: dict[str, Case] = {
    "sid-missing": claimed(sid=...),
    "sid-list": claimed(sid=["ses_1"]),
    "sid-breaks-a-log-line": claimed(sid='ses_1","x":"y'),
    "sub-breaks-a-log-line": claimed(sub="usr_1\nroot"),
    "sub-walks": claimed(sub="../usr_2"),
    "scope-missing": claimed(scope=...),
    "scope-list": claimed(scope=["*"]),
    "scope-object": claimed(scope={"*": True}),
    "org-number": claimed(org=1),
    "region-null": claimed(region=None),
    "epoch-text": claimed(epoch="99"),
    "epoch-truth": claimed(epoch=True),
    "epoch-fraction": claimed(epoch=99.5),
    "epoch-nan": number("epoch", "NaN"),
    "auth-time-missing": claimed(auth_time=...),
    "auth-time-infinity": number("auth_time", "Infinity"),
}
"""Claims that only our own tokens have to bear."""

ALL = {**WHO, **WHERE, **WHEN}


@pytest.mark.parametrize("case", ALL.values(), ids=ALL)
async def test_claims_that_are_not_as_declared_prove_nothing(world: World, side: Side, case: Case) -> None:
    await world.refused(case(side), EXPIRED)


@pytest.mark.parametrize("case", OWN.values(), ids=OWN)
async def test_claims_of_our_own_tokens_are_all_there_and_of_their_kind(world: World, case: Case) -> None:
    await world.refused(case(world.sides["ours"]))


@pytest.mark.parametrize("wrong", [{"nbf": 60}, {"exp": 0}, {"exp": -1}], ids=str)
async def test_our_own_tokens_end_to_the_second(world: World, wrong: dict[str, float]) -> None:
    await world.refused(later(**wrong)(world.sides["ours"]), EXPIRED)


async def test_neither_issuer_signs_for_the_other(world: World) -> None:
    ours, theirs = world.sides["ours"], world.sides["theirs"]
    for one, other in ((ours, theirs), (theirs, ours)):
        await world.refused(one.token(claims=other.claims()))
        await world.refused(one.token(claims=one.claims(iss=other.good["iss"])))


async def test_a_claim_of_ours_in_anothers_token_gives_nothing(world: World) -> None:
    """Who a foreign token stands for follows from its issuer's declaration, whatever it says in our own words."""
    theirs = world.sides["theirs"]
    token = theirs.token(
        claims=theirs.claims(sub="usr_1", org="org_1", epoch=99, sid="ses_1", scope="work *", roles=["owner", "admin"])
    )
    principal = await world.rig.verifier.verify(token)
    assert principal.id.startswith("ext_")
    assert (principal.session, principal.epoch) == ("", 0)
    assert {each.role for each in principal.memberships.values()} == {"viewer"}
    assert "org_1" not in principal.memberships
