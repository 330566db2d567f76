"""A filter is read as it was meant, or refused with the place where it stops making sense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acme.errors import Invalid
from acme.filters import DEEPEST, MOST, And, Comparison, Filter, Not, Or, Order, Present, Type, parse, parse_order

FIELDS: Final = {
    "name": Type.TEXT,
    "archived": Type.FLAG,
    "size": Type.INTEGER,
    "created_at": Type.TIME,
    "labels": Type.LABELS,
}


def read(text: str) -> Filter | None:
    return parse(text, FIELDS)


def test_an_empty_filter_asks_for_nothing() -> None:
    assert read("") is None
    assert read(" \t\n") is None


def test_the_example_of_the_contract_is_read() -> None:
    assert read('labels.env = "prod" AND archived = false AND created_at > "2026-01-01T00:00:00Z"') == And(
        (
            Comparison("labels", "=", "prod", "env"),
            Comparison("archived", "=", False),
            Comparison("created_at", ">", datetime(2026, 1, 1, tzinfo=UTC)),
        )
    )


def test_or_binds_closer_than_and() -> None:
    a, b, c = (Comparison("size", "=", number) for number in (1, 2, 3))
    assert read("size=1 AND size=2 OR size=3") == And((a, Or((b, c))))
    assert read("(size=1 AND size=2) OR size=3") == Or((And((a, b)), c))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("name = abc", Comparison("name", "=", "abc")),
        (r"name='it\'s'", Comparison("name", "=", "it's")),
        (r'name="a\"b\\c"', Comparison("name", "=", 'a"b\\c')),
        ('name != "50%_*"', Comparison("name", "!=", "50%_*")),
        ("NOT archived = true", Not(Comparison("archived", "=", True))),
        ("-archived=true", Not(Comparison("archived", "=", True))),
        ("NOT (NOT archived=true)", Not(Not(Comparison("archived", "=", True)))),
        ("size >= -12", Comparison("size", ">=", -12)),
        ("labels:env", Present("labels", "env")),
        ("labels.env:*", Present("labels", "env")),
        ('labels."a-b" = x', Comparison("labels", "=", "x", "a-b")),
        ("name=AND", Comparison("name", "=", "AND")),
        (
            "created_at<'2026-01-01T00:00:00.5+02:00'",
            Comparison("created_at", "<", datetime(2026, 1, 1, 0, 0, 0, 500_000, timezone(timedelta(hours=2)))),
        ),
    ],
)
def test_a_condition_is_read_as_it_was_meant(text: str, meant: Filter) -> None:
    assert read(text) == meant


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("password = 1", 1, "archived, created_at, labels, name, size"),
        ("name", 5, "= != < <= > >="),
        ("name =", 7, "a value"),
        ("name < a", 1, "= !="),
        ("name : a", 1, "= !="),
        ("name.x = a", 1, "no parts"),
        ("name = a name = b", 10, "AND, OR or the end"),
        ("name = 'it''s'", 12, "AND, OR or the end"),
        ("(name = a", 10, "AND, OR or )"),
        ("name = a)", 9, "the end"),
        ("archived = yes", 12, "true or false"),
        ("size = 1.5", 8, "a number"),
        ("size = 9223372036854775808", 8, "a number"),
        ('created_at > "2026-01-01"', 14, "a time such as"),
        ('created_at > "2026-01-01T00:00:00"', 14, "a time such as"),
        ('created_at > "2026-02-31T00:00:00Z"', 14, "a time such as"),
        ('created_at > "0001-01-01T00:00:00+14:00"', 14, "a time such as"),
        ('created_at > "9999-12-31T23:59:59-14:00"', 14, "a time such as"),
        ("labels = a", 1, "labels.KEY = value"),
        ("labels.env > a", 1, "labels.KEY = value"),
        ("labels.env:x", 12, "* is expected"),
        ('name = "open', 8, "a value"),
        ('name = "a\0b"', 8, "NUL"),
        ('labels."a\0b" = c', 1, "NUL"),
        ('labels:"a\0b"', 8, "NUL"),
        ("name = a AND", 13, "one of the fields"),
        ("name = a; DROP TABLE projects", 9, "the end"),
        ("regex(name, a)", 1, "one of the fields"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, place: int, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        read(text)
    (fault,) = caught.value.faults
    assert (caught.value.reason, fault.pointer) == ("invalid_filter", "/filter")
    assert f"at character {place}:" in caught.value.message
    assert why in caught.value.message


def test_size_and_depth_are_bounded() -> None:
    assert read(" AND ".join(["size=1"] * MOST))
    with pytest.raises(Invalid, match="at most 50 comparisons"):
        read(" AND ".join(["size=1"] * (MOST + 1)))
    assert read("(" * DEEPEST + "size=1" + ")" * DEEPEST)
    with pytest.raises(Invalid, match="at most 20 parentheses"):
        read("(" * 900 + "size=1" + ")" * 900)
    with pytest.raises(Invalid, match="at most 20 parentheses"):
        read("-" * 900 + "size=1")


TEXTS: Final = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
COMPARISONS: Final = st.one_of(
    st.builds(Comparison, st.just("name"), st.sampled_from(["=", "!="]), TEXTS),
    st.builds(Comparison, st.just("archived"), st.sampled_from(["=", "!="]), st.booleans()),
    st.builds(
        Comparison,
        st.just("size"),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.integers(-(2**63), 2**63 - 1),
    ),
    st.builds(
        Comparison,
        st.just("created_at"),
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 2)),
    ),
    st.builds(Comparison, st.just("labels"), st.sampled_from(["=", "!="]), TEXTS, TEXTS.filter(bool)),
    st.builds(Present, st.just("labels"), TEXTS.filter(bool)),
)


def _groups(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(Not, parts), st.builds(And, several), st.builds(Or, several))


FILTERS: Final[st.SearchStrategy[Filter]] = st.recursive(COMPARISONS, _groups, max_leaves=8)


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(tree: Filter) -> str:
    """A text that means the tree."""
    match tree:
        case Present(field, key):
            return f"{field}:{quoted(key)}"
        case Not(part):
            return f"NOT ({written(part)})"
        case And(parts):
            return " AND ".join(f"({written(part)})" for part in parts)
        case Or(parts):
            return " OR ".join(f"({written(part)})" for part in parts)
        case Comparison(field, op, value, key):
            if isinstance(value, str):
                text = quoted(value)
            elif isinstance(value, datetime):
                text = quoted(value.isoformat(timespec="microseconds"))
            else:
                text = str(value).lower()
            return f"{field}{'.' + quoted(key) if key else ''} {op} {text}"


@given(FILTERS)
def test_what_is_written_is_read_as_it_was_meant(tree: Filter) -> None:
    assert read(written(tree)) == tree


@given(st.text(alphabet="nameAND OR()\"'\\=<>!:.*-0123labels\x00é"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read(text)
    except Invalid as refusal:
        assert refusal.faults  # noqa: PT017  most texts are refused, and some are not


def test_orders_are_read() -> None:
    allowed = ("name", "created_at")
    assert parse_order("", allowed) == ()
    assert parse_order("name", allowed) == (Order("name"),)
    assert parse_order(" created_at desc , name asc", allowed) == (Order("created_at", True), Order("name"))


@pytest.mark.parametrize(
    "text", ["size", "name up", "name desc desc", "name,,created_at", ",", "name, name desc", "name DESC"]
)
def test_orders_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_order(text, ("name", "created_at"))
    assert caught.value.reason == "invalid_order_by"
