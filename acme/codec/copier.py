"""Deep copies of messages that mean what a trip over the wire means, for calls inside of one process.

For `Project` the function is

    def copy_Project(m):
        c = new(Project)
        v = m.id
        c.id = v if type(v) is str and v.isascii() else string(v, 'acme.projects.v1.Project.id')
        ...
        c.labels = {string(k, ...): string(x, ...) for k, x in m.labels.items()}
        v = m.created_at
        c.created_at = None if v is None else v if type(v) is datetime and v.tzinfo is UTC else time(v, ...)
        v = m.version
        c.version = v if type(v) is int and -9223372036854775808 <= v <= 9223372036854775807 else integer(v, ...)
        c._unknown_fields = b''
        return c

The functions below see the values that are not plainly right. Their errors name the field and never the value.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from operator import index
from typing import Any, Final, SupportsIndex

from acme.codec import values
from acme.codec.compiler import Compiler
from acme.codec.values import Members, unwrapped
from acme.contract import Choices, Field, Kind, Message


class Copier(Compiler):
    """Message → message."""

    verb = "copy"

    def __init__(self) -> None:
        super().__init__(
            string=string,
            integer=integer,
            boolean=boolean,
            number=number,
            single=single,
            octets=octets,
            time=time,
            span=span,
            ordered=values.ordered,
            datetime=datetime,
            UTC=UTC,
        )

    def lines(self, m: Message) -> Iterable[str]:
        yield f"c = new({self.bind(m.cls, m.cls.__name__)})"
        for f in m.fields:
            where = f.descriptor.full_name
            entry = f.value or f
            if f.key is not None:
                pair = f"{self._one(f.key, 'k', where)}: {self._one(entry, 'x', where)}"
                yield f"d = {{{pair} for k, x in m.{f.attr}.items()}}"
                yield f"c.{f.attr} = d if len(d) < 2 else ordered(d)"
            elif f.repeated:
                yield f"c.{f.attr} = [{self._one(entry, 'x', where)} for x in m.{f.attr}]"
            else:
                yield f"v = m.{f.attr}"
                yield f"c.{f.attr} = {'None if v is None else ' * f.optional}{self._one(f, 'v', where)}"
        for name, group in m.oneofs.items():
            given = " + ".join(f"(c.{f.attr} is not None)" for f in group)
            yield f"if {given} > 1: raise ValueError('{m.name}: more than one member of {name}')"
        yield "c._unknown_fields = b''"
        yield "return c"

    def _one(self, f: Field, v: str, where: str) -> str:
        """Source of a checked copy of one value; plain values are judged without a call."""
        if f.message is not None and f.message.name == TIMESTAMP:
            return f"{v} if type({v}) is datetime and {v}.tzinfo is UTC else time({v}, {where!r})"
        if f.message is not None and f.message.name == DURATION:
            return f"span({v}, {where!r})"
        f = unwrapped(f)
        match f.kind:
            case Kind.STRING:
                return f"{v} if type({v}) is str and {v}.isascii() else string({v}, {where!r})"
            case Kind.INT:
                low, high = f.bounds
                return f"{v} if type({v}) is int and {low} <= {v} <= {high} else integer({v}, {low}, {high}, {where!r})"
            case Kind.BOOL:
                return f"{v} if {v} is True or {v} is False else boolean({v}, {where!r})"
            case Kind.FLOAT if values.is_single(f):
                return f"single({v}, {where!r})"
            case Kind.FLOAT:
                return f"{v} if type({v}) is float else number({v}, {where!r})"
            case Kind.BYTES:
                return f"{v} if type({v}) is bytes else octets({v}, {where!r})"
        if f.choices is not None:
            enum = self.bind(f.choices.cls, f.choices.cls.__name__)
            known = self.table(f.choices, members)
            return f"{v} if type({v}) is {enum} else {known}[integer({v}, -2147483648, 2147483647, {where!r})]"
        return f"{self.call(f.message)}({v})" if f.message is not None else v


TIMESTAMP: Final = "google.protobuf.Timestamp"
DURATION: Final = "google.protobuf.Duration"
UNFIT: Final = (TypeError, AttributeError, OverflowError, RecursionError)
"""What values of the wrong type raise, beside ValueError."""


def unfit(m: Message) -> ValueError:
    """Instead of one of those, which may quote the value."""
    return ValueError(f"{m.name}: a value of the wrong type, which the wire cannot carry")


def members(choices: Choices) -> Members:
    """The members of an enum by number."""
    table = Members(choices.cls)
    table.update({choice.number: choices.cls(choice.number) for choice in choices.values})
    return table


def string(value: Any, where: str) -> str:
    """Text that UTF-8 can hold. Bytes of UTF-8 are text too, as they are for protobuf."""
    try:
        text: str = value.decode() if isinstance(value, bytes) else value
        text.encode()
    except (ValueError, AttributeError):
        raise ValueError(f"{where} must be Unicode text") from None
    return text if type(text) is str else text.encode().decode()


def integer(value: Any, low: int, high: int, where: str) -> int:
    """Anything that is an integer, such as a member of an enum, in the range. A bool is none, as it is for protobuf."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ValueError(f"{where} must be an integer")
    whole = int(index(value))
    if not low <= whole <= high:
        raise ValueError(f"{where} must be from {low} to {high}")
    return whole


def boolean(value: Any, where: str) -> bool:
    """A bool; an integer stands for one, as it does for protobuf."""
    try:
        return bool(index(value))
    except TypeError:
        raise ValueError(f"{where} must be true or false") from None


def number(value: Any, where: str) -> float:
    """A number as a float of 64 bits."""
    try:
        return float(value + 0.0)  # the sum refuses a string, which float() would read
    except (TypeError, OverflowError):
        raise ValueError(f"{where} must be a number of 64 bits") from None


def single(value: Any, where: str) -> float:
    """A number as the nearest float of 32 bits."""
    try:
        return values.single(value)
    except ValueError:
        raise ValueError(f"{where} must be a number of 32 bits") from None


def octets(value: Any, where: str) -> bytes:
    """Bytes; nothing else stands for them."""
    if not isinstance(value, bytes):
        raise ValueError(f"{where} must be bytes")
    return bytes(value)


def time(value: datetime, where: str) -> datetime:
    """A moment, in UTC."""
    try:
        moment = values.utc(value)
        return moment if type(moment) is datetime else datetime.combine(moment.date(), moment.timetz())
    except (ValueError, AttributeError):
        raise ValueError(f"{where} must be a time with a zone, in the years 1 to 9999") from None


def span(value: timedelta, where: str) -> timedelta:
    """A duration the wire can carry."""
    try:
        return values.span(value)
    except (ValueError, TypeError):
        raise ValueError(f"{where} must be a duration of at most 315,576,000,000 seconds") from None
