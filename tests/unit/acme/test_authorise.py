"""Decisions: the owner may, others do not learn that the thing exists, and every question marks the call as decided."""

from collections.abc import Callable, Iterator

import pytest

from acme.authorise import Scope, authorise
from acme.context import ANONYMOUS, CALL, Call, Kind, Principal
from acme.errors import Denied, NotFound, Unauthenticated

ADA = Principal(
    Kind.USER, "usr_ada", scopes=frozenset({"*"}), organization="org_ada", roles={"org_ada": "owner", "org_x": "guest"}
)
READER = Principal(Kind.USER, "usr_ada", scopes=frozenset({"projects.read"}), roles={"org_ada": "owner"})


@pytest.fixture
def calling() -> Iterator[Callable[[Principal], Call]]:
    tokens = []

    def as_(principal: Principal) -> Call:
        call = Call("a.B/C", principal, "request", 0.0)
        tokens.append(CALL.set(call))
        return call

    yield as_
    for token in reversed(tokens):
        CALL.reset(token)


def test_the_owner_may_and_the_call_is_decided(calling: Callable[[Principal], Call]) -> None:
    call = calling(ADA)
    authorise("projects.update", owner="usr_ada", organization="org_other")
    assert call.decided


@pytest.mark.parametrize(("owner", "organization"), [("usr_bob", None), ("usr_bob", "org_ada"), (None, None)])
def test_what_belongs_to_somebody_else_does_not_exist(
    calling: Callable[[Principal], Call], owner: str | None, organization: str | None
) -> None:
    call = calling(ADA)
    with pytest.raises(NotFound):
        authorise("projects.update", owner=owner, organization=organization)
    assert call.decided


def test_a_role_in_the_organisation_decides_for_what_has_no_owner(calling: Callable[[Principal], Call]) -> None:
    calling(ADA)
    authorise("projects.create", organization="org_ada")
    for organization in ("org_unknown", "org_x"):
        with pytest.raises(NotFound):
            authorise("projects.create", organization=organization)


def test_a_token_that_does_not_cover_the_permission_is_denied_and_undecided(
    calling: Callable[[Principal], Call],
) -> None:
    call = calling(READER)
    with pytest.raises(Denied) as refused:
        authorise("projects.update", owner="usr_ada")
    assert refused.value.reason == "insufficient_scope"
    assert not call.decided


def test_nobody_is_told_to_send_a_token(calling: Callable[[Principal], Call]) -> None:
    calling(ANONYMOUS)
    for ask in (authorise.scope, authorise.own, authorise):
        with pytest.raises(Unauthenticated):
            ask("projects.read")


def test_the_scope_of_a_list_is_what_the_caller_owns_and_where_its_role_covers(
    calling: Callable[[Principal], Call],
) -> None:
    call = calling(ADA)
    assert authorise.scope("projects.read") == Scope("usr_ada", ("org_ada",))
    assert call.decided


def test_own_names_the_caller(calling: Callable[[Principal], Call]) -> None:
    call = calling(ADA)
    assert authorise.own("sessions.read") == "usr_ada"
    assert call.decided
