"""JSON ⇄ messages, compiled for each message.

Decoding has a fast path that accepts and a slow one that explains. The fast path lets msgspec decode into a typed shadow of
the message and copies that, field by field, onto the message class. For `CreateProjectRequest` the copy is

    def read_CreateProjectRequest(s):
        m = new(CreateProjectRequest)
        m.organization_id = s.organization_id or ''
        m.name = s.name or ''
        m.description = s.description or ''
        m.labels = s.labels or {}
        m._unknown_fields = b''
        return m

and for `Project`, on the way out,

    def write_Project(m):
        return Project(
            m.id,
            ...
            UNSET if (v := m.created_at) is None else utc(v),
            safe(m.version),
        )

msgspec passes over repeated keys, U+0000 and depth. So bytes that could hold one of those are looked at again, by the same
`explain` that gathers the faults after a refusal; `_is_plain` and `_says_each_once` tell cheaply that they cannot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec import UNSET

from acme.codec import text, values
from acme.codec.compiler import Compiler
from acme.codec.explain import DEPTH, explain
from acme.codec.shadow import Shadows
from acme.codec.values import ANY, Names, json_bounds, unwrapped, well_known
from acme.contract import Choices, Contracts, Field, Kind, Message
from acme.contracts.google.protobuf import FieldMask
from acme.errors import Fault, Invalid

Decoder = Callable[[bytes], Any]
Encoder = Callable[[Any], bytes]

EMPTY: Final = {
    Kind.BOOL: "False",
    Kind.INT: "0",
    Kind.FLOAT: "0.0",
    Kind.STRING: "''",
    Kind.BYTES: "b''",
}
"""Source of the value that a plain scalar has when nothing was said."""


class Json:
    """The JSON codecs of all messages; each is made when it is first asked for."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._shadows = Shadows()
        self._readers = _Reader()
        self._writers = _Writer(self._shadows)
        self._counters = _Counter()

    def encoder(self, m: Message) -> Encoder:
        """Message → JSON. Plain scalars, lists and maps are always there; what is absent is left out.

        The encoder raises ValueError for what JSON cannot say: NaN, an infinity, an integer beyond ±(2^53 - 1), a time
        without a zone, half of a surrogate pair.
        """
        self._own(m)
        write, encode = self._writers.function(m), msgspec.json.Encoder().encode
        return lambda message: encode(write(message))

    def decoder(self, m: Message, *, exclude: frozenset[str] = frozenset(), mask: str = "") -> Decoder:
        """JSON → message.

        Fields in `exclude` are unknown to it: they come from elsewhere, such as the path. `mask` names the FieldMask field
        that it fills with the keys of the body in the order of the contract; that field is excluded too. null says the
        same as leaving the field out, but for the mask.

        The decoder raises
            Malformed: not JSON, or not UTF-8.
            Invalid: JSON that is not this message, with every fault; `acme/codec/__init__.py` has their codes.
        """
        self._own(m)
        refused = exclude | ({mask} if mask else frozenset())
        if refused:
            shadow = self._shadows.without(m, refused)
            read = self._readers.partial(m, refused, mask)
            count = self._counters.partial(m, refused)
        else:
            shadow = self._shadows.of(m)
            read = self._readers.function(m)
            count = self._counters.function(m)
        typed = msgspec.json.Decoder(shadow).decode
        may_be_deep = _nesting(m) > DEPTH

        def decode(body: bytes) -> Any:
            message = None
            try:
                said = typed(body)
                message = read(said)
                if _is_plain(body, may_be_deep) and _says_each_once(body, count(said)):
                    return message
            except (ValueError, KeyError, OverflowError, RecursionError):
                message = None
            faults = explain(body, m, refused)
            if faults:
                raise Invalid("the body breaks the contract", faults=faults)
            if message is None:
                raise Invalid("the body breaks the contract", faults=[Fault("", "type", "must keep to the contract")])
            return message

        return decode

    def text(self, f: Field) -> Callable[[str], Any]:
        """Parses one value of the field from a path or a query: a scalar, or a google type that JSON writes as a string.

        The parser raises ValueError with a sentence that says what is allowed.
        """
        return text.parser(f)

    def _own(self, m: Message) -> None:
        if self._contracts.messages.get(m.name) is not m:
            raise KeyError(f"{m.name} is a message of other contracts")


def _is_plain(body: bytes, may_be_deep: bool) -> bool:
    """Whether the bytes hold neither U+0000, nor half of a surrogate pair, nor too deep nesting."""
    if b"\\" in body and (b"\\u0000" in body or b"\\ud" in body or b"\\uD" in body):
        return False
    return not may_be_deep or body.count(b"{") + body.count(b"[") <= DEPTH


def _says_each_once(body: bytes, keys: int) -> bool:
    """Whether the bytes cannot hold more than the keys that were decoded from them. Every key is followed by a colon;
    strings hold colons too, but seldom one right after a quotation mark."""
    if body.count(b":") == keys:
        return True
    spaced = b" :" in body or b"\n:" in body or b"\t:" in body or b"\r:" in body
    return not spaced and body.count(b'":') == keys


def _nesting(m: Message, above: frozenset[str] = frozenset()) -> float:
    """How deep JSON of a message can be nested; infinite when it contains itself or free JSON."""
    if m.name in above:
        return float("inf")
    deepest = 0.0
    for f in m.fields:
        entry = f.value or f
        inner = 0.0
        if entry.message is not None and unwrapped(entry) is entry:
            known = well_known(entry)
            if known is None:
                inner = _nesting(entry.message, above | {m.name})
            elif known.plain is not str:
                inner = float("inf")
        deepest = max(deepest, inner + (f.repeated or f.is_map))
    return 1 + deepest


class _Reader(Compiler):
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
        return f"{self._members(f.choices)}[None]" if f.choices is not None else EMPTY[f.kind]

    def _members(self, choices: Choices) -> str:
        """Name of the table from the names of an enum to its members."""
        return self.table(choices, _members_by_name)


class _Writer(Compiler):
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
            return f"{self.table(f.choices, _names)}[{v}]"
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
            key = f"{self.bind(_BOOLEAN_NAMES, 'BOOLEANS')}[k]" if f.key.kind is Kind.BOOL else self._one(f.key, "k")
            one = self._one(f.value, "x")
            return v if (key, one) == ("k", "x") else f"{{{key}: {one} for k, x in {v}.items()}}"
        one = self._one(f, "x")
        return v if one == "x" else f"[{one} for x in {v}]"


class _Counter(Compiler):
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
_BOOLEAN_NAMES: Final = {True: "true", False: "false"}


def _members_by_name(choices: Choices) -> dict[Any, Any]:
    zero = choices.cls(0)
    return {UNSET: zero, None: zero, **{choice.name: choices.cls(choice.number) for choice in choices.values}}


def _names(choices: Choices) -> Names:
    return Names({choice.number: choice.name for choice in choices.values})


def _mask_of(said: Iterable[tuple[str, Any]]) -> FieldMask:
    return FieldMask(paths=[name for name, value in said if value is not UNSET])
