"""Messages ⇄ what fastavro writes and reads, by compiled functions. For `Project`

    def build_Project(m):                                     def take_Project(d):
        v = m.id                                                  m = new(Project)
        id = v if type(v) is str and v.isascii() else string(…)   m.id = d['id']
        v = m.created_at                                          v = d['created_at']
        created_at = None if v is None else ('long', micros(v))   m.created_at = None if v is None else moment(v)
        return {'id': id, 'created_at': created_at}               return m

What is not plainly right is judged as `copier.py` judges it: the text of an error names the field and never the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from acme.codec import copier, values
from acme.codec.avro.schema import LOGICAL, branch, is_json, symbols
from acme.codec.compiler import Compiler
from acme.codec.copier import Copier
from acme.codec.values import WRAPPERS, Members
from acme.contract import Choices, Field, Kind, Message
from acme.contracts.google.protobuf import FieldMask, ListValue, Struct, Value

_MICROSECOND: Final = timedelta(microseconds=1)


class Builder(Copier):
    """Message → datum: a dict by field name, with (branch, value) where there is null or a value."""

    verb = "build"

    def __init__(self) -> None:
        super().__init__()
        self._names |= {"micros": micros, "length": length, "json": to_json, "paths": paths}

    def lines(self, m: Message) -> Iterable[str]:
        made: list[str] = []
        for number, f in enumerate(m.fields):
            where, entry, name = f.descriptor.full_name, f.value or f, f"f{number}"
            made.append(f"{f.name!r}: {name}")
            if f.key is not None:
                pair = f"{_key(f.key, self._one(f.key, 'k', where))}: {self._one(entry, 'x', where)}"
                yield f"d = {{{pair} for k, x in m.{f.attr}.items()}}"
                yield f"{name} = d if len(d) < 2 else ordered(d)"
            elif f.repeated:
                yield f"{name} = [{self._one(entry, 'x', where)} for x in m.{f.attr}]"
            else:
                yield f"v = m.{f.attr}"
                one = self._one(f, "v", where)
                yield f"{name} = " + (f"None if v is None else ({branch(f)!r}, {one})" if f.optional else one)
        for name, group in m.oneofs.items():
            given = " + ".join(f"(m.{f.attr} is not None)" for f in group)
            yield f"if {given} > 1: raise ValueError('{m.name}: more than one member of {name}')"
        yield f"return {{{', '.join(made)}}}"

    def _one(self, f: Field, v: str, where: str) -> str:
        if f.message is not None and f.message.name in LOGICAL:
            function = "json" if is_json(f.message) else _OF_LOGICAL[f.message.name][0]
            return f"{function}({v}, {where!r})"
        if f.choices is not None:
            names = self.table(f.choices, _Symbols)
            enum = self.bind(f.choices.cls, f.choices.cls.__name__)
            return f"{names}[{v} if type({v}) is {enum} else integer({v}, -2147483648, 2147483647, {where!r})]"
        return super()._one(f, v, where)


class Taker(Compiler):
    """Datum, as fastavro reads it → message."""

    verb = "take"
    parameters = "d"

    def __init__(self) -> None:
        super().__init__(
            moment=moment, span=span, mask=mask, struct=struct, any_value=any_value, list_value=list_value,
            ordered=values.ordered,
        )  # fmt: skip

    def lines(self, m: Message) -> Iterable[str]:
        yield f"m = new({self.bind(m.cls, m.cls.__name__)})"
        for f in m.fields:
            entry, v, d = f.value or f, f"m.{f.attr}", f"d[{f.name!r}]"
            if f.key is not None:
                yield f"t = {{{_keyed(f.key)}: {self._one(entry, 'x')} for k, x in {d}.items()}}"
                yield f"{v} = t if len(t) < 2 else ordered(t)"
            elif f.repeated:
                one = self._one(entry, "x")
                yield f"{v} = {d}" if one == "x" else f"{v} = [{one} for x in {d}]"
            elif f.optional and (one := self._one(f, "v")) != "v":
                yield f"v = {d}"
                yield f"{v} = None if v is None else {one}"
            else:
                yield f"{v} = {self._one(f, d)}"
        yield "m._unknown_fields = b''"
        yield "return m"

    def _one(self, f: Field, v: str) -> str:
        if f.choices is not None:
            return f"{self.table(f.choices, _members)}[{v}]"
        if f.message is None or f.message.name in WRAPPERS:
            return v
        if f.message.name in LOGICAL:
            return f"{_OF_LOGICAL[f.message.name][1]}({v})"
        return f"{self.call(f.message)}({v})"


def _key(key: Field, one: str) -> str:
    """Source of a map's key as text."""
    if key.kind is Kind.STRING:
        return one
    return f"('true' if ({one}) else 'false')" if key.kind is Kind.BOOL else f"str({one})"


