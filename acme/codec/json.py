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

from collections.abc import Callable
from typing import Any

import msgspec

from acme.codec import text
from acme.codec.copier import UNFIT, Copier, unfit
from acme.codec.explain import DEPTH, explain, explain_object
from acme.codec.json_code import Counter, Reader, Writer
from acme.codec.renderer import Judge, Renderer
from acme.codec.shadow import Shadows
from acme.codec.values import STRUCT, struct_of, unwrapped, well_known
from acme.contract import Contracts, Field, Message
from acme.errors import Fault, Invalid

Decoder = Callable[[bytes], Any]
Encoder = Callable[[Any], bytes]


class Json:
    """The JSON codecs of all messages; each is made when it is first asked for."""

    def __init__(self, contracts: Contracts) -> None:
        self._contracts = contracts
        self._shadows = Shadows()
        self._readers = Reader()
        self._writers = Writer(self._shadows)
        self._counters = Counter()
        copies = Copier()
        self._renderers, self._judges = Renderer(self._shadows, copies), Judge(self._shadows, copies)

    def encoder(self, m: Message) -> Encoder:
        """Message → JSON. Plain scalars, lists and maps are always there; what is absent is left out.

        The encoder raises ValueError for what JSON cannot say: NaN, an infinity, an integer beyond ±(2^53 - 1), a time
        without a zone, half of a surrogate pair.
        """
        self._contracts.require(m)
        write, encode = self._writers.function(m), msgspec.json.Encoder().encode
        return lambda message: encode(write(message))

    def renderer(self, m: Message) -> Encoder:
        """The same for a message that has not been anywhere yet: as if it had gone over the wire before, in one pass.

        The renderer raises ValueError for what the encoder refuses and for what the wire cannot carry. The text names the
        field and never the value.
        """
        self._contracts.require(m)
        render, encode = self._renderers.function(m), msgspec.json.Encoder().encode

        def rendered(message: Any) -> bytes:
            try:
                return encode(render(message))
            except (ValueError, *UNFIT):
                pass
            try:
                return encode(self._judges.function(m)(message))
            except UNFIT:
                raise unfit(m) from None

        return rendered

    def decoder(self, m: Message, *, exclude: frozenset[str] = frozenset(), mask: str = "") -> Decoder:
        """JSON → message.

        Fields in `exclude` are unknown to it: they come from elsewhere, such as the path. `mask` names the FieldMask field
        that it fills with the keys of the body in the order of the contract; that field is excluded too. null says the
        same as leaving the field out, but for the mask.

        The decoder raises
            Malformed: not JSON, or not UTF-8.
            Invalid: JSON that is not this message, with every fault; `acme/codec/__init__.py` has their codes.
        """
        self._contracts.require(m)
        if m.name == STRUCT:
            return _decode_object
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


def _decode_object(body: bytes) -> Any:
    """Any JSON object → google.protobuf.Struct."""
    if faults := explain_object(body):
        raise Invalid("the body is no JSON object as it should be", faults=faults)
    return struct_of(msgspec.json.decode(body))


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
