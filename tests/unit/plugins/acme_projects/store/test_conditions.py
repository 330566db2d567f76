"""Filters and orders as SQL: columns from a list, values as parameters, and the same order in SQL as in Python."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from acme_projects.store.conditions import (
    BEST,
    FIELDS,
    NEWEST,
    Parameters,
    beyond,
    condition,
    order_by,
    order_of,
    position,
)
from hypothesis import given
from hypothesis import strategies as st

from acme import filters

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_filter_becomes_a_condition_with_parameters() -> None:
    tree = filters.parse('labels.env = "prod" AND NOT archived = true AND (name = "a" OR labels:team)', FIELDS)
    assert tree is not None
    parameters = Parameters("before")
    assert condition(tree, parameters) == (
        "((p.labels @> $2::jsonb) AND (NOT (p.archived = $3)) AND ((p.name = $4) OR (p.labels ? $5::text)))"
    )
    assert parameters.values == ["before", {"env": "prod"}, True, "a", "team"]


def test_a_label_that_is_not_there_differs() -> None:
    parameters = Parameters()
    assert condition(filters.Comparison("labels", "!=", "x", "k"), parameters) == "(NOT (p.labels @> $1::jsonb))"


@pytest.mark.parametrize("op", ["=", "!=", "<", "<=", ">", ">="])
def test_every_operator_has_its_sql(op: str) -> None:
    sql = condition(filters.Comparison("created_at", op, AT), Parameters())
    assert sql == f"(p.created_at {'<>' if op == '!=' else op} $1)"


def test_a_field_that_is_not_on_the_list_never_becomes_sql() -> None:
    with pytest.raises(LookupError):
        condition(filters.Present("deleted_at", "x"), Parameters())
    with pytest.raises(LookupError):
        condition(filters.Comparison("1=1; --", "=", "x"), Parameters())


@given(st.text(max_size=50), st.text(max_size=20))
def test_nothing_that_was_typed_gets_into_the_statement(value: str, key: str) -> None:
    trees = (filters.Comparison("name", "=", value), filters.Comparison("labels", "=", value, key))
    for tree in (*trees, filters.Present("labels", key), filters.Not(trees[0])):
        assert re.fullmatch(r"[()a-z_.@>$?:= NOT0-9]+", condition(tree, Parameters()))


def test_every_order_ends_with_the_id() -> None:
    assert order_of((), searching=False) == NEWEST
    assert order_of((), searching=True) == BEST
    asked = (filters.Order("name"), filters.Order("created_at", descending=True))
    assert order_by(order_of(asked, searching=True), "p.") == 'p.name COLLATE "C", p.created_at DESC, p.id DESC'


def test_a_position_beyond_is_one_comparison_where_all_go_the_same_way() -> None:
    order = order_of((filters.Order("updated_at", descending=True),), searching=False)
    parameters = Parameters()
    at = position(order, {"updated_at": AT, "id": "prj_1"})
    assert at == [AT.isoformat(), "prj_1"]
    assert beyond(order, at, parameters, "p.") == "(p.updated_at, p.id) < ($1, $2)"
    assert parameters.values == [AT, "prj_1"]


def test_a_position_beyond_is_spelt_out_where_they_do_not() -> None:
    order = order_of((filters.Order("name"), filters.Order("created_at", descending=True)), searching=False)
    sql = beyond(order, ["a", AT.isoformat(), "prj_1"], Parameters())
    assert sql == (
        '((name COLLATE "C" > $1) OR (name COLLATE "C" = $1 AND created_at < $2)'
        ' OR (name COLLATE "C" = $1 AND created_at = $2 AND id < $3))'
    )


def test_every_field_of_a_filter_is_a_column() -> None:
    values: dict[filters.Type, Any] = {filters.Type.TEXT: "x", filters.Type.FLAG: True, filters.Type.TIME: AT}
    for field, kind in FIELDS.items():
        if kind is not filters.Type.LABELS:
            assert condition(filters.Comparison(field, "=", values[kind]), Parameters()) == f"(p.{field} = $1)"
