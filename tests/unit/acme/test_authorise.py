"""Decisions: what a role includes and a token covers may be done, others do not learn that the thing exists, and every
question marks the call as decided."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest

from acme.authorise import STEP_UP, Scope, authorise, require_step_up
from acme.context import ANONYMOUS, CALL, Call, Decision, Kind, Membership, Principal
from acme.errors import Denied, NotFound, Unauthenticated

ROLES = {
    "organizations.read": "guest",
    "projects.read": "viewer",
    "projects.create": "member",
    "members.manage": "admin",
    "organizations.delete": "owner",
}
MEMBERSHIPS = {
    "org_ada": Membership("owner", default_role="owner"),
    "org_work": Membership("member", default_role="viewer", teams=("tem_1", "tem_2")),
    "org_club": Membership("guest"),
    "org_custom": Membership("rol_1", permissions=frozenset({"projects.read"})),
}
ADA = Principal(Kind.USER, "usr_ada", scopes=frozenset({"*"}), organization="org_ada", memberships=MEMBERSHIPS)
READER = Principal(Kind.USER, "usr_ada", scopes=frozenset({"projects.read"}), memberships=MEMBERSHIPS)
ROBOT = Principal(Kind.SERVICE_ACCOUNT, "sva_1", scopes=frozenset({"*"}), memberships={"org_ada": Membership("admin")})


@pytest.fixture
def calling() -> Iterator[Callable[[Principal], Call]]:
    tokens = []

    def as_(principal: Principal) -> Call:
        call = Call("a.B/C", principal, "request", 0.0, roles=ROLES)
        tokens.append(CALL.set(call))
        return call

    yield as_
    for token in reversed(tokens):
        CALL.reset(token)


@pytest.mark.parametrize(
    ("organization", "permission"),
    [
        ("org_ada", "organizations.delete"),
        ("org_work", "projects.create"),
        ("org_club", "organizations.read"),
        ("org_custom", "projects.read"),
    ],
)
def test_a_role_lets_what_it_includes(calling: Callable[[Principal], Call], organization: str, permission: str) -> None:
    call = calling(ADA)
    authorise(permission, organization=organization)
    assert call.decided


@pytest.mark.parametrize(
    ("organization", "permission"),
    [
        ("org_work", "members.manage"),
        ("org_club", "projects.read"),
        ("org_custom", "projects.create"),
        ("org_custom", "organizations.read"),
        ("org_ada", "unknown.to.every.contract"),
    ],
)
def test_a_role_denies_what_it_does_not_include(
    calling: Callable[[Principal], Call], organization: str, permission: str
) -> None:
    call = calling(ADA)
    with pytest.raises(Denied) as refused:
        authorise(permission, organization=organization)
    assert refused.value.reason == "permission_denied"
    assert call.decided


def test_an_organisation_of_others_does_not_exist(calling: Callable[[Principal], Call]) -> None:
    call = calling(ADA)
    with pytest.raises(NotFound):
        authorise("projects.create", organization="org_other")
    assert call.decided


def test_a_token_that_does_not_cover_the_permission_is_denied_and_undecided(
    calling: Callable[[Principal], Call],
) -> None:
    call = calling(READER)
    with pytest.raises(Denied) as refused:
        authorise("projects.create", organization="org_ada")
    assert refused.value.reason == "insufficient_scope"
    assert not call.decided


def test_nobody_is_told_to_send_a_token(calling: Callable[[Principal], Call]) -> None:
    calling(ANONYMOUS)
    with pytest.raises(Unauthenticated):
        authorise("projects.read", organization="org_ada")
    for ask in (authorise.scope, authorise.own):
        with pytest.raises(Unauthenticated):
            ask("projects.read")


def test_the_scope_of_a_query_names_subjects_and_where_the_default_role_reaches(
    calling: Callable[[Principal], Call],
) -> None:
    call = calling(ADA)
    assert authorise.scope("projects.read") == Scope(
        user="usr_ada",
        subjects=("usr_ada", "tem_1", "tem_2"),
        organizations=("org_ada", "org_work", "org_custom"),
        memberships=("org_ada", "org_work", "org_club", "org_custom"),
        roles=("viewer", "member", "admin", "owner"),
    )
    assert call.decided
    assert authorise.scope("projects.create").organizations == ("org_ada",)


def test_no_role_reaches_a_permission_that_no_contract_knows(calling: Callable[[Principal], Call]) -> None:
    calling(ADA)
    scope = authorise.scope("unknown.to.every.contract")
    assert (scope.organizations, scope.roles) == ((), ())


def test_own_names_the_caller(calling: Callable[[Principal], Call]) -> None:
    call = calling(ADA)
    assert authorise.own("sessions.read") == "usr_ada"
    assert call.decided


def test_a_service_account_has_nothing_of_a_persons(calling: Callable[[Principal], Call]) -> None:
    calling(ROBOT)
    with pytest.raises(Denied) as refused:
        authorise.own("sessions.read")
    assert refused.value.reason == "not_a_person"


def test_whom_another_issuer_vouches_for_has_no_account_here(calling: Callable[[Principal], Call]) -> None:
    calling(replace(ADA, id="ext_1", issuer="partner"))
    with pytest.raises(Denied) as refused:
        authorise.own("sessions.read")
    assert refused.value.reason == "no_account"
    authorise("projects.create", organization="org_work")


def test_what_a_caller_may_give_is_its_role_as_far_as_its_token_goes(calling: Callable[[Principal], Call]) -> None:
    calling(ADA)
    assert authorise.permissions("org_ada") == set(ROLES)
    assert authorise.permissions("org_work") == {"organizations.read", "projects.read", "projects.create"}
    assert authorise.permissions("org_custom") == {"projects.read"}
    assert authorise.permissions("org_other") == set()
    calling(READER)
    assert authorise.permissions("org_ada") == {"projects.read"}


def test_each_role_includes_those_below_it(calling: Callable[[Principal], Call]) -> None:
    calling(ADA)
    sets = [authorise.role(name) for name in ("guest", "viewer", "member", "admin", "owner")]
    assert all(one < other for one, other in pairwise(sets))
    assert authorise.role("rol_1") == set()


def test_a_log_in_is_fresh_for_ten_minutes() -> None:
    ada = replace(ADA, authenticated_at=1000.0)
    require_step_up(ada, 1000.0 + STEP_UP)
    with pytest.raises(Unauthenticated) as refused:
        require_step_up(ada, 1000.1 + STEP_UP)
    assert refused.value.reason == "step_up_required"


@pytest.mark.parametrize("principal", [ADA, ROBOT])
def test_who_never_logged_in_is_told_that_nothing_helps(principal: Principal) -> None:
    with pytest.raises(Denied) as refused:
        require_step_up(principal, 1000.0)
    assert refused.value.reason == "step_up_impossible"


def test_a_service_need_not_log_in() -> None:
    require_step_up(Principal(Kind.SERVICE, "billing"), 1000.0)


def test_every_answer_is_noted_on_the_call_for_the_audit_log(calling: Callable[[Principal], Call]) -> None:
    call = calling(ADA)
    authorise("projects.create", organization="org_work")
    with pytest.raises(Denied):
        authorise("members.manage", organization="org_work")
    with pytest.raises(NotFound):
        authorise("projects.read", organization="org_other")
    assert authorise.own("projects.read") == "usr_ada"
    authorise.scope("projects.read")  # decides nothing yet
    authorise.decided("projects.read", "prj_1", granted=True, role="viewer")
    assert call.noted == (
        Decision("projects.create", "org_work", "member", True),
        Decision("members.manage", "org_work", "member", False),
        Decision("projects.read", "org_other", "", False),
        Decision("projects.read", "", "own", True),
        Decision("projects.read", "prj_1", "viewer", True),
    )


@pytest.mark.parametrize(
    ("principal", "permission", "error"),
    [(READER, "members.manage", Denied), (ANONYMOUS, "projects.read", Unauthenticated)],
)
def test_a_token_that_does_not_reach_is_noted_too(
    calling: Callable[[Principal], Call], principal: Principal, permission: str, error: type[Exception]
) -> None:
    call = calling(principal)
    with pytest.raises(error):
        authorise(permission, organization="org_ada")
    assert call.noted == (Decision(permission, "", "", False),)


def test_that_a_program_is_no_person_is_noted(calling: Callable[[Principal], Call]) -> None:
    call = calling(ROBOT)
    with pytest.raises(Denied):
        authorise.own("projects.read")
    assert call.noted == (Decision("projects.read", "", "", False),)
