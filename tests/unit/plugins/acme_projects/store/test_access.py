"""Scopes as parts of statements: numbered where they are told to, and with the parameters that belong there."""

from __future__ import annotations

import re

import pytest
from acme_projects.store.access import WIDTH, belongs, bound, direct, reached, within

from acme import Scope

SCOPE = Scope("usr_a", ("usr_a", "tem_b"), ("org_all",), ("org_all", "org_some"), ("admin", "owner"))


@pytest.mark.parametrize("first", [1, 3, 7])
def test_a_condition_uses_the_parameters_of_its_own_scope_alone(first: int) -> None:
    own = set(range(first, first + WIDTH))
    for part in (within, belongs, direct, reached):
        assert {int(number) for number in re.findall(r"\$(\d+)", part(first))} <= own
    assert {int(number) for number in re.findall(r"\$(\d+)", within(first))} == own
    assert {int(number) for number in re.findall(r"\$(\d+)", reached(first))} == own


def test_the_parameters_are_in_the_order_of_the_conditions() -> None:
    assert bound(SCOPE) == (SCOPE.organizations, SCOPE.memberships, SCOPE.subjects, SCOPE.roles)
    assert len(bound(SCOPE)) == WIDTH
    assert "p.organization_id = ANY($1::text[])" in within(1)
    assert belongs(1) == "p.organization_id = ANY($2::text[])"
    assert "m.subject_id = ANY($3::text[]) AND m.role = ANY($4::text[])" in direct(1)
