"""The three functions that JSON needs of each message: reading its shadow, writing it, and counting the keys it had.

`acme/codec/json.py` shows what they look like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import UNSET

from acme.codec import values
from acme.codec.compiler import Compiler
from acme.codec.shadow import Shadows
from acme.codec.values import ANY, Names, json_bounds, unwrapped, well_known
from acme.contract import Choices, Field, Kind, Message
from acme.contracts.google.protobuf import FieldMask

_EMPTY: Final = {
    Kind.BOOL: "False",
    Kind.INT: "0",
    Kind.FLOAT: "0.0",
    Kind.STRING: "''",
    Kind.BYTES: "b''",
}
"""Source of the value that a plain scalar has when nothing was said."""


class Reader(Compiler):
    """Shadow → message."""

    verb = "read"
    parameters = "s"

    def __init__(self) -> None:
        super().__init__(UNSET=UNSET, mask_of=_mask_of)

    def lines(self, m: Message) -> Iterable[str]:
        return self._lines(m, frozenset(), "")

    def partial(self, m: Message, refused: frozenset[str], mask: str) -> Callable[[Any], Any]:
        """The function for a shadow without the refused fields, which also fills the mask."""
        name = self.free(f"read_some_of_{m.descriptor.name}")
        self.write(name, self._lines(m, refused, mask))
        return self.compiled(name)

    def _lines(self, m: Message, refused: frozenset[str], mask: str) -> Iterable[str]:
        yield f"m = new({self.bind(m.cls, m.cls.__name__)})"
        for f in m.fields:
            if f.name == mask:
                said = "".join(f"({g.name!r}, s.{g.attr}), " for g in m.fields if g.name not in refused)
                yield f"m.{f.attr} = mask_of(({said}))"
            elif f.name in refused:
                yield f"m.{f.attr} = {self._empty(f)}"
            elif f.is_map or f.repeated:
                yield f"m.{f.attr} = {self._many(f)}"
            elif f.optional:
                nothing = "v is UNSET" if well_known(f) is ANY else "v is UNSET or v is None"
                yield f"v = s.{f.attr}; m.{f.attr} = None if {nothing} else {self._one(f, 'v')}"
            elif f.choices is not None:
                yield f"m.{f.attr} = {self._members(f.choices)}[s.{f.attr}]"
            else:
                yield f"m.{f.attr} = s.{f.attr} or {self._empty(f)}"
        for name, members in m.oneofs.items():
            given = " + ".join(f"(m.{f.attr} is not None)" for f in members)
            yield f"if {given} > 1: raise ValueError({name!r})"
        yield "m._unknown_fields = b''"
        yield "return m"

    def _one(self, f: Field, v: str) -> str:
        """Source of one value of the field, from the source of what the shadow holds."""
        f = unwrapped(f)
        if f.choices is not None:
            return f"{self._members(f.choices)}[{v}]"
        if f.message is None:
            return v
        known = well_known(f)
        if known is None:
            return f"{self.call(f.message)}({v})"
        return f"{self.bind(known.read, known.read.__name__)}({v})"

    def _many(self, f: Field) -> str:
        s = f"s.{f.attr}"
        if f.key is not None and f.value is not None:
            key = f"{self.bind(_BOOLEANS, 'BOOLEANS')}[k]" if f.key.kind is Kind.BOOL else "k"
            one = self._one(f.value, "x")
            return f"{s} or {{}}" if (key, one) == ("k", "x") else f"{{{key}: {one} for k, x in ({s} or {{}}).items()}}"
        one = self._one(f, "x")
        return f"{s} or []" if one == "x" else f"[{one} for x in {s} or ()]"

    def _empty(self, f: Field) -> str:
        if f.optional:
            return "None"
        if f.is_map or f.repeated:
            return "{}" if f.is_map else "[]"
        return f"{self._members(f.choices)}[None]" if f.choices is not None else _EMPTY[f.kind]

    def _members(self, choices: Choices) -> str:
        """Name of the table from the names of an enum to its members."""
        return self.table(choices, _members_by_name)


class Writer(Compiler):
    """Message → shadow."""

    verb = "write"

    def __init__(self, shadows: Shadows) -> None:
        super().__init__(UNSET=UNSET)
        self._shadows = shadows

    def lines(self, m: Message) -> Iterable[str]:
        shadow = self._shadows.of(m)
        yield f"return {self.bind(shadow, shadow.__name__)}("
        for f in m.fields:
            v = f"m.{f.attr}"
            if f.is_map or f.repeated:
                yield f"    {self._many(f, v)},"
            elif f.optional:
                one = self._one(f, "v")
                yield f"    UNSET if (v := {v}) is None else {one},"
            else:
                yield f"    {self._one(f, v)},"
        yield ")"

    def _one(self, f: Field, v: str) -> str:
        """Source of what the shadow holds, from the source of one value of the field."""
        f = unwrapped(f)
        if f.choices is not None:
            return f"{self.table(f.choices, names)}[{v}]"
        if f.message is not None:
            known = well_known(f)
            name = self.call(f.message) if known is None else self.bind(known.write, known.write.__name__)
            return f"{name}({v})"
        if f.kind is Kind.FLOAT:
            return f"{self.bind(values.finite, 'finite')}({v})"
        if f.kind is Kind.INT and json_bounds(f) != f.bounds:
            return f"{self.bind(values.safe, 'safe')}({v})"
        return v

    def _many(self, f: Field, v: str) -> str:
        if f.key is not None and f.value is not None:
            key = f"{self.bind(BOOLEAN_NAMES, 'BOOLEANS')}[k]" if f.key.kind is Kind.BOOL else self._one(f.key, "k")
            one = self._one(f.value, "x")
            return v if (key, one) == ("k", "x") else f"{{{key}: {one} for k, x in {v}.items()}}"
        one = self._one(f, "x")
        return v if one == "x" else f"[{one} for x in {v}]"


class Counter(Compiler):
    """Shadow → how many keys its JSON had, when it had none twice."""

    verb = "keys_of"
    parameters = "s"

    def __init__(self) -> None:
        super().__init__(UNSET=UNSET, keys_of_plain=_keys_of_plain)

    def lines(self, m: Message) -> Iterable[str]:
        return self._lines(m, frozenset())

    def partial(self, m: Message, refused: frozenset[str]) -> Callable[[Any], Any]:
        """The function for a shadow without the refused fields."""
        name = self.free(f"keys_of_some_of_{m.descriptor.name}")
        self.write(name, self._lines(m, refused))
        return self.compiled(name)

    def _lines(self, m: Message, refused: frozenset[str]) -> Iterable[str]:
        fields = [f for f in m.fields if f.name not in refused]
        yield f"n = {len(fields)}"
        for f in fields:
            if inside := self._inside(f):
                yield f"v = s.{f.attr}"
                yield f"if v: n += {inside}"
                yield "elif v is UNSET: n -= 1"
            else:
                yield f"if s.{f.attr} is UNSET: n -= 1"
        yield "return n"

    def _inside(self, f: Field) -> str:
        """Source of how many keys are inside of the value `v`; "" for none."""
        one = self._of_one(f.value or f)
        if f.is_map:
            return f"len(v) + sum(map({one}, v.values()))" if one else "len(v)"
        if f.repeated:
            return one and f"sum(map({one}, v))"
        return one and f"{one}(v)"

    def _of_one(self, f: Field) -> str:
        """The name of the function that counts inside of one value of the field; "" when it holds no keys."""
        if f.message is None or unwrapped(f) is not f:
            return ""
        known = well_known(f)
        if known is None:
            return self.call(f.message)
        return "" if known.plain is str else "keys_of_plain"


def _keys_of_plain(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_keys_of_plain, value.values()))
    return sum(map(_keys_of_plain, value)) if isinstance(value, list) else 0


_BOOLEANS: Final = {"true": True, "false": False}
BOOLEAN_NAMES: Final = {True: "true", False: "false"}


def _members_by_name(choices: Choices) -> dict[Any, Any]:
    zero = choices.cls(0)
    return {UNSET: zero, None: zero, **{choice.name: choices.cls(choice.number) for choice in choices.values}}


def names(choices: Choices) -> Names:
    """Names of an enum by number."""
    return Names({choice.number: choice.name for choice in choices.values})


def _mask_of(said: Iterable[tuple[str, Any]]) -> FieldMask:
    return FieldMask(paths=[name for name, value in said if value is not UNSET])
