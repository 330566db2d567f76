"""What a list is asked for: conditions by AIP-160, and an order by AIP-132.

    FIELDS = {"archived": filters.Type.FLAG, "created_at": filters.Type.TIME, "labels": filters.Type.LABELS}

    where = filters.parse('labels.env = "prod" AND NOT archived = true', FIELDS)    # → And((Comparison(…), Not(…)))
    order = filters.parse_order("name, created_at desc", ("name", "created_at"))    # → (Order("name"), Order(…, True))

A service compiles the tree into SQL in its `store.py`, where every value is a parameter. What the tree means is two-valued:
a label that is not there differs from every value, so `labels.env != "prod"` and `NOT labels.env = "prod"` are the same.

The grammar, less than AIP-160's: comparisons `field = value` with `=`, `!=`, `<`, `<=`, `>`, `>=`; `labels:env` or
`labels.env:*` for a label that is there; `AND`, `OR`, `NOT` (or `-`) and parentheses. As in AIP-160, `OR` binds closer than
`AND`: `a AND b OR c` is `a AND (b OR c)`. Texts stand in quotes, '…' or "…", with `\\` before a quote or a backslash; words
of letters, digits, `_`, `-`, `.` need none. A `*` inside a value is a character like others. Conditions side by side without
a word between them, bare words and functions are refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final, NoReturn, TypeAlias

from acme.errors import Fault, Invalid

MOST: Final = 50
"""Comparisons in one filter."""
DEEPEST: Final = 20
"""Parentheses and NOTs inside of each other."""


class Type(Enum):
    """Type of a field that may be filtered by, and what may be asked of it."""

    TEXT = "text"
    """`=` and `!=`."""
    FLAG = "true or false"
    """`=` and `!=`."""
    INTEGER = "integer"
    TIME = "time"
    """RFC 3339, with an offset."""
    LABELS = "labels"
    """A map of texts: `field.key = value`, `field.key != value`, and whether the key is there."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """`field op value`, or `field.key op value` for labels."""

    field: str
    op: str
    """One of = != < <= > >=."""
    value: str | bool | int | datetime
    """Of the field's type; a time is aware."""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Present:
    """There is a label with this key."""

    field: str
    key: str


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: Filter


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of two or more."""

    parts: tuple[Filter, ...]


Filter: TypeAlias = Comparison | Present | Not | And | Or


@dataclass(frozen=True, slots=True)
class Order:
    """Sort by this field."""

    field: str
    descending: bool = False


def parse(text: str, fields: Mapping[str, Type]) -> Filter | None:
    """The conditions in `text`, about these fields; `None` for an empty text.

    Raises:
        Invalid: reason `invalid_filter`, with a fault at /filter that says at which character and what is expected.
    """
    reader = _Reader(text, fields)
    if reader.at_end:
        return None
    tree = reader.conjunction()
    if not reader.at_end:
        reader.fail("AND, OR or the end is expected")
    return tree


def parse_order(text: str, fields: Collection[str]) -> tuple[Order, ...]:
    """The order in `text`, such as "name, updated_at desc"; empty for an empty text.

    Raises:
        Invalid: reason `invalid_order_by`, with a fault at /order_by.
    """
    orders: list[Order] = []
    for part in text.split(",") if text.strip() else ():
        words = part.split()
        if not 1 <= len(words) <= 2 or words[0] not in fields or words[1:] not in ([], ["asc"], ["desc"]):
            _refuse(
                "order_by",
                f"{part.strip()!r}: one of {', '.join(sorted(fields))} is expected, then asc or desc or nothing",
            )
        if any(order.field == words[0] for order in orders):
            _refuse("order_by", f"{words[0]} is named twice")
        orders.append(Order(words[0], words[1:] == ["desc"]))
    return tuple(orders)


_SPACE: Final = re.compile(r"[ \t\r\n]*")
_WORD: Final = re.compile(r"[A-Za-z0-9_.+-]+")
_FIELD: Final = re.compile(r"([a-z][a-z0-9_]*)(?:\.([a-z][a-z0-9_-]*|\"(?:[^\"\\]|\\[\"\\])*\"))?")
_OPERATOR: Final = re.compile(r"<=|>=|!=|=|<|>|:")
_QUOTED: Final = re.compile(r"\"((?:[^\"\\]|\\[\"'\\])*)\"|'((?:[^'\\]|\\[\"'\\])*)'")
_ESCAPE: Final = re.compile(r"\\(.)")
_KEYWORD: Final = re.compile(r"(AND|OR|NOT)(?![A-Za-z0-9_.:=<>!])")
_NUMBER: Final = re.compile(r"-?[0-9]{1,19}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_ORDERED: Final = frozenset({Type.INTEGER, Type.TIME})


class _Reader:
    """Reads from left to right; `self._at` is the next character."""

    def __init__(self, text: str, fields: Mapping[str, Type]) -> None:
        self._text, self._fields = text, fields
        self._at = self._count = self._depth = 0
        self._skip()

    @property
    def at_end(self) -> bool:
        return self._at >= len(self._text)

    def conjunction(self) -> Filter:
        parts = [self._disjunction()]
        while self._keyword("AND"):
            parts.append(self._disjunction())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _disjunction(self) -> Filter:
        parts = [self._term()]
        while self._keyword("OR"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _term(self) -> Filter:
        negated = self._keyword("NOT") or self._symbol("-")
        opened = not negated and self._symbol("(")
        if not negated and not opened:
            return self._comparison()
        self._depth += 1
        if self._depth > DEEPEST:
            self.fail(f"at most {DEEPEST} parentheses and NOTs may stand inside of each other")
        if negated:
            part: Filter = Not(self._term())
        else:
            part = self.conjunction()
            if not self._symbol(")"):
                self.fail("AND, OR or ) is expected")
        self._depth -= 1
        return part

    def _comparison(self) -> Filter:
        self._count += 1
        if self._count > MOST:
            self.fail(f"at most {MOST} comparisons are allowed")
        begun = self._at
        found = _FIELD.match(self._text, self._at)
        kind = self._fields.get(found[1]) if found else None
        if found is None or kind is None:
            self.fail(f"one of the fields {', '.join(sorted(self._fields))} is expected")
        field, key = found[1], _unquoted(found[2] or "")
        if "\0" in key:
            self.fail("a key without NUL characters is expected")
        self._forward(found.end())
        operator = _OPERATOR.match(self._text, self._at)
        if operator is None:
            self.fail("one of = != < <= > >= is expected")
        self._forward(operator.end())
        if kind is Type.LABELS:
            return self._label(field, key, operator[0], begun)
        if found[2]:
            self._at = begun
            self.fail(f"{field} has no parts")
        if operator[0] == ":" or (operator[0] not in ("=", "!=") and kind not in _ORDERED):
            self._at = begun
            allowed = "= != < <= > >=" if kind in _ORDERED else "= !="
            self.fail(f"{field} is a {kind.value}, which can be compared by {allowed}")
        return Comparison(field, operator[0], self._value(kind))

    def _label(self, field: str, key: str, op: str, begun: int) -> Filter:
        if op == ":":
            if key:
                if not self._symbol("*"):
                    self.fail("* is expected")
                return Present(field, key)
            return Present(field, self._string())
        if not key or op not in ("=", "!="):
            self._at = begun
            self.fail(f"{field}.KEY = value, {field}.KEY != value or {field}:KEY is expected")
        return Comparison(field, op, self._string(), key)

    def _value(self, kind: Type) -> str | bool | int | datetime:
        begun = self._at
        text = self._string()
        if kind is Type.TEXT:
            return text
        if kind is Type.FLAG and text in ("true", "false"):
            return text == "true"
        if kind is Type.INTEGER and _NUMBER.fullmatch(text) and -(2**63) <= int(text) < 2**63:
            return int(text)
        if kind is Type.TIME and _TIME.fullmatch(text):
            try:
                moment = datetime.fromisoformat(text.upper()).astimezone(UTC)  # at either end of time there is none
            except (ValueError, OverflowError):
                pass
            else:
                return moment
        self._at = begun
        example = {
            Type.FLAG: "true or false",
            Type.INTEGER: "a number",
            Type.TIME: 'a time such as "2026-01-31T12:00:00Z"',
        }
        return self.fail(f"{example[kind]} is expected")

    def _string(self) -> str:
        begun = self._at
        text = self._literal()
        if "\0" in text:  # no text of PostgreSQL's holds one
            self._at = begun
            self.fail("a value without NUL characters is expected")
        return text

    def _literal(self) -> str:
        if (quoted := _QUOTED.match(self._text, self._at)) is not None:
            self._forward(quoted.end())
            return _ESCAPE.sub(r"\1", quoted[1] if quoted[1] is not None else quoted[2])
        if (word := _WORD.match(self._text, self._at)) is not None:
            self._forward(word.end())
            return word[0]
        return self.fail("a value is expected; put texts in quotes")

    def _keyword(self, word: str) -> bool:
        found = _KEYWORD.match(self._text, self._at)
        if found is None or found[1] != word:
            return False
        self._forward(found.end())
        return True

    def _symbol(self, symbol: str) -> bool:
        if not self._text.startswith(symbol, self._at):
            return False
        self._forward(self._at + 1)
        return True

    def _forward(self, at: int) -> None:
        self._at = at
        self._skip()

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def fail(self, expected: str) -> NoReturn:
        _refuse("filter", f"at character {self._at + 1}: {expected}")


def _unquoted(key: str) -> str:
    return _ESCAPE.sub(r"\1", key[1:-1]) if key.startswith('"') else key


def _refuse(field: str, why: str) -> NoReturn:
    fault = Fault(f"/{field}", f"invalid_{field}", why)
    raise Invalid(f"The {field} cannot be read: {why}.", reason=f"invalid_{field}", faults=[fault])
