"""Ranks of roles on projects are those of the platform."""

from __future__ import annotations

from acme_projects.members import _RANKS, LEAVING

from acme.contract import ROLES


def test_ranks_have_the_order_of_built_in_roles() -> None:
    assert sorted(_RANKS, key=_RANKS.__getitem__) == list(ROLES[1:])


def test_one_transaction_of_a_departure_is_short() -> None:
    assert 1 <= LEAVING <= 1000
