"""What is kept of an access token for programs, and what it may cover."""

from __future__ import annotations

import hashlib
import math

import pytest
from acme_users.minting import _checked, digest

from acme.context import CALL, Call, Kind, Principal
from acme.errors import Denied, Invalid

ROLES = {"projects.read": "viewer", "projects.create": "member", "organizations.delete": "owner"}


def checked(held: set[str], *scopes: str) -> tuple[str, ...]:
    """What becomes of scopes that somebody asks for whose own token covers these."""
    principal = Principal(Kind.USER, "usr_1", scopes=frozenset(held))
    token = CALL.set(Call("a.B/C", principal, "request", math.inf, roles=ROLES))
    try:
        return _checked(scopes)
    finally:
        CALL.reset(token)


def test_a_token_is_kept_as_its_sha_256() -> None:
    assert digest("acp_x") == hashlib.sha256(b"acp_x").digest()


def test_scopes_are_kept_sorted_and_once_and_as_they_were_asked_for() -> None:
    assert checked({"*"}, "read", "projects.create", "read") == ("projects.create", "read")
    assert checked({"*"}, "*") == ("*",)


@pytest.mark.parametrize("scope", ["projects.rea", "projects.*", "Read", "", " ", "* "])
def test_what_is_no_permission_is_no_scope(scope: str) -> None:
    with pytest.raises(Invalid) as refused:
        checked({"*"}, "projects.read", scope)
    assert [fault.pointer for fault in refused.value.faults] == ["/scopes"]


def test_what_the_own_token_covers_may_be_handed_on() -> None:
    assert checked({"projects.read"}, "projects.read") == ("projects.read",)
    assert checked({"read", "projects.read"}, "read") == ("read",)


@pytest.mark.parametrize(
    ("held", "wanted"),
    [({"projects.read"}, "projects.create"), ({"projects.read"}, "read"), ({"read"}, "*"), (set(ROLES), "*")],
)
def test_what_the_own_token_does_not_cover_may_not(held: set[str], wanted: str) -> None:
    with pytest.raises(Denied) as refused:
        checked(held, wanted)
    assert refused.value.reason == "scope_above_own"
