"""Messages ⇄ the protobuf wire, through protobuf's own C classes (upb), and copies that mean the same as a trip over it.

betterproto2's wire format is never used: it is slow, and encodes what the contract forbids. Compiled functions move fields
between its dataclasses and upb's messages, for `Project`

    def fill_Project(m, u):                         def take_Project(u):
        u.id = m.id                                     has = u.HasField
        ...                                             m = new(Project)
        t = u.labels                                    m.id = u.id
        for k, x in m.labels.items(): t[k] = x          ...
        v = m.created_at                                t = u.labels
        if v is not None: fill_time(v, u.created_at)    m.labels = {k: t[k] for k in (t if len(t) < 2 else sorted(t))}
        u.version = m.version                           m.created_at = take_time(u.created_at) if has('created_at') else None

Unknown fields on the wire are accepted and dropped, and enum numbers without a name are kept: the other side may be one
version ahead (N and N-1 run side by side during every deployment). Below a microsecond a Timestamp or Duration is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from keyword import iskeyword
from operator import index
from typing import Any, Final

from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from acme.codec import values
from acme.codec.compiler import Compiler
from acme.codec.copier import UNFIT, Copier, members, unfit
from acme.codec.values import unwrapped
from acme.contract import Contracts, Field, Kind, Message


class Wire:
    """The wire codecs of all messages; each is made when it is first asked for."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._filler = _Filler()
        self._taker = _Taker()
        self._copier = Copier()

    def encoder(self, m: Message) -> Callable[[Any], bytes]:
        """Message → bytes.

        The encoder raises ValueError for what the wire cannot carry: an integer out of range, half of a surrogate pair, two
        members of a oneof, a value of the wrong type, None in a field without presence, a time without a zone. The text
        names the field and never the value.
        """
        self._contracts.require(m)
        fill, make, copy = self._filler.function(m), GetMessageClass(m.descriptor), self.copier(m)
        options = {"deterministic": True} if _holds_maps(m, set()) else {}

        def encode(message: Any) -> bytes:
            carrier: Any = make()
            try:
                fill(message, carrier)
                encoded: bytes = carrier.SerializeToString(**options)
                return encoded
            except (ValueError, *UNFIT):
                pass  # upb's errors hold the value. The copier refuses the same, and says which field.
            copy(message)
            raise unfit(m)

        return encode

    def decoder(self, m: Message) -> Callable[[bytes], Any]:
        """Bytes → message. The decoder raises ValueError for bytes that are none, or hold a time beyond the year 9999."""
        self._contracts.require(m)
        take, parse = self._taker.function(m), GetMessageClass(m.descriptor).FromString

        def decode(data: bytes) -> Any:
            try:
                return take(parse(data))
            except (DecodeError, OverflowError):
                raise ValueError(f"these bytes are no {m.name}") from None

        return decode

    def copier(self, m: Message) -> Callable[[Any], Any]:
        """Message → equal message that shares nothing mutable with it, as if it had gone over the wire.

        The copier raises ValueError for what the encoder refuses, and drops what the wire drops.
        """
        self._contracts.require(m)
        copy = self._copier.function(m)

        def checked(message: Any) -> Any:
            try:
                return copy(message)
            except UNFIT:
                raise unfit(m) from None

        return checked


def _holds_maps(m: Message, seen: set[str]) -> bool:
    """Whether there is a map in a message of this type, or anywhere inside."""
    seen.add(m.name)
    inner = [f.message for f in m.fields if f.message is not None and f.message.name not in seen]
    return any(f.is_map for f in m.fields) or any(_holds_maps(each, seen) for each in inner if each.name not in seen)


def _of_carrier(f: Field) -> str:
    """Source of a field of the upb message `u`, which has the contract's names, Python's keywords too."""
    return f"getattr(u, {f.name!r})" if iskeyword(f.name) else f"u.{f.name}"


