"""Filters and orders of a list of projects → SQL. Columns come from the tables here, values are parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from acme import filters

FIELDS: Final[Mapping[str, filters.Type]] = {
    "id": filters.Type.TEXT,
    "name": filters.Type.TEXT,
    "owner_id": filters.Type.TEXT,
    "organization_id": filters.Type.TEXT,
    "archived": filters.Type.FLAG,
    "created_at": filters.Type.TIME,
    "updated_at": filters.Type.TIME,
    "labels": filters.Type.LABELS,
}
"""What a list may be filtered by: columns of the same names."""

ORDERS: Final[Mapping[str, str]] = {
    "name": 'name COLLATE "C"',
    "created_at": "created_at",
    "updated_at": "updated_at",
}
"""What a list may be sorted by. Names are sorted by code points, which is the same in every database."""

NEWEST: Final = (filters.Order("id", descending=True),)
"""Ids grow with time."""
BEST: Final = (filters.Order("score", descending=True), filters.Order("id", descending=True))
"""Of a search."""

_OPERATORS: Final = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_KEYS: Final = {**ORDERS, "id": "id", "score": "score"}
_TIMES: Final = ("created_at", "updated_at")


class Parameters:
    """The parameters of a statement that is being put together."""

    def __init__(self, *values: Any) -> None:
        self.values = list(values)

    def add(self, value: Any) -> str:
        """The placeholder of one more."""
        self.values.append(value)
        return f"${len(self.values)}"


def condition(tree: filters.Filter, parameters: Parameters) -> str:
    """A filter as a condition on a project `p`. It is true or false, never NULL: none of the columns is."""
    match tree:
        case filters.And(parts):
            return "(" + " AND ".join(condition(part, parameters) for part in parts) + ")"
        case filters.Or(parts):
            return "(" + " OR ".join(condition(part, parameters) for part in parts) + ")"
        case filters.Not(part):
            return f"(NOT {condition(part, parameters)})"
        case filters.Present(field, key):
            return f"({_column(field)} ? {parameters.add(key)}::text)"
        case filters.Comparison(field, op, value, key) if FIELDS[field] is filters.Type.LABELS:
            equal = f"({_column(field)} @> {parameters.add({key: value})}::jsonb)"
            return equal if op == "=" else f"(NOT {equal})"
        case filters.Comparison(field, op, value):
            return f"({_column(field)} {_OPERATORS[op]} {parameters.add(value)})"


def order_of(asked: Sequence[filters.Order], *, searching: bool) -> tuple[filters.Order, ...]:
    """The whole order of a list: no two projects are equal in it."""
    if not asked:
        return BEST if searching else NEWEST
    return (*asked, filters.Order("id", asked[-1].descending))


def order_by(order: Sequence[filters.Order], alias: str = "") -> str:
    """The ORDER BY of an order."""
    return ", ".join(f"{alias}{_KEYS[one.field]}{' DESC' if one.descending else ''}" for one in order)


def position(order: Sequence[filters.Order], values: Mapping[str, Any]) -> list[Any]:
    """Where a project stands in an order, as JSON; `values` are its fields, and its score."""
    return [_json(values[one.field]) for one in order]


def beyond(order: Sequence[filters.Order], position: Sequence[Any], parameters: Parameters, alias: str = "") -> str:
    """The condition that a project comes after a position."""
    names = [f"{alias}{_KEYS[one.field]}" for one in order]
    places = [parameters.add(_value(one.field, value)) for one, value in zip(order, position, strict=True)]
    if len({one.descending for one in order}) == 1:  # one comparison of rows, which an index can begin with
        return f"({', '.join(names)}) {'<' if order[0].descending else '>'} ({', '.join(places)})"
    sides = [
        "("
        + " AND ".join(
            [
                *(f"{names[equal]} = {places[equal]}" for equal in range(index)),
                f"{names[index]} {'<' if one.descending else '>'} {places[index]}",
            ]
        )
        + ")"
        for index, one in enumerate(order)
    ]
    return "(" + " OR ".join(sides) + ")"


def _column(field: str) -> str:
    if field not in FIELDS:
        raise LookupError(f"{field} is no field of a filter")
    return f"p.{field}"


def _json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _value(field: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if field in _TIMES else value
