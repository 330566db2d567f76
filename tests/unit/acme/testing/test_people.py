"""Who calls in a test."""

from __future__ import annotations

import base64
import json

from acme.context import Kind, Membership, Principal
from acme.drivers.clock import SystemClock
from acme.ids import is_id
from acme.testing.people import User, principal_of, somebody


def test_somebody_is_a_user_with_an_organisation_of_their_own() -> None:
    user = somebody(SystemClock())
    assert is_id(user.id, "usr")
    assert is_id(user.organization, "org")
    assert user.principal.memberships == {user.organization: Membership("owner", default_role="owner")}
    assert user.principal.covers("anything.at.all")
    assert user.principal.kind is Kind.USER


def test_no_two_are_the_same() -> None:
    clock = SystemClock()
    assert somebody(clock).id != somebody(clock).id


def test_somebody_with_few_scopes_is_covered_by_these_only() -> None:
    user = somebody(SystemClock(), scopes=["projects.read"])
    assert user.principal.covers("projects.read")
    assert not user.principal.covers("projects.update")


def test_a_principal_is_read_from_an_access_token() -> None:
    claims = {
        "sub": "usr_1",
        "sid": "ses_1",
        "scope": "a b",
        "org": "org_1",
        "region": "eu",
        "epoch": 3,
        "exp": 1700000000,
        "auth_time": 1600000000,
    }
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    assert principal_of(f"e30.{body}.c2ln") == Principal(
        Kind.USER, "usr_1", "ses_1", frozenset({"a", "b"}), "org_1", {}, "eu", 3, 1700000000.0, 1600000000.0
    )


def test_neither_password_nor_tokens_show_in_a_failed_assertion() -> None:
    principal = somebody(SystemClock()).principal
    shown = repr(User(principal, "a@example.com", "hidden-one", "hidden-two", "hidden-three"))
    assert "hidden" not in shown
