"""What somebody may do, touch and give in an organisation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

import pytest
from acme_users.standing import BUILT_IN, Party, future, included
from acme_users.store import Organization, Standing
from hypothesis import given
from hypothesis import strategies as st

from acme import Conflict, Denied, Invalid
from acme.context import CALL, Call, Kind, Principal
from acme.contract import ROLES

NOW: Final = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)
PERMISSIONS: Final = {f"things.{role}": role for role in ROLES}
"""A permission for each of the built-in roles."""

sets = st.frozensets(st.sampled_from(sorted(PERMISSIONS)))


@contextmanager
def calling(*scopes: str) -> Iterator[None]:
    """Somebody with a token that covers this."""
    principal = Principal(Kind.USER, "usr_ann", scopes=frozenset(scopes))
    call = Call("", principal, "req_1", time.monotonic() + 10, roles=PERMISSIONS)
    token = CALL.set(call)
    yield
    CALL.reset(token)


def party(*may: str, personal: bool = False) -> Party:
    organization = Organization("org_1", "Acme", personal, "local", NOW, 1, "viewer", NOW)
    return Party(organization, "usr_ann", "owner", frozenset(may), NOW)


def test_the_built_in_roles_are_those_of_the_platform_the_highest_first() -> None:
    assert ROLES[::-1] == BUILT_IN


@given(may=sets, granted=sets, scopes=sets)
def test_one_gives_what_its_role_and_its_token_both_include(
    may: frozenset[str], granted: frozenset[str], scopes: frozenset[str]
) -> None:
    with calling(*scopes):
        if granted <= may & scopes:
            party(*may).check_gives(granted)
        else:
            with pytest.raises(Denied):
                party(*may).check_gives(granted)


@given(may=sets, held=sets)
def test_one_touches_what_its_role_includes_whatever_its_token_covers(
    may: frozenset[str], held: frozenset[str]
) -> None:
    with calling():
        if held <= may:
            party(*may).check_touches(held)
        else:
            with pytest.raises(Denied):
                party(*may).check_touches(held)


@given(permissions=sets)
def test_a_custom_role_includes_its_permissions_and_what_a_guest_may(permissions: frozenset[str]) -> None:
    with calling("*"):
        assert included(Standing("rol_1", tuple(permissions))) == permissions | {"things.guest"}


def test_each_built_in_role_includes_those_after_it() -> None:
    with calling("*"):
        found = [included(Standing(role, ())) for role in BUILT_IN]
    assert [len(permissions) for permissions in found] == [5, 4, 3, 2, 1]
    assert all(lower < upper for upper, lower in pairwise(found))


def test_a_personal_organisation_is_not_shared() -> None:
    party().check_shared()
    with pytest.raises(Conflict):
        party(personal=True).check_shared()


def test_a_membership_ends_in_the_future_or_not_at_all() -> None:
    soon = NOW + timedelta(microseconds=1)
    assert future(None, "expires_at", NOW) is None
    assert future(soon, "expires_at", NOW) == soon
    for past in (NOW, NOW - timedelta(days=1)):
        with pytest.raises(Invalid) as caught:
            future(past, "expires_at", NOW)
        assert [fault.pointer for fault in caught.value.faults] == ["/expires_at"]
