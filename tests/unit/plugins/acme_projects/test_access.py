"""What somebody may do on a project, and give to others: the most of its roles, and never more than its token covers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from acme_projects.access import check_gives, covered, permissions
from acme_projects.store import Standing

from acme.context import CALL, Call, Kind, Membership, Principal
from acme.contracts.projects.v1 import Project
from acme.errors import Denied

ROLES: Mapping[str, str] = {"a.read": "viewer", "a.update": "member", "a.manage": "admin", "a.own": "owner"}
HERE = "org_a"


def calling(membership: Membership, *scopes: str) -> Call:
    principal = Principal(
        Kind.USER, "usr_a", scopes=frozenset(scopes or {"*"}), organization=HERE, memberships={HERE: membership}
    )
    return Call("x", principal, "r", 0.0, roles=ROLES)


@pytest.fixture
def call() -> Iterator[Call]:
    made = calling(Membership("guest"))
    token = CALL.set(made)
    yield made
    CALL.reset(token)


def gives(call: Call, role: str, *roles: str) -> bool:
    token = CALL.set(call)
    try:
        check_gives(Standing(Project(organization_id=HERE), True, roles), role)
    except Denied:
        return False
    finally:
        CALL.reset(token)
    return True


@pytest.mark.parametrize(
    ("membership", "roles", "most"),
    [
        (Membership("guest"), ("viewer",), "viewer"),
        (Membership("guest"), ("viewer", "admin"), "admin"),
        (Membership("member", default_role="member"), (), "member"),
        (Membership("owner", default_role="owner"), ("viewer",), "owner"),
        (Membership("rol_x", permissions=frozenset({"a.read", "a.update"})), (), "member"),
        (Membership("rol_x", permissions=frozenset({"a.manage"})), ("member",), "admin"),
        (Membership("rol_x", permissions=frozenset({"a.manage"})), (), ""),
        (Membership("owner"), (), ""),
    ],
)
def test_a_role_is_given_by_those_who_have_all_of_it(membership: Membership, roles: tuple[str, ...], most: str) -> None:
    ranks = ("viewer", "member", "admin", "owner")
    expected = ranks[: ranks.index(most) + 1] if most else ()
    assert tuple(role for role in ranks if gives(calling(membership), role, *roles)) == expected


def test_a_token_gives_what_it_covers() -> None:
    owner = Membership("owner", default_role="owner")
    assert gives(calling(owner, "a.read"), "viewer")
    assert not gives(calling(owner, "a.read"), "member")


def test_roles_and_a_custom_role_add_up(call: Call) -> None:
    assert permissions(["viewer"], "", ["a.own"]) == {"a.read", "a.own"}
    assert permissions([], "none", []) == frozenset()


def test_what_the_token_does_not_cover_reaches_nothing() -> None:
    token = CALL.set(calling(Membership("owner", default_role="owner"), "a.update"))
    try:
        scope = covered("a.read")
        assert (scope.organizations, scope.memberships, scope.subjects, scope.roles) == ((), (), (), ())
        assert covered("a.update").organizations == (HERE,)
    finally:
        CALL.reset(token)