class _Filler(Compiler):
    """Message → upb message."""

    verb = "fill"
    parameters = "m, u"

    def __init__(self) -> None:
        super().__init__(
            fill_time=_fill_time, fill_span=_fill_span, fill_value=_fill_value, single=values.single, index=index
        )

    def lines(self, m: Message) -> Iterable[str]:
        for f in m.fields:
            v, u = f"m.{f.attr}", _of_carrier(f)
            if f.is_map or f.repeated:
                yield from self._many(f, v, u)
            elif f.optional:
                yield f"v = {v}"
                yield f"if v is not None: {self._set(f, 'v', u)}"
            else:
                yield self._set(f, v, u)
        for name, group in m.oneofs.items():
            given = " + ".join(f"(m.{f.attr} is not None)" for f in group)
            yield f"if {given} > 1: raise ValueError({name!r})"
        yield "return"

    def _many(self, f: Field, v: str, u: str) -> Iterable[str]:
        entry = f.value or f
        if entry.message is not None:
            if f.is_map:
                yield f"t = {u}"
                yield f"for k, x in {v}.items(): {self._fill(entry.message)}(x, t[k])"
            else:
                yield f"add = {u}.add"
                yield f"for x in {v}: {self._fill(entry.message)}(x, add())"
        elif f.is_map:
            yield f"t = {u}"  # its `update` is Python's, and takes twice as long
            yield f"for k, x in {v}.items(): t[k] = {self._scalar(entry, 'x')}"
        else:
            one = self._scalar(entry, "x")
            yield f"{u}.extend({v if one == 'x' else f'[{one} for x in {v}]'})"

    def _set(self, f: Field, v: str, u: str) -> str:
        if f.message is None:
            one = self._scalar(f, v)
            return f"setattr(u, {f.name!r}, {one})" if iskeyword(f.name) else f"{u} = {one}"
        if f.message.name in _TIMES:
            return f"{self._fill(f.message)}({v}, {u})"  # sets both fields, so it is there
        # What is in a message may all be default values: it is there nevertheless.
        return f"t = {u}; t.SetInParent(); {self._fill(f.message)}({v}, t)"

    def _fill(self, m: Message) -> str:
        """Name of the function that fills a message of this type inside of another."""
        if m.name in _TIMES:
            return _TIMES[m.name][0]
        return "fill_value" if m.name in values.WRAPPERS else self.call(m)

    def _scalar(self, f: Field, v: str) -> str:
        if f.kind is Kind.ENUM:
            return f"index({v})"  # upb would take a name too
        return f"single({v})" if f.kind is Kind.FLOAT and values.is_single(f) else v


class _Taker(Compiler):
    """Upb message → message."""

    verb = "take"
    parameters = "u"

    def __init__(self) -> None:
        super().__init__(take_time=_take_time, take_span=_take_span)

    def lines(self, m: Message) -> Iterable[str]:
        if any(f.optional for f in m.fields):
            yield "has = u.HasField"
        yield f"m = new({self.bind(m.cls, m.cls.__name__)})"
        for f in m.fields:
            v, u = f"m.{f.attr}", _of_carrier(f)
            entry = f.value or f
            if f.is_map:
                yield f"t = {u}"
                yield f"{v} = {{k: {self._one(entry, 't[k]')} for k in (t if len(t) < 2 else sorted(t))}}"
            elif f.repeated:
                one = self._one(entry, "x")
                yield f"{v} = " + (f"list({u})" if one == "x" else f"[{one} for x in {u}]")
            elif f.optional:
                yield f"{v} = {self._one(f, u)} if has({f.name!r}) else None"
            else:
                yield f"{v} = {self._one(f, u)}"
        yield "m._unknown_fields = b''"
        yield "return m"

    def _one(self, f: Field, u: str) -> str:
        if f.choices is not None:
            return f"{self.table(f.choices, members)}[{u}]"
        if f.message is None:
            return u
        if f.message.name in _TIMES:
            return f"{_TIMES[f.message.name][1]}({u})"
        return f"{u}.value" if unwrapped(f) is not f else f"{self.call(f.message)}({u})"


_TIMES: Final = {
    "google.protobuf.Timestamp": ("fill_time", "take_time"),
    "google.protobuf.Duration": ("fill_span", "take_span"),
}
"""Messages that our classes hold as datetime and timedelta: the functions that fill and take them."""


def _fill_time(value: datetime, u: Any) -> None:
    since = value - values.EPOCH
    u.seconds = since.days * 86400 + since.seconds
    u.nanos = since.microseconds * 1000


def _take_time(u: Any) -> datetime:
    return values.EPOCH + timedelta(0, u.seconds, u.nanos // 1000)  # named, they take twice as long


def _fill_span(value: timedelta, u: Any) -> None:
    u.seconds, u.nanos = values.seconds_and_nanos(values.span(value))


def _take_span(u: Any) -> timedelta:
    # Towards zero, as the sign of both parts says.
    return timedelta(seconds=u.seconds, microseconds=int(u.nanos / 1000))


def _fill_value(value: Any, u: Any) -> None:
    u.value = value
