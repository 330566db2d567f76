"""Whom the claims of another issuer stand for: what is declared, and nothing else."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from acme.context import Kind, Membership, Principal
from acme.errors import Unauthenticated
from acme.tokens.claims import foreign_id, principal_of
from acme.tokens.issuer_settings import PrincipalSettings

ISSUER = "https://login.example"
NOW = 1_700_000_000.0


def principal(claims: dict[str, Any], **declared: Any) -> Principal:
    settings = msgspec.convert(declared, PrincipalSettings)
    reading = frozenset({"projects.read"})
    return principal_of({"sub": "ada", **claims}, "one", ISSUER, settings, ends=NOW + 60, now=NOW, reading=reading)


def test_without_a_declaration_a_token_says_who_somebody_is_and_nothing_more() -> None:
    found = principal({"scope": "*", "org": "org_1", "roles": ["owner"], "sid": "ses_1", "auth_time": NOW, "epoch": 7})
    expected = Principal(Kind.USER, foreign_id(ISSUER, "ada"), expires_at=NOW + 60, issuer="one")
    assert found == expected


def test_an_id_is_of_its_issuer_and_nobody_elses() -> None:
    one = foreign_id(ISSUER, "ada")
    assert re.fullmatch("ext_[0-9a-v]{26}", one)
    assert one == foreign_id(ISSUER, "ada")
    others = {foreign_id("https://other.example", "ada"), foreign_id(ISSUER, "Ada"), foreign_id(ISSUER + "a", "da")}
    assert len(others | {one}) == 4


@pytest.mark.parametrize("named", ["usr_01h455vb4pex5vsknk084sn02q", "ext_00000000000000000000000000", "", "sva_1"])
def test_nobody_can_be_named_as_somebody_here(named: str) -> None:
    assert named not in (foreign_id(ISSUER, named), foreign_id(named, ISSUER))


def test_what_tells_holders_apart_may_lie_deeper() -> None:
    found = principal({"act": {"a/b~c": "x"}}, id="/act/a~1b~0c")
    assert found.id == foreign_id(ISSUER, "x")
    assert principal({"https://acme.example/user": "x"}, id="https://acme.example/user").id == found.id


@pytest.mark.parametrize("value", [None, "", 7, True, ["ada"], {"a": 1}, "x" * 2000, "\ud800"])
def test_a_holder_without_a_proper_name_is_refused(value: Any) -> None:
    with pytest.raises(Unauthenticated, match="claim sub") as caught:
        principal({"sub": value})
    assert caught.value.reason == "invalid_token"


def test_a_session_is_named_without_telling_what_the_issuer_calls_it() -> None:
    found = principal({"sid": "secret-session"}, session="sid")
    assert re.fullmatch("[0-9a-v]{26}", found.session)
    with pytest.raises(Unauthenticated, match="claim sid"):
        principal({}, session="sid")


def test_a_kind_is_declared_or_told_by_a_claim() -> None:
    kinds = {"kind_claim": "gty", "kinds": {"client-credentials": "service_account"}}
    assert principal({}, kind="service_account").kind is Kind.SERVICE_ACCOUNT
    assert principal({"gty": "client-credentials"}, **kinds).kind is Kind.SERVICE_ACCOUNT
    assert principal({"gty": "service"}, **kinds).kind is Kind.USER
    assert principal({"gty": "service_account"}, **kinds).kind is Kind.USER


ROLES = {"role_claim": "/realm/roles", "roles": {"boss": "admin", "staff": "member", "visitor": "guest"}}


@pytest.mark.parametrize(
    ("named", "role"),
    [
        (["staff"], "member"),
        (["visitor", "boss", "staff"], "admin"),
        ("visitor staff", "member"),
        (["owner", "admin", "Boss", 7, None, ["boss"]], ""),
        ({"boss": True}, ""),
        ("bossy", ""),
        ([], ""),
    ],
)
def test_the_highest_role_that_is_declared_counts_and_no_other(named: Any, role: str) -> None:
    found = principal({"realm": {"roles": named}}, organization="org_1", **ROLES)
    assert {name: each.role for name, each in found.memberships.items()} == ({"org_1": role} if role else {})


def test_a_declared_role_is_the_least_that_all_have() -> None:
    declared = {"organization": "org_1", "role": "viewer", **ROLES}
    assert principal({}, **declared).memberships == {"org_1": Membership("viewer", default_role="viewer")}
    assert principal({"realm": {"roles": ["visitor"]}}, **declared).memberships["org_1"].role == "viewer"
    assert principal({"realm": {"roles": ["boss"]}}, **declared).memberships["org_1"].role == "admin"


def test_a_guest_reaches_nothing_that_has_members_of_its_own() -> None:
    assert principal({}, organization="org_1", role="guest").memberships == {"org_1": Membership("guest")}


def test_permissions_may_take_the_place_of_a_role() -> None:
    declared = {"organization": "org_1", "role_claim": "groups", "permissions": {"readers": ["projects.read"]}}
    found = principal({"groups": ["readers", "others"]}, **declared)
    assert found.memberships == {"org_1": Membership("custom", frozenset({"projects.read"}))}
    assert principal({"groups": ["projects.read"]}, **declared).memberships == {}


def test_only_organisations_that_are_declared_can_be_named() -> None:
    declared = {"organization_claim": "tenants", "organizations": {"a": "org_1", "b": "org_2"}, "role": "member"}
    found = principal({"tenants": ["b", "c", "org_1", "a"]}, **declared)
    assert list(found.memberships) == ["org_2", "org_1"]
    assert found.organization == "org_2"
    assert principal({"tenants": "org_1"}, **declared).memberships == {}
    assert principal({}, **declared).memberships == {}


def test_scopes_are_translated_and_never_taken_over() -> None:
    declared = {"covers": ["users.me.read"], "scopes": {"work": ["projects.update"], "all": ["*"], "look": ["read"]}}
    assert principal({"scope": "* projects.delete read"}, **declared).scopes == {"users.me.read"}
    assert principal({"scope": "work other"}, **declared).scopes == {"users.me.read", "projects.update"}
    assert principal({"scope": ["all"]}, **declared).covers("anything")
    assert principal({"scope": "look"}, **declared).scopes == {"users.me.read", "read", "projects.read"}
    assert principal({"scp": "all"}, scope_claim="scp", **declared).covers("anything")


def test_a_log_in_is_as_fresh_as_its_claim_says_where_one_is_declared() -> None:
    assert principal({"auth_time": NOW - 5}, authenticated_at="auth_time").authenticated_at == NOW - 5
    assert principal({"auth_time": NOW + 500}, authenticated_at="auth_time").authenticated_at == NOW
    assert principal({}, authenticated_at="auth_time").authenticated_at == 0
    with pytest.raises(Unauthenticated, match="auth_time"):
        principal({"auth_time": "noon"}, authenticated_at="auth_time")


def test_a_pointer_that_leads_nowhere_finds_nothing() -> None:
    wrong: list[dict[str, Any]] = [
        {},
        {"realm": None},
        {"realm": "roles"},
        {"realm": ["roles"]},
        {"realm": {"role": []}},
    ]
    for claims in wrong:
        assert principal(claims, organization="org_1", **ROLES).memberships == {}