def _keyed(key: Field) -> str:
    """The reverse of `_key`."""
    return {Kind.STRING: "k", Kind.BOOL: "k == 'true'"}.get(key.kind, "int(k)")


class _Symbols(Members):
    """Symbols of an enum by number. A number without a name cannot be written: a newer sender's, say."""

    def __init__(self, choices: Choices) -> None:
        super().__init__(choices.cls)
        self._enum = choices.name
        self.update(symbols(choices))

    def __missing__(self, number: int) -> Any:
        raise ValueError(f"{self._enum} has no name for the number {int(number)}")


def _members(choices: Choices) -> dict[str, Any]:
    """Members of an enum by every name it has."""
    return {choice.name: choices.cls(choice.number) for choice in choices.values}


# --- what compiled code calls -----------------------------------------------------------------------------------------


def micros(value: datetime, where: str) -> int:
    """Microseconds since the epoch."""
    return (copier.time(value, where) - values.EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The reverse of `micros`. OverflowError beyond the years 1 to 9999."""
    return values.EPOCH + timedelta(0, 0, value)


def length(value: timedelta, where: str) -> int:
    """Microseconds of a duration."""
    return copier.span(value, where) // _MICROSECOND


def span(value: int) -> timedelta:
    """The reverse of `length`."""
    return values.span(timedelta(0, 0, value))


def paths(value: FieldMask, where: str) -> list[str]:
    """The fields that a mask names."""
    return [copier.string(path, where) for path in value.paths]


def mask(value: list[str]) -> FieldMask:
    """The reverse of `paths`."""
    return FieldMask(paths=value)


_PLAIN: Final[Mapping[type, Callable[[Any], Any]]] = {
    Struct: values.plain_struct,
    Value: values.plain,
    ListValue: values.plain_list,
}


def to_json(value: Any, where: str) -> str:
    """A Struct, Value or ListValue as JSON text, its members in order."""
    try:
        return msgspec.json.encode(_PLAIN[type(value)](value), order="sorted").decode()
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError(f"{where} must be what JSON can say") from None


def struct(text: str) -> Struct:
    """JSON text → google.protobuf.Struct."""
    return values.struct_of(msgspec.json.decode(text, type=dict[str, Any]))


def any_value(text: str) -> Value:
    """JSON text → google.protobuf.Value."""
    return values.value_of(msgspec.json.decode(text))


def list_value(text: str) -> ListValue:
    """JSON text → google.protobuf.ListValue."""
    return values.list_of(msgspec.json.decode(text, type=list[Any]))


_OF_LOGICAL: Final = {
    "google.protobuf.Timestamp": ("micros", "moment"),
    "google.protobuf.Duration": ("length", "span"),
    "google.protobuf.FieldMask": ("paths", "mask"),
    "google.protobuf.Struct": ("json", "struct"),
    "google.protobuf.Value": ("json", "any_value"),
    "google.protobuf.ListValue": ("json", "list_value"),
}
